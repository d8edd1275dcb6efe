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
	err := Run(t.Context(), c, Deps{Publisher: r})
	if r.flushes != 1 {
		t.Errorf("flushed %d times", r.flushes)
	}
	return r, err
}

func TestReadFile(t *testing.T) {
	r, err := readFiles(t, resolution)
	if err != nil {
		t.Fatal(err)
	}
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
		if err != nil {
			t.Fatal(err)
		}
		p.Data = bytes.Clone(p.Data)
		list = append(list, p)
	}
	return list
}

// All bad files are reported, and the others are read.
func TestReadBadFiles(t *testing.T) {
	dir := t.TempDir()
	data, err := os.ReadFile(resolution)
	if err != nil {
		t.Fatal(err)
	}
	truncated, text := filepath.Join(dir, "truncated.pcap"), filepath.Join(dir, "text.pcap")
	if err := errors.Join(os.WriteFile(truncated, data[:len(data)-1], 0o600), os.WriteFile(text, []byte("no capture at all"), 0o600)); err != nil {
		t.Fatal(err)
	}
	whole, err := readFiles(t, resolution)
	if err != nil {
		t.Fatal(err)
	}
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

// An interface has its name in the pcapng file, if that is a valid one.
func TestInterfaceNames(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "night shift.2.pcapng")
	whole, err := readFiles(t, resolution)
	if err != nil {
		t.Fatal(err)
	}
	frame := whole.messages[0].event.Frame
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := pcapgo.NewNgWriterInterface(f, pcapgo.NgInterface{Name: "eth0.7", LinkType: layers.LinkTypeEthernet}, pcapgo.DefaultNgWriterOptions)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "bad\nname", "\xff", "eth0 *"} {
		if _, err := w.AddInterface(pcapgo.NgInterface{Name: name, LinkType: layers.LinkTypeEthernet}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 5 {
		ci := gopacket.CaptureInfo{Timestamp: time.Unix(1700000000, 0), CaptureLength: len(frame), Length: len(frame), InterfaceIndex: i}
		if err := w.WritePacket(ci, frame); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	r, err := readFiles(t, file)
	if err != nil {
		t.Fatal(err)
	}
	r.check(t) // of the subjects too
	var got []string
	for _, m := range r.messages {
		got = append(got, m.event.Interface)
	}
	if want := []string{"eth0.7", "night shift.2", "night shift.2", "night shift.2", "eth0 *"}; !slices.Equal(got, want) {
		t.Errorf("interfaces %q, not %q", got, want)
	}
}

// Files with more interfaces than anybody has do not fill the memory.
func TestManyInterfaces(t *testing.T) {
	file := filepath.Join(t.TempDir(), "many.pcapng")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	whole, err := readFiles(t, resolution)
	if err != nil {
		t.Fatal(err)
	}
	frame := whole.messages[0].event.Frame
	ethernet := func(i int) pcapgo.NgInterface {
		return pcapgo.NgInterface{Name: "eth" + itoa(i), LinkType: layers.LinkTypeEthernet}
	}
	w, err := pcapgo.NewNgWriterInterface(f, ethernet(0), pcapgo.DefaultNgWriterOptions)
	if err != nil {
		t.Fatal(err)
	}
	const count = 3 * maxEncoders
	for i := range count {
		if i > 0 {
			if _, err := w.AddInterface(ethernet(i)); err != nil {
				t.Fatal(err)
			}
		}
		ci := gopacket.CaptureInfo{Timestamp: time.Unix(1700000000, 0), CaptureLength: len(frame), Length: len(frame), InterfaceIndex: i}
		if err := w.WritePacket(ci, frame); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	r, registry := &recorder{}, prometheus.NewRegistry()
	c := config()
	c.ReadFiles = []string{file}
	if err := Run(t.Context(), c, Deps{Publisher: r, Registry: registry}); err != nil {
		t.Fatal(err)
	}
	r.check(t)
	series, err := testutil.GatherAndCount(registry, "nd_sensor_frames_total")
	if err != nil || series > maxEncoders*len(kinds) || len(r.messages) != count {
		t.Errorf("%d events, %d series, %v", len(r.messages), series, err)
	}
}

// Standard input is read like a file, and waiting for it can be ended.
func TestStandardInput(t *testing.T) {
	data, err := os.ReadFile(resolution)
	if err != nil {
		t.Fatal(err)
	}
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	stdin := os.Stdin
	os.Stdin = in
	defer func() { os.Stdin = stdin }()

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, done := &recorder{}, make(chan error, 1)
	c := config()
	c.ReadFiles = []string{"-"}
	go func() { done <- Run(ctx, c, Deps{Publisher: r}) }()
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
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	c := config()
	c.ReadFiles = []string{pipe}
	go func() { done <- Run(ctx, c, Deps{Publisher: &recorder{}}) }()
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
	ctx, cancel := context.WithCancel(t.Context())
	p := stuck{make(chan struct{})}
	done := make(chan error, 1)
	c := config()
	c.ReadFiles = []string{resolution}
	go func() { done <- Run(ctx, c, Deps{Publisher: p}) }()
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
