// Package bus is the connection of ndmon's processes to NATS: a connection
// that comes back by itself, a publisher that loses nothing without saying so,
// and the streams.
package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
)

// Config says how to reach NATS and who we are there. Its variables have no
// prefix: all processes of a host share them.
type Config struct {
	URL      string `envconfig:"NATS_URL" default:"nats://127.0.0.1:4222" desc:"NATS servers, a comma-separated list of URLs"`
	Creds    string `envconfig:"NATS_CREDS" desc:"file of credentials (JWT and seed)"`
	NKey     string `envconfig:"NATS_NKEY" desc:"file of an nkey seed"`
	User     string `envconfig:"NATS_USER" desc:"user name"`
	Password string `envconfig:"NATS_PASSWORD" desc:"password of that user"`
	Token    string `envconfig:"NATS_TOKEN" desc:"authentication token"`
	CA       string `envconfig:"NATS_CA" desc:"PEM file of the certificate authorities that may sign the server's certificate (default: the system's)"`
	Cert     string `envconfig:"NATS_CERT" desc:"PEM file of our TLS certificate"`
	Key      string `envconfig:"NATS_KEY" desc:"PEM file of that certificate's key"`
}

// Validate reports a setting that cannot be, before anything is connected.
func (c Config) Validate() error {
	ways := 0
	for _, v := range []string{c.Creds, c.NKey, c.User, c.Token} {
		if v != "" {
			ways++
		}
	}
	switch {
	case c.URL == "":
		return errors.New("NATS_URL: is empty, takes a URL such as nats://127.0.0.1:4222")
	case ways > 1:
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
		// They are read again at each try to connect, which a pipe would hold up and
		// a device may have no end for. A file that is missing may come yet.
		if info, err := os.Stat(file.path); err == nil && !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s: %s is not a regular file", file.setting, file.path)
		}
	}
	var opts []nats.Option
	if c.Creds != "" {
		opts = append(opts, nats.UserCredentials(c.Creds))
	}
	if c.NKey != "" {
		opt, err := nats.NkeyOptionFromSeed(c.NKey)
		if err != nil {
			return nil, fmt.Errorf("NATS_NKEY: read seed from %s: %w", c.NKey, err)
		}
		var found nats.Options
		if err := opt(&found); err != nil {
			return nil, fmt.Errorf("NATS_NKEY: read seed from %s: %w", c.NKey, err)
		}
		opts = append(opts, opt, nats.CustomInboxPrefix(inboxPrefix(found.Nkey)))
	}
	if c.User != "" {
		opts = append(opts, nats.UserInfo(c.User, c.Password))
	}
	if c.Token != "" {
		opts = append(opts, nats.Token(c.Token))
	}
	if c.CA != "" {
		opts = append(opts, nats.RootCAs(c.CA))
	}
	if c.Cert != "" {
		opts = append(opts, nats.ClientCert(c.Cert, c.Key))
	}
	return opts, nil
}

// inboxPrefix is that of a user who is known by an nkey. Answers come to inboxes
// of the user's own, so that a server can keep users from reading each other's;
// one that allows its users "_INBOX.>" allows that too.
func inboxPrefix(publicKey string) string { return nats.InboxPrefix + publicKey }

// Options are what a connection is made with beside its Config.
type Options struct {
	// Name tells the connection from others in the server's lists.
	Name string
	Log  *slog.Logger
	// Registry takes the connection's counters.
	Registry prometheus.Registerer
	// InProcess, if set, is a server in this process, which is used instead of
	// the one that the Config names. It cannot be away, so the log is silent.
	InProcess nats.InProcessConnProvider
	// NoEcho keeps what the connection publishes from its own subscriptions.
	NoEcho bool
}

