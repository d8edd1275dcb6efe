package bench

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/ndmon/ndmon/deploy/bench/proc"
	"github.com/ndmon/ndmon/deploy/lab"
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

// system has the processes that a scenario measures: ndmon, or the separate daemons.
type system struct {
	*run
	at *lab.Namespace
	// The processes, nil if not started.
	ndmon, server, sensor, ruled, pinger *lab.Process
	// sensorAt and ruledAt read the metrics. They are the same in ndmon.
	sensorAt, ruledAt proc.Scraper
}

// job configures a system.
type job struct {
	// The interfaces to capture, or the master and slaves to relay between.
	interfaces     []string
	master, slaves string
	// options are further options of ndmon.
	options []string
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
	s := &system{run: r, at: at, sensorAt: proc.Scraper{At: at, Address: sensorMetrics}}
	s.ruledAt = s.sensorAt
	args := []string{"--listen", natsAddress, "--data", filepath.Join(r.dir, "data"), "--host", host, "-l", "info", "-o", "json"}
	if j.counted {
		args = append(args, "--metrics", sensorMetrics)
	}
	if j.master != "" {
		args = append(args, "-m", j.master, "-s", j.slaves)
	} else {
		args = append(args, "-i", strings.Join(j.interfaces, ","))
	}
	args = append(args, j.options...)
	if path := s.ruleFile(j); path != "" {
		args = append(args, "-R", path)
	}
	s.ndmon = s.start(filepath.Join(r.Bin, "ndmon"), args, j.env)
	s.says(s.ndmon, "msg=capturing")
	return s
}

// apart starts the separate processes and their nats-server.
func (r *run) apart(at *lab.Namespace, j job) *system {
	r.Helper()
	s := &system{run: r, at: at, sensorAt: proc.Scraper{At: at, Address: sensorMetrics}, ruledAt: proc.Scraper{At: at, Address: ruledMetrics}}
	s.server = s.start(r.Server[0], append(r.Server[1:len(r.Server):len(r.Server)], natsAddress, filepath.Join(r.dir, "nats")), nil)
	r.eventually("nats-server listens", func() bool {
		conn, err := at.Dial("tcp", natsAddress)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	env := func(prefix, metrics string, variables ...string) []string {
		variables = append(variables, "NATS_URL=nats://"+natsAddress, prefix+"_LOG_LEVEL=info")
		if j.counted {
			variables = append(variables, prefix+"_METRICS="+metrics)
		}
		return append(variables, j.env...)
	}
	s.ruled = s.start(filepath.Join(r.Bin, "nd-ruled"), nil, env("RULED", ruledMetrics, "RULED_RULES="+s.ruleFile(j)))
	s.says(s.ruled, "reading events")
	if j.slaves != "" {
		s.pinger = s.start(filepath.Join(r.Bin, "nd-pinger"), nil, env("PINGER", pingerMetrics, "PINGER_HOST="+host, "PINGER_SLAVES="+j.slaves))
		s.says(s.pinger, "pinger ready")
	}
	s.sensor = s.start(filepath.Join(r.Bin, "nd-sensor"), nil, env("SENSOR", sensorMetrics, "SENSOR_HOST="+host,
		"SENSOR_INTERFACES="+strings.Join(j.interfaces, ","), "SENSOR_MASTERS="+j.master))
	s.says(s.sensor, "msg=capturing")
	return s
}

func (s *system) ruleFile(j job) string {
	s.Helper()
	if j.rules == "" {
		return ""
	}
	path := filepath.Join(s.dir, "rules.xml")
	s.must(os.WriteFile(path, []byte(j.rules), 0o600), "write the rules")
	return path
}

func (s *system) start(path string, args, env []string) *lab.Process {
	s.Helper()
	p := s.at.Start(lab.Command{Path: path, Args: args, Env: append(os.Environ(), env...)})
	s.processes = append(s.processes, p)
	return p
}

// says waits until the log of a process contains a text.
func (s *system) says(p *lab.Process, text string) {
	s.Helper()
	s.eventually("the log says "+text, func() bool { return strings.Contains(p.Stderr.String(), text) })
}

// stop ends the processes, the last one first.
func (s *system) stop() {
	s.Helper()
	processes := s.processes
	s.processes = nil
	for i := len(processes) - 1; i >= 0; i-- {
		processes[i].Stop()
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

// subscribe calls handle for each message on a subject, one at a time.
func (s *system) subscribe(subject string, handle func(data []byte)) *nats.Subscription {
	s.Helper()
	conn := s.connect()
	sub, err := conn.Subscribe(subject, func(m *nats.Msg) { handle(m.Data) })
	if err == nil {
		err = errors.Join(sub.SetPendingLimits(-1, -1), conn.FlushTimeout(10*time.Second))
	}
	s.must(err, "subscribe to "+subject)
	return sub
}

// counts are counters of the system.
type counts struct {
	evaluated                    float64
	inKernel, inBuffer, inStream float64 // lost there
}

func (s *system) counts() counts {
	s.Helper()
	sensor, err := s.sensorAt.Read(s.ctx)
	s.must(err, "count")
	ruled := sensor
	if s.ruledAt != s.sensorAt {
		ruled, err = s.ruledAt.Read(s.ctx)
		s.must(err, "count")
	}
	return counts{
		evaluated: ruled.Sum("nd_ruled_events_total"),
		inKernel:  sensor.Sum("nd_sensor_dropped_total", `reason="kernel"`),
		inBuffer:  sensor.Sum("nd_sensor_dropped_total", `reason="buffer"`),
		inStream:  ruled.Sum("nd_ruled_missed_events_total"),
	}
}

func (c counts) lost() float64 { return c.inKernel + c.inBuffer + c.inStream }

func (c counts) minus(o counts) counts {
	return counts{
		c.evaluated - o.evaluated, c.inKernel - o.inKernel, c.inBuffer - o.inBuffer, c.inStream - o.inStream,
	}
}
