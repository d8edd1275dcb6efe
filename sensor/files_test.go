package sensor

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"golang.org/x/sys/unix"

	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/sensor/capfile"
)

const resolution = "testdata/corpus/linux-resolution_nud.pcap"

// readFiles runs the sensor on files.
func readFiles(t *testing.T, files ...string) (*recorder, error) {
	t.Helper()
	r := &recorder{full: true} // TryPublish is not for files
	c := config()
	c.ReadFiles = files
	err := Run(t.Context(), c, Deps{Live: listener{r}, Publisher: r})
	if r.flushes != 1 {
		t.Errorf("flushed %d times", r.flushes)
	}
	return r, err
}

func TestReadFile(t *testing.T) {
	r, err := readFiles(t, resolution)
	check(t, err)
	r.check(t)
	frames := packets(t, resolution)
	for n, m := range r.messages {
		e := m.event
		// Not every frame in the capture is ND.
		i := slices.IndexFunc(frames, func(p capfile.Packet) bool { return bytes.Equal(p.Data, e.Frame) && p.Time.Equal(e.Time) })
		if i < 0 {
			t.Fatalf("event %d is no frame of the file, or is in the wrong place: %+v", n, e)
		}
		frames = frames[i+1:]
		if e.Host != "r1" || e.Interface != "linux-resolution_nud" || e.Direction != schemas.In || e.Master {
			t.Errorf("event %d: %+v", n, e)
		}
	}
	if len(r.messages) == 0 {
		t.Error("no events")
	}
}

// packets returns all packets of a capture file.
func packets(t testing.TB, file string) (list []capfile.Packet) {
	t.Helper()
	for p, err := range capfile.ReadFile(file) {
		check(t, err)
		p.Data = bytes.Clone(p.Data)
		list = append(list, p)
	}
	return list
}

