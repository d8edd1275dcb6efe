package compose_test

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
)

// privileges checks that each service has what it needs and no more.
func (l *composed) privileges() {
	type rights struct {
		Capabilities []string
		User         string
		Keys         []string
	}
	const nobody = "65532:65532"
	want := map[string]rights{
		"keys":      {Capabilities: []string{"CHOWN"}},
		"nats":      {User: nobody, Keys: []string{"nats-server.conf", "users.conf"}},
		"ruled":     {User: nobody, Keys: []string{"ruled.nk"}},
		"alerts":    {User: nobody, Keys: []string{"viewer.nk"}},
		"r1":        {Capabilities: []string{"NET_RAW"}},
		"r1-sensor": {Capabilities: []string{"NET_RAW"}, Keys: []string{"sensor-r1.nk"}},
		"r1-pinger": {Capabilities: []string{"NET_ADMIN", "NET_RAW"}, Keys: []string{"pinger-r1.nk"}},
		"r2":        {Capabilities: []string{"NET_RAW"}},
		"r2-sensor": {Capabilities: []string{"NET_RAW"}, Keys: []string{"sensor-r2.nk"}},
		"r2-pinger": {Capabilities: []string{"NET_ADMIN", "NET_RAW"}, Keys: []string{"pinger-r2.nk"}},
		"h1":        {},
		"h2":        {Capabilities: []string{"NET_ADMIN"}},
		"traffic":   {Capabilities: []string{"NET_RAW"}},
	}
	got := map[string]rights{}
	for _, id := range l.containers() {
		var c struct {
			Config struct {
				User   string
				Labels map[string]string
			}
			HostConfig struct {
				ReadonlyRootfs, Privileged   bool
				CapAdd, CapDrop, SecurityOpt []string
				Memory                       int64
			}
		}
		must(l, json.Unmarshal(l.docker("inspect", "--format", "{{json .}}", id), &c))
		service := c.Config.Labels["com.docker.compose.service"]
		h := c.HostConfig
		if !h.ReadonlyRootfs || h.Privileged || h.Memory == 0 || !slices.Equal(h.CapDrop, []string{"ALL"}) ||
			!slices.ContainsFunc(h.SecurityOpt, func(s string) bool { return strings.HasPrefix(s, "no-new-privileges") }) {
			l.Errorf("%s: %+v", service, h)
		}
		r := rights{User: c.Config.User}
		for _, name := range h.CapAdd {
			r.Capabilities = append(r.Capabilities, strings.TrimPrefix(name, "CAP_"))
		}
		slices.Sort(r.Capabilities)
		if service != "keys" && len(want[service].Keys) > 0 {
			r.Keys = l.files(id, "/keys")
		}
		got[service] = r
	}
	if diff := cmp.Diff(want, got); diff != "" {
		l.Errorf("rights (-want +got):\n%s", diff)
	}
}

// files lists the files in a folder of a container, none of which others may
// read.
func (l *composed) files(id, folder string) (names []string) {
	archive := tar.NewReader(bytes.NewReader(l.docker("cp", id+":"+folder, "-")))
	for {
		h, err := archive.Next()
		if err == io.EOF {
			break
		}
		must(l, err)
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if h.Mode&0o777 != 0o600 {
			l.Errorf("%s has mode %o", h.Name, h.Mode)
		}
		names = append(names, filepath.Base(h.Name))
	}
	slices.Sort(names)
	return names
}

