package bus

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
)

// Dial connects for a command of the user. Unlike Connect, it fails if the server is
// unreachable, and does not reconnect. It connects to an ndmon on this host with the
// key that NoteLocalKey noted, if it may read that and cfg has no credentials. It
// calls failed for later errors, in goroutines of the connection.
func Dial(cfg Config, name string, failed func(error)) (*nats.Conn, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	opts := []nats.Option{
		nats.Name(name),
		nats.Timeout(connectTimeout),
		nats.NoReconnect(),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				failed(fmt.Errorf("lost the connection to NATS: %w", err))
			}
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { failed(err) }),
	}
	if nc, ok := dialLocal(cfg, opts); ok {
		return nc, nil
	}
	key, err := cfg.options()
	if err != nil {
		return nil, err
	}
	nc, err := nats.Connect(cfg.URL, append(key, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS at %s: %w", cfg.URL, err)
	}
	return nc, nil
}

// dialLocal connects to a server on this host with its noted key. It reports false if
// that is not possible, or if cfg has credentials.
func dialLocal(cfg Config, opts []nats.Option) (nc *nats.Conn, ok bool) {
	if cfg.Creds != "" || cfg.NKey != "" || cfg.User != "" || cfg.Token != "" {
		return nil, false
	}
	port, ok := onThisHost(cfg.URL)
	if !ok {
		return nil, false
	}
	note, err := noteOf(port)
	if err != nil {
		return nil, false
	}
	seedFile, err := os.ReadFile(note)
	if err != nil {
		return nil, false
	}
	cfg.NKey = string(seedFile)
	key, err := cfg.options()
	if err != nil {
		return nil, false
	}
	nc, err = nats.Connect(cfg.URL, append(key, opts...)...)
	return nc, err == nil // otherwise the key belongs to another server
}

// onThisHost returns the port of a server, and whether it is on loopback.
func onThisHost(server string) (port string, ok bool) {
	u, err := url.Parse(server)
	if err != nil {
		return "", false
	}
	ip := net.ParseIP(u.Hostname())
	return cmp.Or(u.Port(), "4222"), u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// noteOf returns the file in which an ndmon notes the path of the key that has all
// permissions on its embedded server, for commands on the same host. Its name has
// the network namespace and the port of the server.
func noteOf(port string) (string, error) {
	dir := os.Getenv("RUNTIME_DIRECTORY") // set by systemd
	if dir == "" && os.Geteuid() == 0 {
		dir = "/run/ndmon"
	} else if user := os.Getenv("XDG_RUNTIME_DIR"); dir == "" && filepath.IsAbs(user) {
		dir = filepath.Join(user, "ndmon")
	}
	if dir == "" {
		return "", errors.New("there is no runtime directory: XDG_RUNTIME_DIR is not set")
	}
	network, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, strings.Trim(network, "net:[]")+"-"+port), nil
}

// NoteLocalKey notes the path of the key for the server on a port, for Dial, until
// forget is called.
func NoteLocalKey(port int, seedFile string) (forget func(), err error) {
	note, err := noteOf(strconv.Itoa(port))
	if err == nil {
		err = os.MkdirAll(filepath.Dir(note), 0o700)
	}
	if err == nil {
		forgetStale(filepath.Dir(note))
		err = os.WriteFile(note, []byte(seedFile), 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("note where the key of the NATS server is: %w", err)
	}
	return func() { os.Remove(note) }, nil // a stale note only leads to a refused key
}

// forgetStale removes the notes of processes that were killed: those whose key does
// not exist any more.
func forgetStale(dir string) {
	notes, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, note := range notes {
		path := filepath.Join(dir, note.Name())
		seedFile, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if _, err := os.Stat(string(seedFile)); errors.Is(err, os.ErrNotExist) {
			os.Remove(path) // if this fails, the next ndmon retries
		}
	}
}