// All bad files are reported, and the others are read.
func TestReadBadFiles(t *testing.T) {
	dir := t.TempDir()
	data, err := os.ReadFile(resolution)
	check(t, err)
	truncated, text := filepath.Join(dir, "truncated.pcap"), filepath.Join(dir, "text.pcap")
	check(t, errors.Join(os.WriteFile(truncated, data[:len(data)-1], 0o600), os.WriteFile(text, []byte("no capture at all"), 0o600)))
	whole, err := readFiles(t, resolution)
	check(t, err)
	r, err := readFiles(t, truncated, text, filepath.Join(dir, "none.pcap"), dir, resolution)
	r.check(t)
	frames := packets(t, resolution)
	before := 2 * len(whole.messages) // less one if the frame that is cut is ND
	if bytes.Equal(whole.messages[len(whole.messages)-1].event.Frame, frames[len(frames)-1].Data) {
		before--
	}
	if len(r.messages) != before {
		t.Errorf("%d events, not %d", len(r.messages), before)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v does not say that a file does not exist", err)
	}
	var lines []string
	if err != nil {
		lines = strings.Split(strings.ReplaceAll(err.Error(), dir, "DIR"), "\n")
	}
	want := []string{
		"read DIR/truncated.pcap: packet " + itoa(len(frames)) + ": the file is truncated",
		"read DIR/text.pcap: this is no pcap or pcapng file",
		"read DIR/none.pcap: no such file or directory",
		"read DIR: is a directory",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// writeNg writes a pcapng file with a frame on each of some interfaces.
func writeNg(t *testing.T, file string, interfaces ...string) {
	t.Helper()
	f, err := os.Create(file)
	check(t, err)
	defer f.Close()
	whole, err := readFiles(t, resolution)
	check(t, err)
	frame := whole.messages[0].event.Frame
	var w *pcapgo.NgWriter
	for i, name := range interfaces {
		ng := pcapgo.NgInterface{Name: name, LinkType: layers.LinkTypeEthernet}
		if i == 0 {
			w, err = pcapgo.NewNgWriterInterface(f, ng, pcapgo.DefaultNgWriterOptions)
		} else {
			_, err = w.AddInterface(ng)
		}
		check(t, err)
		ci := gopacket.CaptureInfo{Timestamp: time.Unix(1700000000, 0), CaptureLength: len(frame), Length: len(frame), InterfaceIndex: i}
		check(t, w.WritePacket(ci, frame))
	}
	check(t, w.Flush())
}

// An interface has its name in the pcapng file, if that is a valid one.
func TestInterfaceNames(t *testing.T) {
	file := filepath.Join(t.TempDir(), "night shift.2.pcapng")
	writeNg(t, file, "eth0.7", "", "bad\nname", "\xff", "eth0 *")
	r, err := readFiles(t, file)
	check(t, err)
	r.check(t) // of the subjects too
	var got []string
	for _, m := range r.messages {
		got = append(got, m.event.Interface)
	}
	if want := []string{"eth0.7", "night shift.2", "night shift.2", "night shift.2", "eth0 *"}; !slices.Equal(got, want) {
		t.Errorf("interfaces %q, not %q", got, want)
	}
}

// Files with very many interfaces do not fill the memory.
func TestManyInterfaces(t *testing.T) {
	file := filepath.Join(t.TempDir(), "many.pcapng")
	const count = 3 * maxMakers
	var names []string
	for i := range count {
		names = append(names, "eth"+itoa(i))
	}
	writeNg(t, file, names...)
	r, registry := &recorder{}, prometheus.NewRegistry()
	c := config()
	c.ReadFiles = []string{file}
	check(t, Run(t.Context(), c, Deps{Publisher: r, Registry: registry}))
	r.check(t)
	series, err := testutil.GatherAndCount(registry, "nd_sensor_frames_total")
	if err != nil || series > maxMakers*len(kinds) || len(r.messages) != count {
		t.Errorf("%d events, %d series, %v", len(r.messages), series, err)
	}
}

// runFile runs the sensor on a file until it is cancelled.
func runFile(t *testing.T, file string, p Publisher) (cancel func(), done chan error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	c := config()
	c.ReadFiles = []string{file}
	done = make(chan error, 1)
	go func() { done <- Run(ctx, c, Deps{Publisher: p}) }()
	return cancel, done
}

// Standard input is read like a file, and waiting for it can be ended.
func TestStandardInput(t *testing.T) {
	data, err := os.ReadFile(resolution)
	check(t, err)
	in, out, err := os.Pipe()
	check(t, err)
	defer in.Close()
	stdin := os.Stdin
	os.Stdin = in
	defer func() { os.Stdin = stdin }()

	r := &recorder{}
	cancel, done := runFile(t, "-", r)
	if _, err := out.Write(data); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, "standard input is published", func() bool {
		return len(r.events(func(m message) bool { return m.event.Interface == "stdin" })) > 0
	})
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	out.Close() // ends the goroutine that reads it
	r.check(t)
}

// Run ends when ctx is done, even while it opens a named pipe without a writer.
func TestPipeWithoutWriter(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	check(t, unix.Mkfifo(pipe, 0o600))
	cancel, done := runFile(t, pipe, &recorder{})
	cancel()
	lab.Eventually(t, "Run ends", func() bool { return len(done) > 0 })
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	// Let the goroutine go that still waits for a writer.
	lab.Eventually(t, "the pipe has a reader", func() bool {
		fd, err := unix.Open(pipe, unix.O_WRONLY|unix.O_NONBLOCK, 0)
		if err == nil {
			unix.Close(fd)
		}
		return err == nil
	})
}

// A publisher without room is waited for, until ctx is done.
func TestCancelWhilePublishing(t *testing.T) {
	p := stuck{make(chan struct{})}
	cancel, done := runFile(t, resolution, p)
	<-p.called
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// stuck is a Publisher that never has room.
type stuck struct{ called chan struct{} }

func (stuck) TryPublish(string, string, []byte) bool { return false }
func (stuck) Flush(context.Context) error            { return nil }

func (s stuck) Publish(ctx context.Context, _, _ string, _ []byte) error {
	close(s.called)
	<-ctx.Done()
	return ctx.Err()
}
