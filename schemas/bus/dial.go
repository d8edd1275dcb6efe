package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// Config is the address of the NATS server and the credentials there. Its
// variables have no prefix: all processes of a host share them.
type Config struct {
	URL      string `envconfig:"NATS_URL" default:"nats://127.0.0.1:4222" desc:"NATS servers, a comma-separated list of URLs"`
	Creds    string `envconfig:"NATS_CREDS" desc:"file of credentials (JWT and seed)"`
	NKey     string `envconfig:"NATS_NKEY" desc:"file of an nkey seed"`
	User     string `envconfig:"NATS_USER" desc:"user name"`
	Password string `envconfig:"NATS_PASSWORD" desc:"password of that user"`
	Token    string `envconfig:"NATS_TOKEN" desc:"authentication token"`
	CA       string `envconfig:"NATS_CA" desc:"PEM file of the certificate authorities that may sign the server's certificate (default: the system's)"`
	Cert     string `envconfig:"NATS_CERT" desc:"PEM file of the TLS certificate of this client"`
	Key      string `envconfig:"NATS_KEY" desc:"PEM file of that certificate's key"`
}

// Validate returns an error for settings that contradict each other.
func (c Config) Validate() error {
	methods := 0
	for _, v := range []string{c.Creds, c.NKey, c.User, c.Token} {
		if v != "" {
			methods++
		}
	}
	switch {
	case c.URL == "":
		return errors.New("NATS_URL: is empty, must be a URL such as nats://127.0.0.1:4222")
	case methods > 1:
		return errors.New("NATS_CREDS, NATS_NKEY, NATS_USER, NATS_TOKEN: only one of them can be set")
	case c.Password != "" && c.User == "":
		return errors.New("NATS_PASSWORD: needs NATS_USER")
	case (c.Cert == "") != (c.Key == ""):
		return errors.New("NATS_CERT, NATS_KEY: need each other")
	}
	return nil
}

func (c Config) options() ([]nats.Option, error) {
	for _, file := range []struct{ setting, path string }{
		{"NATS_CREDS", c.Creds}, {"NATS_NKEY", c.NKey}, {"NATS_CA", c.CA}, {"NATS_CERT", c.Cert}, {"NATS_KEY", c.Key},
	} {
		// They are read at each attempt to connect. A pipe would block that, and a
		// device may have no end. A file that is missing may be created later.
		if info, err := os.Stat(file.path); err == nil && !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s: %s is not a regular file", file.setting, file.path)
		}
	}
	var opts []nats.Option
	add := func(setting string, opt ...nats.Option) {
		if setting != "" {
			opts = append(opts, opt...)
		}
	}
	if c.NKey != "" {
		opt, err := nats.NkeyOptionFromSeed(c.NKey)
		var found nats.Options
		if err == nil {
			err = opt(&found)
		}
		if err != nil {
			return nil, fmt.Errorf("NATS_NKEY: read seed from %s: %w", c.NKey, err)
		}
		// Each user with an nkey has inboxes of its own, so that a server can forbid users to read
		// the replies to others. A server that allows "_INBOX.>" allows these too.
		add(c.NKey, opt, nats.CustomInboxPrefix(nats.InboxPrefix+found.Nkey))
	}
	add(c.Creds, nats.UserCredentials(c.Creds))
	add(c.User, nats.UserInfo(c.User, c.Password))
	add(c.Token, nats.Token(c.Token))
	add(c.CA, nats.RootCAs(c.CA))
	add(c.Cert, nats.ClientCert(c.Cert, c.Key))
	return opts, nil
}

// connectTimeout is how long an attempt to connect may take.
const connectTimeout = 5 * time.Second

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

// Use calls f with a connection as of Dial. The context of f ends when something is wrong with the connection, such as a
// missing permission; then the error of f is returned with that cause.
func Use(ctx context.Context, cfg Config, name string, f func(context.Context, *nats.Conn) error) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	nc, err := Dial(cfg, name, fail)
	if err != nil {
		return err
	}
	defer nc.Close()
	if err = f(ctx, nc); err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", err, context.Cause(ctx))
	}
	return err
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
