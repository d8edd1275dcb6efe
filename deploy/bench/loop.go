package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/ndmon/ndmon/deploy/bench/wire"
	"github.com/ndmon/ndmon/sensor/filter"
	"golang.org/x/sys/unix"
)

// hidden returns the first arguments by which ndbench runs itself as a process of its
// own. They are left out of the help.
func hidden() map[string]func(ctx context.Context, args []string) error {
	return map[string]func(context.Context, []string) error{
		serveNATS: runNATS, bareCapture: runCapture, bareRelay: runRelay,
	}
}

const (
	serveNATS   = "serve-nats"   // ADDRESS FOLDER or CONFIGURATION
	bareCapture = "bare-capture" // INTERFACE
	bareRelay   = "bare-relay"   // in or out, MASTER, SLAVES
)

// told is the interval at which bareCapture prints its counters.
const told = 20 * time.Millisecond

// runCapture reads the frames that the sensor's filter passes, and does nothing else. It prints
// how many it has read, and how many the kernel has dropped.
func runCapture(ctx context.Context, args []string) error {
	passes, err := filter.ND(filter.Any)
	if err != nil {
		return err
	}
	fd, err := wire.Open(args[0], passes, wire.Queue)
	if err != nil {
		return err
	}
	var read atomic.Uint64
	go func() {
		dropped := uint32(0)
		for range time.Tick(told) {
			if stats, err := unix.GetsockoptTpacketStats(fd, unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
				dropped += stats.Drops // since the last call
			}
			fmt.Println(read.Load(), dropped)
		}
	}()
	return frames(ctx, fd, func([]byte) error {
		read.Add(1)
		return nil
	})
}

// frames calls handle for each frame until the context ends.
func frames(ctx context.Context, fd int, handle func(frame []byte) error) error {
	context.AfterFunc(ctx, func() { os.Exit(0) }) // a read that waits cannot be called off
	frame := make([]byte, 1<<16)
	for {
		n, err := unix.Read(fd, frame)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("read a frame: %w", err)
		}
		if err := handle(frame[:max(0, n)]); err != nil {
			return err
		}
	}
}

// runRelay sends a solicitation on each slave for each one on the master.
func runRelay(ctx context.Context, args []string) error {
	fd, err := wire.Open(args[1], wire.Only(wire.Solicitations, args[0] == "out"), wire.Queue)
	if err != nil {
		return err
	}
	type slave struct {
		fd    int
		frame wire.Frame
	}
	var slaves []slave
	for name := range strings.SplitSeq(args[2], ",") {
		i, err := net.InterfaceByName(name)
		if err != nil {
			return err
		}
		addrs, err := i.Addrs()
		if err != nil || len(addrs) == 0 {
			return fmt.Errorf("interface %s has no address: %v", name, err)
		}
		local, err := netip.ParsePrefix(addrs[0].String())
		if err != nil {
			return err
		}
		out, err := wire.Open(name, wire.None(), 0)
		if err != nil {
			return err
		}
		slaves = append(slaves, slave{out, wire.NewFrame(i.HardwareAddr, local.Addr())})
	}
	return frames(ctx, fd, func(frame []byte) error {
		target, ok := wire.Target(frame)
		for i := range slaves {
			if s := &slaves[i]; ok {
				s.frame.SetTarget(target)
				if _, err := unix.Write(s.fd, s.frame[:]); err != nil {
					return fmt.Errorf("send a frame: %w", err)
				}
			}
		}
		return nil
	})
}

// runNATS runs a nats-server with JetStream until the context ends, as a fleet does.
func runNATS(ctx context.Context, args []string) error {
	if len(args) == 1 {
		err := os.Chdir(filepath.Dir(args[0])) // its paths begin there
		options := &server.Options{}
		if err == nil {
			options, err = server.ProcessConfigFile(args[0])
		}
		if err != nil {
			return fmt.Errorf("serve NATS: %w", err)
		}
		options.NoSigs, options.HTTPHost, options.HTTPPort = true, options.Host, status
		return runServer(ctx, options)
	}
	host, text, err := net.SplitHostPort(args[0])
	if err != nil {
		return fmt.Errorf("serve NATS: %w", err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return fmt.Errorf("serve NATS: port %q is no number", text)
	}
	return runServer(ctx, &server.Options{
		ServerName: "ndbench", Host: host, Port: port, NoSigs: true, NoLog: true, JetStream: true, StoreDir: args[1],
	})
}

func runServer(ctx context.Context, options *server.Options) error {
	s, err := server.NewServer(options)
	if err != nil {
		return fmt.Errorf("serve NATS: %w", err)
	}
	s.Start()
	defer s.WaitForShutdown()
	defer s.Shutdown()
	if !s.ReadyForConnections(10 * time.Second) {
		return fmt.Errorf("serve NATS on %s: it does not start", options.Host)
	}
	<-ctx.Done()
	return nil
}
