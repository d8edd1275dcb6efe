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
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/ndmon/ndmon/deploy/keys"
	"github.com/ndmon/ndmon/deploy/uplink"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/process"
	"golang.org/x/sys/unix"
)

// Bounds of the embedded server.
const (
	startTimeout = 10 * time.Second
	serverDisk   = 4 << 30
	serverMemory = 64 << 20 // of streams that others make
	// reserve is the space that is left on the disk, in bytes: on a full disk the server
	// stops storing for good.
	reserve = 1 << 20
)

// natsServer is the embedded NATS server and its directory.
type natsServer struct {
	*server.Server
	dir     string
	account *server.Account // of the parts of this process
	// seedFile has the key with all rights, for the parts of this process and for anyone
	// who may read the file.
	seedFile string
	// release unlocks the directory.
	release func()
	// toHub is the last fault of the connection to the hub.
	toHub *atomic.Pointer[string]
}

// startServer starts a NATS server with JetStream. Without an address to listen on, it
// serves this process only.
// It becomes a leaf node of the hub, if there is one.
func startServer(cfg Config, l limits, hub *uplink.Hub, log *slog.Logger) (_ *natsServer, err error) {
	dir, release, err := lockDirectory(cfg.Data)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			release()
		}
	}()
	local := keys.Local{Directory: dir, Keys: cfg.Keys, Cert: cfg.TLSCert, Key: cfg.TLSKey, NoCopy: !l.copy}
	config, seedFile, err := local.Config()
	if err != nil {
		return nil, fmt.Errorf("keys of the NATS server (--keys, --data): %w", err)
	}
	opts := &server.Options{}
	if err := opts.ProcessConfigString(config); err != nil {
		return nil, fmt.Errorf("configure the NATS server (--tls-cert, --tls-key): %w", err)
	}
	opts.ServerName = "ndmon"
	opts.DontListen = cfg.Listen == ""
	opts.JetStream, opts.StoreDir = true, dir
	opts.JetStreamMaxMemory, opts.JetStreamMaxStore = serverMemory, serverDisk
	opts.SyncInterval = keys.SyncInterval
	opts.NoSigs = true
	if hub != nil {
		hub.Join(opts)
	}
	if cfg.Listen != "" {
		if opts.Host, opts.Port, err = splitListen(cfg.Listen); err != nil {
			return nil, err
		}
	}
	s, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("start the NATS server: %w", err)
	}
	lines := &serverLog{log: log}
	s.SetLoggerV2(lines, false, false, false)
	s.Start()
	ready := s.ReadyForConnections(startTimeout)
	if opts.DontListen {
		ready = s.Running()
	}
	if !ready || !s.JetStreamEnabled() {
		s.Shutdown()
		s.WaitForShutdown()
		return nil, fmt.Errorf("the NATS server does not start in %s within %v, see the log", dir, startTimeout)
	}
	account, err := s.LookupAccount(keys.Account)
	if err != nil {
		return nil, fmt.Errorf("look up account %s of the NATS server: %w", keys.Account, err)
	}
	n := &natsServer{Server: s, dir: dir, account: account, seedFile: seedFile, release: release, toHub: &lines.toHub}
	if cfg.Listen != "" {
		if BeyondLoopback(cfg.Listen) && (cfg.TLSCert == "" || cfg.Keys == "") {
			log.Warn("other hosts reach the NATS server without TLS or without keys (--insecure)", "address", cfg.Listen)
		}
		if err := local.WriteContext(s.ClientURL()); err != nil {
			log.Warn("no context for the command nats", "error", err)
		}
		if forget, err := bus.NoteLocalKey(s.Addr().(*net.TCPAddr).Port, seedFile); err != nil {
			log.Debug("ndmon find and nd-ruled neighbors need NATS_NKEY="+seedFile, "error", err)
		} else {
			n.release = func() { forget(); release() }
		}
	}
	return n, nil
}

// room returns an error while the disk has no space for the server.
func (s *natsServer) room() error {
	var disk unix.Statfs_t
	if err := unix.Statfs(s.dir, &disk); err != nil {
		return fmt.Errorf("get the free space of the disk of %s: %w", s.dir, err)
	}
	if free := disk.Bavail * uint64(disk.Bsize); free < reserve {
		return fmt.Errorf("the disk of %s is full: %d KiB are free, at least %d are needed", s.dir, free>>10, reserve>>10)
	}
	return nil
}

// away returns why the server is not connected to its hub, or nil.
func (s *natsServer) away() error {
	if s.NumLeafNodes() > 0 {
		return nil
	}
	if why := s.toHub.Load(); why != nil {
		return fmt.Errorf("no connection to the hub: %s", *why)
	}
	return errors.New("no connection to the hub")
}

func (s *natsServer) stop() {
	s.Shutdown()
	s.WaitForShutdown()
	s.release()
}

