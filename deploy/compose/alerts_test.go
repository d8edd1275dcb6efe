package compose_test

import (
	"encoding/binary"
	"encoding/json"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
)

// logged counts the lines about our numbered frames.
func (l *composed) logged(host string) (n int) {
	for line := range strings.Lines(l.alertsLog()) {
		if strings.Contains(line, "  "+host+"/") && strings.Contains(line, "  rogue-ra  ") && strings.Contains(line, " "+ourRouter+" ") {
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
	if err != nil {
		l.Fatal(err)
	}
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
	if err != nil {
		t.Fatal(err)
	}
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
