package e2e

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
)

// brokerEnv makes this test's binary a nats-server with its command line.
const brokerEnv = "NDMON_E2E_BROKER"

func runBroker(args []string) int {
	fail := func(err error) int {
		fmt.Fprintln(os.Stderr, "nats-server:", err)
		return 1
	}
	flags := flag.NewFlagSet("nats-server", flag.ContinueOnError)
	opts, err := server.ConfigureOptions(flags, args, func() {}, func() {}, func() {})
	if err != nil {
		return fail(err)
	}
	s, err := server.NewServer(opts)
	if err != nil {
		return fail(err)
	}
	s.ConfigureLogger()
	if err := server.Run(s); err != nil {
		return fail(err)
	}
	s.WaitForShutdown()
	return 0
}

// broker is a nats-server in a process of its own, with JetStream on files.
type broker struct {
	*lab.Process
	t    *testing.T
	at   *lab.Namespace
	dir  string
	conf string // a configuration to use instead of the folder
}

// brokerPort is the server's port, on all addresses.
const brokerPort = "4222"

func startBroker(t *testing.T, at *lab.Namespace) *broker {
	t.Helper()
	b := &broker{t: t, at: at, dir: t.TempDir()}
	b.start()
	return b
}

// start starts it, again after it was stopped, with what it has stored.
func (b *broker) start() {
	b.t.Helper()
	self, err := os.Executable()
	if err != nil {
		b.t.Fatal(err)
	}
	args := []string{"-a", "::", "-p", brokerPort, "-js", "-sd", b.dir}
	if b.conf != "" {
		args = []string{"-c", b.conf}
	}
	b.Process = b.at.Start(lab.Command{Path: self, Args: args, Env: []string{brokerEnv + "=1"}})
	b.Stderr.WaitFor("Server is ready")
}

// localNATS is the address of ndmon's NATS server and of a broker in the namespace.
const localNATS = "nats://127.0.0.1:" + brokerPort

// connect connects to a NATS server from within a namespace, to an ndmon as one that
// may read its key. It comes back at once when the server does.
func connect(t *testing.T, from *lab.Namespace, url string) *nats.Conn {
	t.Helper()
	return connectWith(t, from, url, keyOf(t, from, url)...)
}

func connectWith(t *testing.T, from *lab.Namespace, url string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, append(opts, nats.SetCustomDialer(from), nats.Name("e2e"), nats.MaxReconnects(-1),
		nats.ReconnectWait(2*time.Millisecond), nats.ReconnectJitter(0, 0), nats.Timeout(lab.Patience))...)
	if err != nil {
		t.Fatalf("connect to NATS: %v", err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// keyOf returns the key of the ndmon that serves a URL in a namespace, which it has
// noted, or nothing if there is none.
func keyOf(t *testing.T, from *lab.Namespace, url string) (opts []nats.Option) {
	t.Helper()
	var network string
	var err error
	from.Do(func() { network, err = os.Readlink("/proc/thread-self/ns/net") })
	must(t, err)
	port := url[strings.LastIndex(url, ":")+1:]
	seedFile, err := os.ReadFile("/run/ndmon/" + strings.Trim(network, "net:[]") + "-" + port)
	if err != nil {
		return nil
	}
	key, err := nats.NkeyOptionFromSeed(string(seedFile))
	if err != nil {
		return nil // of one that has ended
	}
	return []nats.Option{key}
}

// collect gathers the messages on a subject from now on. The channel is large
// enough for all that a test makes.
func collect(t *testing.T, nc *nats.Conn, subject string) <-chan *nats.Msg {
	t.Helper()
	const most = 1 << 17
	messages := make(chan *nats.Msg, most)
	if _, err := nc.ChanSubscribe(subject, messages); err != nil {
		t.Fatalf("subscribe to %s: %v", subject, err)
	}
	if err := nc.FlushTimeout(lab.Patience); err != nil {
		t.Fatalf("subscribe to %s: %v", subject, err)
	}
	return messages
}

// next waits for the next message.
func next(t *testing.T, messages <-chan *nats.Msg, what string) *nats.Msg {
	t.Helper()
	late := time.NewTimer(lab.Patience)
	defer late.Stop()
	select {
	case m := <-messages:
		return m
	case <-late.C:
		t.Fatalf("not within %v: %s", lab.Patience, what)
		return nil
	}
}

// publish sends a message with the core protocol and waits until the server has
// it.
func publish(t *testing.T, nc *nats.Conn, subject string, data []byte) {
	t.Helper()
	if err := nc.Publish(subject, data); err != nil {
		t.Fatalf("publish on %s: %v", subject, err)
	}
	if err := nc.FlushTimeout(lab.Patience); err != nil {
		t.Fatalf("publish on %s: %v", subject, err)
	}
}

// stream returns a stream as it is now.
func stream(t *testing.T, nc *nats.Conn, name string) jetstream.Stream {
	t.Helper()
	js, err := jetstream.New(nc)
	must(t, err)
	s, err := js.Stream(t.Context(), name)
	if err != nil {
		t.Fatalf("look up stream %s: %v", name, err)
	}
	return s
}

// storedAlerts returns the alerts in the stream ND_ALERTS, in its order.
func storedAlerts(t *testing.T, nc *nats.Conn) (list []alert) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), lab.Patience)
	defer cancel()
	if err := bus.ReadStored(ctx, stream(t, nc, schemas.StreamAlerts), 1, false, func(m jetstream.Msg, _ uint64) {
		if m.Subject() != schemas.SubjectAlerts {
			return // the position of an edge
		}
		a := parseAlert(t, m.Data())
		if id := m.Headers().Get(nats.MsgIdHdr); id != a.ID {
			t.Errorf("alert %s has the Nats-Msg-Id %q", a.ID, id)
		}
		list = append(list, a)
	}); err != nil {
		t.Fatal(err)
	}
	return list
}

