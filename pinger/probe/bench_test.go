package probe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/pinger/kernel"
	"github.com/ndmon/ndmon/pinger/port"
	"github.com/ndmon/ndmon/pinger/wire"
	"github.com/ndmon/ndmon/schemas/iface"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// BenchmarkCommand measures from the command's bytes until the kernel has accepted an
// echo for every slave, with a real socket and a target that the kernel has discovered.
func BenchmarkCommand(b *testing.B) {
	for name, kind := range map[string]wire.Kind{"datagram": wire.Datagram, "raw": wire.Raw} {
		for slaves := 1; slaves <= 2; slaves++ {
			b.Run(fmt.Sprintf("%s/slaves=%d", name, slaves), func(b *testing.B) {
				benchmarkCommand(b, kind, slaves)
			})
		}
	}
}

// unlimited is a kernel whose neighbour table does not limit the echoes.
type unlimited struct{ *kernel.Kernel }

func (unlimited) TableSize() (entries, most int, err error) { return 0, 0, errors.ErrUnsupported }

const benchTargets = 64

// socket receives answers.
type socket interface {
	Receive(wire.Receiver) error
	Close() error
}

// openBench makes a router with a host behind each slave that has all targets, and opens
// what a prober needs there.
func openBench(b *testing.B, kind wire.Kind, count int, log *slog.Logger, registry prometheus.Registerer) (ports *port.Set, k *kernel.Kernel, tables *kernel.Tables, sockets []socket) {
	router := lab.New(b, "router")
	router.Sysctl("net.ipv4.ping_group_range", "0 2147483647")
	names := []string{"s1", "s2"}[:count]
	for _, name := range names {
		host := lab.New(b, "host")
		router.Veth(name, host, "h0")
		var addresses []string
		for i := range benchTargets {
			addresses = append(addresses, fmt.Sprintf("2001:db8:1::42:%x/64", i))
		}
		host.Address("h0", addresses...)
		router.LinkLocal(name)
	}
	patterns, err := iface.ParsePatterns(names)
	if err != nil {
		b.Fatal(err)
	}
	router.Do(func() {
		if k, err = kernel.Open(false); err != nil {
			return
		}
		var links []iface.Link
		if links, err = k.Links(); err != nil {
			return
		}
		ports = port.NewSet(patterns, nil, links, port.NewMetrics(registry))
		if tables, err = k.OpenTables(4861000, log); err != nil {
			return
		}
		var slaves []*iface.Link
		for _, p := range ports.Slaves {
			slaves = append(slaves, p.Link)
			var echo *wire.Echo
			if echo, err = wire.OpenEcho(kind, p, 1<<15); err != nil {
				return
			}
			p.Echo, sockets = echo.Send, append(sockets, echo)
			if kind == wire.Raw {
				var listener *wire.Listener
				if listener, err = wire.OpenListener(p, wire.Also{}); err != nil {
					return
				}
				sockets = append(sockets, listener)
			}
		}
		err = tables.Sync(slaves)
	})
	if err != nil {
		b.Fatal(err)
	}
	return ports, k, tables, sockets
}

func benchmarkCommand(b *testing.B, kind wire.Kind, slaves int) {
	log, registry := slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	set, k, tables, sockets := openBench(b, kind, slaves, log, registry)
	var ports atomic.Pointer[port.Set]
	ports.Store(set)
	p := New(Config{Host: "r1", Rate: 1 << 24, Timeout: time.Second}, // the limits are not what is measured
		Deps{Log: log, Metrics: NewMetrics(registry), Ports: &ports, Kernel: unlimited{k}, Locations: nowhere{}, Publish: func(string, []byte) error { return nil }, Repair: func() {}})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { p.Run(ctx) })
	for _, socket := range sockets {
		running.Go(func() {
			if err := socket.Receive(p); err != nil {
				b.Error(err)
			}
		})
	}
	defer func() {
		cancel()
		for _, socket := range sockets {
			socket.Close()
		}
		running.Wait()
		if err := tables.Close(); err != nil {
			b.Error(err)
		}
		k.Close()
	}()
	var messages [benchTargets][]byte
	for i := range messages {
		cmd := relayCommand("c", fmt.Sprintf("2001:db8:1::42:%x", i))
		cmd.Expires = time.Now().Add(time.Hour)
		var err error
		if messages[i], err = json.Marshal(cmd); err != nil {
			b.Fatal(err)
		}
	}
	waiting := func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.waiting.probes)
	}

	b.ReportAllocs()
	commands := 0
	for b.Loop() {
		p.Handle(messages[commands%benchTargets])
		if commands++; commands%32 == 0 && waiting() > benchTargets/4*slaves { // so that no target is still pending
			b.StopTimer()
			lab.Eventually(b, "all are answered", func() bool { return waiting() == 0 })
			b.StartTimer()
		}
	}
	for _, on := range set.Slaves {
		if sent := testutil.ToFloat64(on.Counters.Echoes); sent != float64(commands) {
			b.Errorf("%v echoes out of %s for %d commands", sent, on.Name, commands)
		}
	}
}