// splitListen splits an address to listen on. It returns an error if the address is taken,
// which the server would only log.
func splitListen(listen string) (host string, port int, err error) {
	probe, err := net.Listen("tcp", listen)
	if errors.Is(err, unix.EADDRINUSE) {
		return "", 0, fmt.Errorf("%s is in use: use another address with --listen, or the NATS server that runs there with --nats", listen)
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
	// The port 0 and a name were resolved to a number.
	if port, err = strconv.Atoi(text); err != nil || port == 0 {
		port = addr.Port
	}
	return host, port, nil
}

// lockDirectory makes the server's directory and locks it against other processes. An empty
// path makes a temporary one.
func lockDirectory(dir string) (path string, release func(), err error) {
	if dir == "" {
		if dir, err = os.MkdirTemp("", "ndmon-"); err != nil {
			return "", nil, fmt.Errorf("make a temporary directory for the NATS server: %w", err)
		}
		return dir, func() { os.RemoveAll(dir) }, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", nil, fmt.Errorf("--data: make the directory of the NATS server: %w", err)
	}
	if err := checkOwner(dir); err != nil {
		return "", nil, fmt.Errorf("--data: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", nil, fmt.Errorf("--data: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return "", nil, fmt.Errorf("another ndmon uses %s: use another directory with --data", dir)
	}
	return dir, func() { lock.Close() }, nil
}

// checkOwner refuses a directory that another user can change, and so the keys in it.
func checkOwner(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch uid := os.Geteuid(); {
	case ok && int(stat.Uid) != uid && stat.Uid != 0:
		return fmt.Errorf("%s belongs to another user (%d): use a directory of user %d", dir, stat.Uid, uid)
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("other users can change %s (mode %04o): use a new directory, or chmod 700", dir, info.Mode().Perm())
	}
	return nil
}

// BeyondLoopback reports whether other hosts reach a server that listens on an address.
func BeyondLoopback(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil || host == "localhost" {
		return false
	}
	ip := net.ParseIP(host)
	return ip == nil || !ip.IsLoopback()
}

// serverLog writes the server's log to ours. Its informational lines get the level trace.
// Its warnings and errors are bounded, because clients can cause them. Those about the hub
// are for natsServer.away.
type serverLog struct {
	log   *slog.Logger
	toHub atomic.Pointer[string]

	mu sync.Mutex
	// since is the start of the current period, lines the number of its lines.
	since time.Time
	lines int
}

// Bounds of the server's warnings and errors in our log.
const (
	logPeriod = 30 * time.Second
	logLines  = 20
)

// pass reports whether one more warning or error is logged, and how many lines of the
// previous period were not.
func (l *serverLog) pass(now time.Time) (ok bool, left int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.since) >= logPeriod {
		left = max(l.lines-logLines, 0)
		l.since, l.lines = now, 0
	}
	l.lines++
	return l.lines <= logLines, left
}

func (l *serverLog) line(level slog.Level, format string, args []any) {
	if line := fmt.Sprintf(format, args...); level >= slog.LevelWarn && strings.Contains(strings.ToLower(line), "leafnode") {
		l.toHub.Store(&line)
		level = slog.LevelDebug
	}
	if level >= slog.LevelWarn {
		ok, left := l.pass(time.Now())
		if left > 0 {
			l.log.Warn("nats-server: more warnings and errors were left out", "lines", left)
		}
		if !ok {
			return
		}
	}
	l.log.Log(context.Background(), level, "nats-server: "+fmt.Sprintf(format, args...))
}

func (l *serverLog) Noticef(format string, args ...any) { l.line(process.LevelTrace, format, args) }
func (l *serverLog) Debugf(format string, args ...any)  { l.line(process.LevelTrace, format, args) }
func (l *serverLog) Tracef(format string, args ...any)  { l.line(process.LevelTrace, format, args) }
func (l *serverLog) Warnf(format string, args ...any)   { l.line(slog.LevelWarn, format, args) }
func (l *serverLog) Errorf(format string, args ...any)  { l.line(slog.LevelError, format, args) }
func (l *serverLog) Fatalf(format string, args ...any)  { l.line(slog.LevelError, format, args) }

// reviver restarts JetStream of the embedded server after its disk was full. Until then the
// server has stopped JetStream, or rejects each message of a stream.
type reviver struct {
	server *natsServer
	// stored is bus.Publisher.Health of the alerts.
	stored func() error
	log    *slog.Logger
	config server.JetStreamConfig
	// unanswered counts the checks in succession in which the server did not answer.
	unanswered int
}

const (
	reviveInterval = 5 * time.Second
	// maxUnanswered is the number of checks after which JetStream is restarted.
	maxUnanswered = 3
)

func newReviver(s *natsServer, stored func() error, log *slog.Logger) *reviver {
	config := *s.JetStreamConfig()
	config.StoreDir = s.dir // to which the server adds its own directory
	return &reviver{server: s, stored: stored, log: log, config: config}
}

// run checks the server until the context ends.
func (r *reviver) run(ctx context.Context) {
	ticker := time.NewTicker(reviveInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := r.check(); err != nil {
			r.log.Error("the NATS server does not store", "error", err)
		}
	}
}

// check restarts JetStream if it has stopped or does not answer, and the disk has room.
func (r *reviver) check() error {
	enabled := r.server.JetStreamEnabled()
	if enabled && errors.Is(r.stored(), bus.ErrNoAnswer) {
		r.unanswered++
	} else {
		r.unanswered = 0
	}
	if enabled && r.unanswered < maxUnanswered {
		return nil
	}
	if err := r.server.room(); err != nil {
		return err
	}
	r.unanswered = 0
	if enabled {
		if err := r.server.DisableJetStream(); err != nil {
			return fmt.Errorf("stop JetStream: %w", err)
		}
	}
	config := r.config
	if err := r.server.EnableJetStream(&config); err != nil {
		return fmt.Errorf("start JetStream again: %w", err)
	}
	r.log.Warn("restarted JetStream, which had stopped storing; events that were not evaluated are lost")
	return nil
}
