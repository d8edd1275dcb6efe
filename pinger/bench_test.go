package pinger

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

type nullBus struct{}

func (nullBus) Subscribe(string, func(string, []byte)) (func() error, error) { return nil, nil }
func (nullBus) Publish(string, []byte) error                                 { return nil }

// BenchmarkCommand measures from the command's bytes until the kernel has taken
// an echo for every slave, with a real socket and a target that it knows.
func BenchmarkCommand(b *testing.B) {
	for _, kind := range []string{datagramSocket, rawSocket} {
		for slaves := 1; slaves <= 2; slaves++ {
			b.Run(fmt.Sprintf("%s/slaves=%d", map[string]string{datagramSocket: "datagram", rawSocket: "raw"}[kind], slaves), func(b *testing.B) {
				benchmarkCommand(b, kind, slaves)
			})
		}
	}
}

func benchmarkCommand(b *testing.B, kind string, slaves int) {
	router := lab.New(b, "router")
	router.Sysctl("net.ipv4.ping_group_range", "0 2147483647")
	const target = "2001:db8:1::42"
	names := []string{"s1", "s2"}[:slaves]
	for _, name := range names {
		host := lab.New(b, "host")
		router.Veth(name, host, "h0")
		host.Address("h0", target+"/64")
		router.LinkLocal(name)
	}
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		b.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	cfg := Config{Host: "r1", Slaves: names, Rate: 1 << 15, Timeout: time.Second, Table: 4861000}
	patterns, err := parsePatterns("PINGER_SLAVES", names)
	if err != nil {
		b.Fatal(err)
	}
	p := newProber("r1", cfg)
	p.budget = newBudget(1 << 24) // the limits are not what is measured
	p.metrics, p.log = m, log
	p.reporter = &reporter{host: "r1", bus: nullBus{}, metrics: m, log: log}
	var w *watcher
	router.Do(func() {
		var k *kernel
		if k, err = openKernel(false); err != nil {
			return
		}
		p.neighbour = k.neighbour
		w = &watcher{kernel: k, slaves: patterns, socket: kind, config: cfg, prober: p, metrics: m, log: log, changed: make(chan struct{}, 1)}
		p.repair = w.notify
		if w.tables, err = openTables(k.handle, cfg.Table, log); err == nil {
			err = w.refresh()
		}
	})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		w.close()
		if err := w.tables.close(); err != nil {
			b.Error(err)
		}
		w.kernel.close()
	}()
	cmd := command("c", target)
	cmd.Expires = time.Now().Add(time.Hour)
	data, err := json.Marshal(cmd)
	if err != nil {
		b.Fatal(err)
	}
	waiting := func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.waiting.probes)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); p.run(ctx) }()
	defer func() { cancel(); <-ended }()

	b.ReportAllocs()
	commands := 0
	for b.Loop() {
		p.handle(data)
		if commands++; commands%32 == 0 && waiting() > 64 { // the receive buffer takes some 250
			b.StopTimer()
			lab.Eventually(b, "all are answered", func() bool { return waiting() == 0 })
			b.StartTimer()
		}
	}
	for _, name := range names {
		if sent := testutil.ToFloat64(m.slave(name).sent); sent != float64(commands) {
			b.Errorf("%v echoes out of %s for %d commands", sent, name, commands)
		}
	}
}
