package bench

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/ndmon/ndmon/deploy/lab"
)

// program is one that a scenario measures.
type program struct {
	name string
	// path is a program that is looked for on the PATH, and left out where it is not
	// installed. It is empty for those that come with ndbench.
	path  string
	start func(*run, *lab.Namespace, job) *system
}

// installed reports whether the program can be measured.
func (p program) installed() bool {
	_, err := exec.LookPath(p.path)
	return p.path == "" || err == nil
}

// The names of programs.
const (
	ndmon      = "ndmon"
	printed    = "ndmon, standard output"
	subscribed = "ndmon, NATS subscriber"
	builtIn    = "ndmon, built-in rules"
	bare       = "bare loop"
	dumper     = "tcpdump -n"
	tcpdump    = "tcpdump"
	addrwatch  = "addrwatch"
	ndppd      = "ndppd"
	odhcpd     = "odhcpd"
)

func ours() []program  { return []program{{ndmon, "", (*run).together}} }
func fleet() []program { return []program{{"separate processes", "", (*run).apart}} }

// watchers see the frames of an interface, and do less with them than ndmon does.
func watchers() []program {
	return []program{loop(), {dumper, tcpdump, (*run).tcpdump}, {addrwatch, addrwatch, func(r *run, at *lab.Namespace, j job) *system {
		return r.writer(at, addrwatch, j.interfaces...)
	}}}
}

// tellers alert.
func tellers() []program {
	return append([]program{{dumper, tcpdump, (*run).tcpdump}, {printed, "", (*run).printing}, {subscribed, "", (*run).together}}, fleet()...)
}

// readers read a capture file.
func readers() []program {
	return []program{{dumper, tcpdump, (*run).tcpdump}, {ndmon, "", (*run).together}, {builtIn, "", (*run).together}}
}

// loop reads the frames of an interface.
func loop() program {
	return program{name: bare, start: func(r *run, at *lab.Namespace, j job) *system {
		s := &system{run: r, at: at}
		p := s.launch(bare, r.Self, append([]string{bareCapture}, j.interfaces...), nil)
		s.counts = func() counts { return p.counters() }
		s.eventually("the bare loop reads frames", func() bool { return p.lines() > 0 })
		return s
	}}
}

// relayLoop sends a solicitation on the slaves for each one on the master.
func relayLoop() program {
	return program{name: bare, start: func(r *run, at *lab.Namespace, j job) *system {
		s := &system{run: r, at: at}
		direction := "out"
		if j.arriving {
			direction = "in"
		}
		s.launch(bare, r.Self, []string{bareRelay, direction, j.master, j.slaves}, nil)
		return s
	}}
}

// proxies relay solicitations that arrive on the master.
func proxies() []program {
	return []program{{ndppd, ndppd, (*run).ndppd}, {odhcpd, odhcpd, (*run).odhcpd}}
}

func (r *run) ndppd(at *lab.Namespace, j job) *system {
	r.Helper()
	s := &system{run: r, at: at}
	var b strings.Builder
	b.WriteString("proxy " + j.master + " {\n")
	for slave := range strings.SplitSeq(j.slaves, ",") {
		b.WriteString("rule 2001:db8:5::/64 {\niface " + slave + "\n}\n")
	}
	b.WriteString("}\n")
	s.launch(ndppd, ndppd, []string{"-c", s.file("ndppd.conf", b.String())}, nil)
	return s
}

func (r *run) odhcpd(at *lab.Namespace, j job) *system {
	r.Helper()
	s := &system{run: r, at: at}
	var b strings.Builder
	for i, name := range append([]string{j.master}, strings.Split(j.slaves, ",")...) {
		b.WriteString("config dhcp " + name + "\noption ifname " + name + "\noption ndp relay\n")
		if j.advertised {
			b.WriteString("option ra relay\n")
		}
		if i == 0 {
			b.WriteString("option master 1\n")
		}
	}
	s.launch(odhcpd, odhcpd, []string{"-c", filepath.Dir(s.file("odhcpd/dhcp", b.String())), "-f", "-u", "-l", "3"}, nil)
	return s
}

func (r *run) tcpdump(at *lab.Namespace, j job) *system {
	if j.file != "" {
		return r.reader(at, tcpdump, "-n", "-r", j.file)
	}
	return r.writer(at, tcpdump, "-i", strings.Join(j.interfaces, ","), "--immediate-mode", "-s", "256", "-n", "-l", "icmp6")
}

// opened is the time in which a program of others opens an interface.
const opened = time.Second

// writer starts a program of others that writes a line for each frame.
func (r *run) writer(at *lab.Namespace, name string, args ...string) *system {
	r.Helper()
	s := &system{run: r, at: at}
	p := s.launch(name, name, args, nil)
	s.counts = func() counts { return counts{evaluated: float64(p.lines())} }
	s.alerts = p.follow
	s.pause(opened)
	return s
}

// reader starts a program that reads a capture file to its end.
func (r *run) reader(at *lab.Namespace, path string, args ...string) *system {
	r.Helper()
	s := &system{run: r, at: at}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	s.must(err, "open the null device")
	s.Cleanup(func() { null.Close() })
	s.parts = append(s.parts, part{r.program.name, at.Start(lab.Command{Path: path, Args: args, Stdout: null}), nil})
	return s
}