// Conn is a connection to NATS. It is made at once, whether or not a server can
// be reached, and comes back for ever. While it is away nothing is buffered in
// it: publishing fails, and Publisher keeps what must not be lost.
type Conn struct {
	nc     *nats.Conn
	js     jetstream.JetStream
	log    *slog.Logger
	level  slog.Level // of the news that the connection is there
	closed chan struct{}

	disconnects, reconnects prometheus.Counter
	errors                  *prometheus.CounterVec

	mu   sync.Mutex
	up   []func(again bool)
	away bool // it has been logged that the server is away
	// refused is what the server did not permit since it was reached.
	refused    error
	refusedLog time.Time // when it was logged last that it refuses something
}

// Waits between tries to reconnect, and how long a lost server goes unnoticed.
const (
	reconnectWait   = 500 * time.Millisecond
	reconnectJitter = 500 * time.Millisecond
	pingInterval    = 20 * time.Second
	connectTimeout  = 5 * time.Second
)

// Connect makes a connection. An error means that the configuration is bad, not
// that the server is away.
func Connect(cfg Config, o Options) (*Conn, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := &Conn{
		log:    o.Log,
		closed: make(chan struct{}),
		disconnects: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nd_nats_disconnects_total", Help: "Times that the connection to NATS was lost.",
			ConstLabels: prometheus.Labels{"connection": o.Name},
		}),
		reconnects: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nd_nats_reconnects_total", Help: "Times that the connection to NATS came back.",
			ConstLabels: prometheus.Labels{"connection": o.Name},
		}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nd_nats_errors_total", Help: "Errors that the connection to NATS reported by itself, such as refused permissions and slow consumers.",
			ConstLabels: prometheus.Labels{"connection": o.Name},
		}, []string{"error"}),
	}
	for _, collector := range []prometheus.Collector{c.disconnects, c.reconnects, c.errors} {
		if err := o.Registry.Register(collector); err != nil {
			return nil, fmt.Errorf("register the counters of connection %s: %w", o.Name, err)
		}
	}
	opts, err := cfg.options()
	if err != nil {
		return nil, err
	}
	opts = append(opts,
		nats.Name(o.Name),
		nats.Timeout(connectTimeout),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectJitter, reconnectJitter),
		nats.ReconnectBufSize(-1),
		nats.IgnoreAuthErrorAbort(),
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(2),
		nats.ConnectHandler(func(nc *nats.Conn) { c.connected(nc, false) }),
		nats.ReconnectHandler(func(nc *nats.Conn) { c.connected(nc, true) }),
		nats.DisconnectErrHandler(func(nc *nats.Conn, err error) { c.disconnected(nc, err) }),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { c.stillAway(err) }),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) { c.failed(sub, err) }),
		nats.ClosedHandler(func(*nats.Conn) { close(c.closed) }),
	)
	if o.InProcess != nil {
		opts = append(opts, nats.InProcessServer(o.InProcess))
		c.level = slog.LevelDebug
	}
	if o.NoEcho {
		opts = append(opts, nats.NoEcho())
	}
	if c.nc, err = nats.Connect(cfg.URL, opts...); err != nil {
		return nil, fmt.Errorf("connect to NATS at %s: %w", cfg.URL, err)
	}
	if c.js, err = jetstream.New(c.nc); err != nil {
		c.nc.Close()
		return nil, fmt.Errorf("use JetStream: %w", err)
	}
	return c, nil
}

// Dial connects for a command that is waited for: it fails where Connect waits for the
// server, and does not come back. To an ndmon on this host it connects with that one's
// own key where it may read it and no other is set. What goes wrong later is told to
// failed, in goroutines of the connection's.
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

// NATS returns the connection itself.
func (c *Conn) NATS() *nats.Conn { return c.nc }

// JetStream returns the connection's JetStream interface.
func (c *Conn) JetStream() jetstream.JetStream { return c.js }

// Connected reports whether the server is there now.
func (c *Conn) Connected() bool { return c.nc.IsConnected() }