// alert is the message nd.alert.v1 of the contract, as a program reads it that does
// not use the types of schemas.
type alert struct {
	Type, Time, Severity, Host, Interface, Rule, Summary, Description, ID string

	Event event
}

// event likewise is nd.event.v1, as far as the tests look at it.
type event struct {
	Type, ID, Time, Host, Interface, Direction string

	Master   bool
	Ethernet *struct {
		Source, Destination string
		VLAN                *int
	}
	ND *struct {
		RA *struct{ ReachableTimer, Lifetime int }
		NA *struct{ TargetAddress string }
	}
	Lost   *struct{ Kernel, Buffer uint64 }
	Sensor *struct{ Started string } // of a heartbeat
	Frame  []byte

	Conflict *struct{ Address, Ethernet, OtherInterface, OtherEthernet string }
}

// result is nd.result.v1.
type result struct {
	Type, ID, Time, Host, Relay, Target, Slave, Status, RTT, Ethernet, Reason, Error string

	Proxied bool
}

// command is nd.relay.v1.
type command struct {
	Type    string `json:"type"`
	ID      string `json:"id"`
	Time    string `json:"time"`
	Expires string `json:"expires"`
	Host    string `json:"host"`
	Target  string `json:"target"`
	Rule    string `json:"rule"`
	Event   string `json:"event"`
	// Solicitation is the reason for the command. Now requires a probe in any case.
	Solicitation *solicitation `json:"solicitation,omitempty"`
	Now          bool          `json:"now,omitempty"`
}

// solicitation describes the requester of a command.
type solicitation struct {
	Host      string `json:"host"`
	Interface string `json:"interface"`
	Direction string `json:"direction"`
	Source    string `json:"source"`
	Ethernet  string `json:"ethernet"`
}

func parseAlert(t *testing.T, data []byte) alert {
	t.Helper()
	a := parse[alert](t, data)
	if a.Type != "nd.alert.v1" || a.Event.Type != "nd.event.v1" {
		t.Fatalf("this is no alert: %s", data)
	}
	return a
}

func parse[T any](t *testing.T, data []byte) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("message is no JSON: %v\n%s", err, data)
	}
	return v
}

// marshal returns a message as JSON.
func marshal(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // a mistake in the test
	}
	return data
}

// printed returns the alerts that a program has printed so far, in the format
// json.
func printed(t *testing.T, p *lab.Process) []alert {
	t.Helper()
	var list []alert
	for _, line := range p.Stdout.Lines() {
		list = append(list, parseAlert(t, []byte(line)))
	}
	return list
}

// perRule counts alerts by the id of their rule.
func perRule(list []alert) map[string]int {
	count := map[string]int{}
	for _, a := range list {
		count[a.Rule]++
	}
	return count
}