// memory checks what all containers use together.
func (l *composed) memory() {
	l.Helper()
	units := map[string]float64{"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
	var sum float64
	args := []string{"stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}"}
	for _, id := range l.containers() {
		if l.inspect(id, "{{.State.Running}}") == "true" {
			args = append(args, id)
		}
	}
	out := string(l.docker(args...))
	for line := range strings.Lines(out) {
		used := strings.Fields(line)[1]
		number := strings.TrimRight(used, "KMGiB")
		n, err := strconv.ParseFloat(number, 64)
		unit := units[used[len(number):]]
		if err != nil || unit == 0 {
			l.Fatalf("docker stats: %q", line)
		}
		sum += n * unit
	}
	l.Logf("memory of the lab: %.0f MB", sum/1e6)
	if sum == 0 || sum > mostMemory {
		l.Errorf("the lab uses %.0f MB, at most %.0f MB:\n%s", sum/1e6, mostMemory/1e6, out)
	}
}

// images checks the size of every image.
func (l *composed) images() {
	l.Helper()
	sizes := map[string]int64{}
	for _, id := range l.containers() {
		size, err := strconv.ParseInt(l.inspect(l.inspect(id, "{{.Image}}"), "{{.Size}}"), 10, 64)
		if err != nil || size == 0 || size > mostImage {
			l.Errorf("image of %s has %d bytes, at most %.0f (%v)", l.inspect(id, "{{.Name}}"), size, mostImage, err)
		}
		sizes[l.inspect(id, `{{index .Config.Entrypoint 0}}`)] = size
	}
	for _, name := range slices.Sorted(maps.Keys(sizes)) {
		l.Logf("image of %s: %.1f MB", name, float64(sizes[name])/1e6)
	}
}

// logged counts the lines about our numbered frames.
func (l *composed) logged(host string) (n int) {
	ours := false // the lines are about such a frame
	for line := range strings.Lines(l.alertsLog()) {
		if !strings.HasPrefix(line, " ") {
			ours = strings.Contains(line, " "+host+"/") && strings.Contains(line, "  "+ourRouter+" ")
		}
		if ours && strings.Contains(line, " rogue-ra  ") {
			n++
		}
	}
	return n
}

// ourRouter and ourMAC are the source of the numbered frames.
const (
	ourRouter = "fe80::7"
	ourMAC    = "02:00:00:00:00:07"
)

// attacker is the Ethernet source of the attacks of the service traffic.
const attacker = "02:00:00:00:0b:ad"

// wire is the engine's end of one of the lab's networks.
type wire struct {
	l *composed
	*lab.Sender
}

// attach opens the bridge of a network, which the engine names by the network's
// id.
func (l *composed) attach(network string) wire {
	l.Helper()
	project := l.inspect(l.container("h1"), `{{index .Config.Labels "com.docker.compose.project"}}`)
	s, err := lab.NewSender("br-" + l.inspect(project+"_"+network, "{{.Id}}")[:12])
	must(l, err)
	l.Cleanup(func() { s.Close() })
	return wire{l, s}
}

// send sends a Router Advertisement whose reachable time is a number to know it
// by.
func (w wire) send(n int) {
	w.l.Helper()
	const reachableTime, lifetime = 4, 1800
	mac, err := net.ParseMAC(ourMAC)
	if err != nil {
		w.l.Fatal(err)
	}
	ra := lab.RouterAdvertisement(mac, netip.MustParseAddr(ourRouter), lifetime)
	binary.BigEndian.PutUint32(ra.Body[reachableTime:], uint32(n))
	if _, err := w.Write(ra.Frame()); err != nil {
		w.l.Fatal(err)
	}
}

// stored are the alerts as the stream has them, read with the rights of a
// viewer.
type stored struct {
	t      *testing.T
	js     jetstream.JetStream
	next   uint64
	alerts []alert
}

type alert struct {
	schemas.Alert
	event schemas.Event
}

func follow(t *testing.T, nc *nats.Conn) *stored {
	t.Helper()
	js, err := jetstream.New(nc)
	must(t, err)
	return &stored{t: t, js: js, next: 1}
}

// read reads what has been stored since; less while the server is away.
func (s *stored) read() {
	stream, err := s.js.Stream(s.t.Context(), schemas.StreamAlerts)
	if err != nil {
		return
	}
	// An error is that of a server that is killed: the next call reads on.
	_ = bus.ReadStored(s.t.Context(), stream, s.next, false, func(m jetstream.Msg, seq uint64) {
		var a alert
		if err := json.Unmarshal(m.Data(), &a.Alert); err != nil {
			s.t.Fatalf("alert %s: %v", m.Data(), err)
		}
		if err := json.Unmarshal(a.Event, &a.event); err != nil {
			s.t.Fatalf("event of alert %s: %v", m.Data(), err)
		}
		s.alerts = append(s.alerts, a)
		s.next = seq + 1
	})
}

// of returns the alerts of a rule but for those that the test provoked itself.
func (s *stored) of(rule string) (list []alert) {
	s.read()
	for _, a := range s.alerts {
		if a.Rule == rule && a.event.Inet6.Source.String() != ourRouter {
			list = append(list, a)
		}
	}
	return list
}

// accusing returns the alerts above info that name a station.
func (s *stored) accusing() (list []alert) {
	s.read()
	for _, a := range s.alerts {
		if a.Severity != schemas.Info && a.event.Ethernet != nil {
			list = append(list, a)
		}
	}
	return list
}

// numbers returns the numbers of the frames that a host alerted.
func (s *stored) numbers(host string) (numbers []int) {
	s.read()
	for _, a := range s.alerts {
		if a.Rule == "rogue-ra" && a.Host == host && a.event.Inet6.Source.String() == ourRouter {
			numbers = append(numbers, int(a.event.ND.RA.ReachableTimer))
		}
	}
	return numbers
}
