package bench

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/ndmon/ndmon/deploy/bench/proc"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas"
)

// Addresses in the namespace of what is measured.
const (
	natsAddress   = "127.0.0.1:4222"
	sensorMetrics = "127.0.0.1:9101"
	ruledMetrics  = "127.0.0.1:9102"
	pingerMetrics = "127.0.0.1:9103"
)

// host is the name of the router in events.
const host = "bench"

// system has the processes that a scenario measures, in run.parts.
type system struct {
	*run
	at *lab.Namespace
	// counts reads the counters of the frames.
	counts func() counts
	// alerts calls handle for each alert, one at a time, until end is called.
	alerts func(handle func(alert []byte)) (end func())
}

// job configures a system.
type job struct {
	// file is the capture file to read, interfaces are those to capture, or master and
	// slaves those to relay between.
	file           string
	interfaces     []string
	master, slaves string
	// arriving relays the solicitations that arrive on the master, not those that leave.
	arriving bool
	// advertised relays Router Advertisements too.
	advertised bool
	// rules is the text of a rule file, empty for the built-in rules.
	rules string
	// env are further environment variables.
	env []string
	// counted makes the processes serve metrics, which counts needs.
	counted bool
}

// together starts ndmon.
func (r *run) together(at *lab.Namespace, j job) *system {
	r.Helper()
	s := &system{run: r, at: at}
	s.counts = func() counts { return s.metrics(sensorMetrics) }
	s.alerts = s.subscribed
	args := []string{"--data", filepath.Join(r.dir, "data"), "--host", host, "-o", "json"}
	if j.rules != "" {
		args = append(args, "-R", s.file("rules.xml", j.rules))
	}
	path := filepath.Join(r.Bin, ndmon)
	if j.file != "" {
		return r.reader(at, path, append(args, "-r", j.file)...)
	}
	args = append(args, "--listen", natsAddress)
	if j.counted {
		args = append(args, "--metrics", sensorMetrics)
	}
	if j.master != "" {
		args = append(args, "-m", j.master, "-s", j.slaves)
	} else {
		args = append(args, "-i", strings.Join(j.interfaces, ","))
	}
	if j.arriving {
		args = append(args, "--route", "--proxy")
	}
	if j.advertised {
		args = append(args, "--ra")
	}
	s.says(s.launch(ndmon, path, args, j.env), "msg=capturing")
	return s
}

// printing starts ndmon, whose alerts are read from its standard output.
func (r *run) printing(at *lab.Namespace, j job) *system {
	r.Helper()
	s := r.together(at, j)
	s.alerts = s.parts[0].follow
	return s
}

// apart starts the separate processes and their nats-server.
func (r *run) apart(at *lab.Namespace, j job) *system {
	r.Helper()
	s := &system{run: r, at: at}
	s.counts = func() counts { return s.metrics(sensorMetrics, ruledMetrics) }
	s.alerts = s.subscribed
	s.launch("nats-server", r.Self, []string{serveNATS, natsAddress, filepath.Join(r.dir, "nats")}, nil)
	r.eventually("nats-server listens", func() bool {
		conn, err := at.Dial("tcp", natsAddress)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	daemon := func(name, says, metrics string, variables ...string) {
		prefix := strings.ToUpper(strings.TrimPrefix(name, "nd-"))
		env := append(slices.Clone(j.env), "NATS_URL=nats://"+natsAddress, prefix+"_LOG_LEVEL=info")
		if j.counted {
			env = append(env, prefix+"_METRICS="+metrics)
		}
		for _, v := range variables {
			env = append(env, prefix+"_"+v)
		}
		s.says(s.launch(name, filepath.Join(r.Bin, name), nil, env), says)
	}
	rules := ""
	if j.rules != "" {
		rules = s.file("rules.xml", j.rules)
	}
	daemon("nd-ruled", "reading events", ruledMetrics, "RULES="+rules)
	if j.slaves != "" {
		daemon("nd-pinger", "pinger ready", pingerMetrics, "HOST="+host, "SLAVES="+j.slaves)
	}
	daemon("nd-sensor", "msg=capturing", sensorMetrics, "HOST="+host, "INTERFACES="+strings.Join(j.interfaces, ","), "MASTERS="+j.master)
	return s
}

// file writes a file for the processes.
func (s *system) file(name, text string) string {
	s.Helper()
	path := filepath.Join(s.dir, name)
	s.must(os.MkdirAll(filepath.Dir(path), 0o700), "make a folder")
	s.must(os.WriteFile(path, []byte(text), 0o600), "write a file for the programs")
	return path
}

func (s *system) launch(name, path string, args, env []string) part {
	s.Helper()
	out := &output{}
	p := part{name, s.at.Start(lab.Command{Path: path, Args: args, Env: append(os.Environ(), env...), Stdout: out}), out}
	s.parts = append(s.parts, p)
	return p
}

// says waits until the log of a process contains a text.
func (s *system) says(p part, text string) {
	s.Helper()
	s.eventually("the log says "+text, func() bool { return strings.Contains(p.Stderr.String(), text) })
}

// stop ends the processes, the last one first.
func (s *system) stop() {
	s.Helper()
	parts := s.parts
	s.parts = nil
	for _, p := range slices.Backward(parts) {
		p.Stop()
	}
}

// connect returns a connection to the system's NATS, over TCP.
func (s *system) connect() *nats.Conn {
	s.Helper()
	conn, err := nats.Connect("nats://"+natsAddress, nats.SetCustomDialer(s.at), nats.Name("ndbench"), nats.MaxReconnects(0),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	s.must(err, "connect to NATS")
	s.Cleanup(conn.Close)
	return conn
}

// subscribed calls handle for each alert that a NATS subscriber receives.
func (s *system) subscribed(handle func(alert []byte)) (end func()) {
	s.Helper()
	conn := s.connect()
	sub, err := conn.Subscribe(schemas.SubjectAlerts, func(m *nats.Msg) { handle(m.Data) })
	if err == nil {
		err = errors.Join(sub.SetPendingLimits(-1, -1), conn.FlushTimeout(10*time.Second))
	}
	s.must(err, "subscribe to the alerts")
	return func() { sub.Unsubscribe() }
}

// counts are counters of the system.
type counts struct {
	evaluated                    float64
	inKernel, inBuffer, inStream float64 // lost there
	commands                     float64 // of the pinger
}

// metrics reads the counters from the metrics of the processes.
func (s *system) metrics(addresses ...string) counts {
	s.Helper()
	var c counts
	for _, address := range addresses {
		m, err := proc.Scraper{At: s.at, Address: address}.Read(s.ctx)
		s.must(err, "count")
		c.evaluated += m.Sum("nd_ruled_events_total")
		c.inKernel += m.Sum("nd_sensor_dropped_total", `reason="kernel"`)
		c.inBuffer += m.Sum("nd_sensor_dropped_total", `reason="buffer"`)
		c.inStream += m.Sum("nd_ruled_missed_batches_total")
		c.commands += m.Sum("nd_pinger_commands_total")
	}
	return c
}

func (c counts) lost() float64 { return c.inKernel + c.inBuffer + c.inStream }

func (c counts) minus(o counts) counts {
	return counts{
		c.evaluated - o.evaluated, c.inKernel - o.inKernel, c.inBuffer - o.inBuffer, c.inStream - o.inStream, c.commands - o.commands,
	}
}