// Health returns an error while the server is away, and when it has refused
// something since it was reached: then somebody has to look at its permissions.
func (c *Conn) Health() error {
	if c.Connected() {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.refused
	}
	if err := c.nc.LastError(); err != nil {
		return fmt.Errorf("not connected: %w", err)
	}
	return errors.New("not connected")
}

// OnConnect has f called, in a goroutine of the connection's, each time that the
// server is reached; again is true unless it is the first time.
func (c *Conn) OnConnect(f func(again bool)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.up = append(c.up, f)
}

// Publish sends a message that is not stored. It fails while the server is
// away.
func (c *Conn) Publish(subject string, data []byte) error { return c.nc.Publish(subject, data) }

// Subscribe has handle called for each message on a subject, one at a time.
func (c *Conn) Subscribe(subject string, handle func(subject string, data []byte)) (unsubscribe func() error, err error) {
	sub, err := c.nc.Subscribe(subject, func(m *nats.Msg) { handle(m.Subject, m.Data) })
	if err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", subject, err)
	}
	return sub.Unsubscribe, nil
}

// Drain ends the connection: subscriptions first, then what is still to be
// sent, and returns when that is done or the context ends.
func (c *Conn) Drain(ctx context.Context) error {
	switch err := c.nc.Drain(); {
	case errors.Is(err, nats.ErrConnectionReconnecting), errors.Is(err, nats.ErrConnectionClosed):
		// The server is away: nothing can be sent, and nothing is waiting here.
		c.nc.Close()
		<-c.closed
		return nil
	case err != nil:
		c.nc.Close()
		return fmt.Errorf("drain the connection to NATS: %w", err)
	}
	select {
	case <-c.closed:
		return nil
	case <-ctx.Done():
		c.nc.Close()
		return fmt.Errorf("drain the connection to NATS: %w", context.Cause(ctx))
	}
}

func (c *Conn) connected(nc *nats.Conn, again bool) {
	if again {
		c.reconnects.Inc()
	}
	c.mu.Lock()
	c.away, c.refused = false, nil
	up := c.up[:len(c.up):len(c.up)]
	c.mu.Unlock()
	c.log.Log(context.Background(), c.level, "connected to NATS", "url", nc.ConnectedUrlRedacted())
	for _, f := range up {
		f(again)
	}
}

func (c *Conn) disconnected(nc *nats.Conn, err error) {
	if nc.IsClosed() || nc.IsDraining() {
		return
	}
	c.disconnects.Inc()
	c.mu.Lock()
	c.away = true
	c.mu.Unlock()
	c.log.Warn("lost the connection to NATS, trying to reconnect", "error", err)
}

// stillAway is called at each failed try; it logs only a server that was away
// from the start, for disconnected has logged one that was lost.
func (c *Conn) stillAway(err error) {
	c.mu.Lock()
	logged := c.away
	c.away = true
	c.mu.Unlock()
	if !logged {
		c.log.Warn("cannot reach NATS, trying again for ever", "error", err)
	}
}

func (c *Conn) failed(sub *nats.Subscription, err error) {
	subject := ""
	if sub != nil {
		subject = sub.Subject
	}
	c.errors.WithLabelValues(errorKind(err)).Inc()
	switch {
	case errors.Is(err, nats.ErrPermissionViolation):
		c.mu.Lock()
		c.refused = err
		c.mu.Unlock()
		fallthrough
	case errors.Is(err, nats.ErrAuthorization):
		if c.refusalLogged() {
			return
		}
	}
	c.log.Error("NATS", "subject", subject, "error", err)
}

// refusalLogged reports whether it was logged not long ago that the server refuses
// something: it says so of each message, and at each try to connect.
func (c *Conn) refusalLogged() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.refusedLog) < logRefusal {
		return true
	}
	c.refusedLog = time.Now()
	return false
}

func errorKind(err error) string {
	switch {
	case errors.Is(err, nats.ErrSlowConsumer):
		return "slow_consumer"
	case errors.Is(err, nats.ErrPermissionViolation):
		return "permission"
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked):
		return "authorization"
	}
	return "other"
}
