package ndmon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/ndmon/ndmon/schemas/process"
	"golang.org/x/sys/unix"
)

// Bounds of the embedded server.
const (
	startTimeout = 10 * time.Second
	// serverMemory is for the stream of events, which is kept in memory.
	serverMemory = 256 << 20
	serverDisk   = 4 << 30
)

// natsServer is the embedded nats-server and its folder.
type natsServer struct {
	*server.Server
	// release gives the folder back.
	release func()
}

// startServer starts a nats-server with JetStream. Without an address it serves
// this process alone.
func startServer(listen, dir string, log *slog.Logger) (*natsServer, error) {
	opts := &server.Options{
		ServerName:         "ndmon",
		DontListen:         listen == "",
		JetStream:          true,
		JetStreamMaxMemory: serverMemory,
		JetStreamMaxStore:  serverDisk,
		NoSigs:             true,
		NoSystemAccount:    true,
	}
	if listen != "" {
		host, port, err := splitListen(listen)
		if err != nil {
			return nil, err
		}
		opts.Host, opts.Port = host, port
	}
	dir, release, err := claim(dir)
	if err != nil {
		return nil, err
	}
	opts.StoreDir = dir
	s, err := server.NewServer(opts)
	if err != nil {
		release()
		return nil, fmt.Errorf("start the NATS server: %w", err)
	}
	s.SetLoggerV2(serverLog{log}, false, false, false)
	s.Start()
	ready := s.ReadyForConnections(startTimeout)
	if opts.DontListen {
		ready = s.Running()
	}
	if !ready || !s.JetStreamEnabled() {
		s.Shutdown()
		s.WaitForShutdown()
		release()
		return nil, fmt.Errorf("the NATS server does not start in %s within %v, see the log", dir, startTimeout)
	}
	return &natsServer{s, release}, nil
}

func (s *natsServer) stop() {
	s.Shutdown()
	s.WaitForShutdown()
	s.release()
}

// splitListen also finds out whether the address is free, for the server itself
// only logs that it is not.
func splitListen(listen string) (host string, port int, err error) {
	probe, err := net.Listen("tcp", listen)
	if errors.Is(err, unix.EADDRINUSE) {
		return "", 0, fmt.Errorf("%s is taken: --listen ADDRESS uses another address, --nats URL the NATS server that runs there", listen)
	}
	if err != nil {
		return "", 0, fmt.Errorf("--listen: %w", err)
	}
	addr := probe.Addr().(*net.TCPAddr)
	if err := probe.Close(); err != nil {
		return "", 0, fmt.Errorf("--listen: %w", err)
	}
	host, text, err := net.SplitHostPort(listen)
	if err != nil {
		return "", 0, fmt.Errorf("--listen: %w", err)
	}
	if host == "" {
		host = "::"
	}
	// A port of 0 has become a number, a name too.
	if port, err = strconv.Atoi(text); err != nil || port == 0 {
		port = addr.Port
	}
	return host, port, nil
}

// claim makes the server's folder and keeps other processes out of it.
func claim(dir string) (path string, release func(), err error) {
	if dir == "" {
		if dir, err = os.MkdirTemp("", "ndmon-"); err != nil {
			return "", nil, fmt.Errorf("make a temporary folder for the NATS server: %w", err)
		}
		return dir, func() { os.RemoveAll(dir) }, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", nil, fmt.Errorf("--data: make the folder of the NATS server: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", nil, fmt.Errorf("--data: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return "", nil, fmt.Errorf("another ndmon uses %s: --data DIRECTORY takes another one", dir)
	}
	return dir, func() { lock.Close() }, nil
}

// serverLog is the server's log in ours: its informative lines are for those
// who debug.
type serverLog struct{ log *slog.Logger }

func (l serverLog) line(level slog.Level, format string, args []any) {
	l.log.Log(context.Background(), level, "nats-server: "+fmt.Sprintf(format, args...))
}

func (l serverLog) Noticef(format string, args ...any) { l.line(process.LevelTrace, format, args) }
func (l serverLog) Debugf(format string, args ...any)  { l.line(process.LevelTrace, format, args) }
func (l serverLog) Tracef(format string, args ...any)  { l.line(process.LevelTrace, format, args) }
func (l serverLog) Warnf(format string, args ...any)   { l.line(slog.LevelWarn, format, args) }
func (l serverLog) Errorf(format string, args ...any)  { l.line(slog.LevelError, format, args) }
func (l serverLog) Fatalf(format string, args ...any)  { l.line(slog.LevelError, format, args) }
