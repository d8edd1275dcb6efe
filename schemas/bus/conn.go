// Package bus is how ndmon's processes use NATS: Conn reconnects by itself, Publisher keeps each
// message until the server has stored it, and EnsureStreams makes the streams.
package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
)

// Options are the other settings of a connection.
type Options struct {
	// Name identifies the connection on the server and in the metrics.
	Name string
	Log  *slog.Logger
	// Registry gets the counters of the connection.
	Registry prometheus.Registerer
	// InProcess, if set, is a server in this process, used instead of Config.URL.
	// It is always reachable, so connecting is logged at level debug.
	InProcess nats.InProcessConnProvider
	// Dialer, if set, dials the server, such as one in another network namespace.
	Dialer nats.CustomDialer
	// Inboxes, if set, is the prefix of the subjects for answers, in place of that of the key.
	Inboxes string
	// NoEcho excludes the connection's own messages from its subscriptions.
	NoEcho bool
}

// Conn is a connection to NATS. It exists whether or not the server is reachable,
// and reconnects without limit. It does not buffer while it is disconnected:
// publishing fails. Publisher keeps messages that must not be lost.
type Conn struct {
	nc     *nats.Conn
	js     jetstream.JetStream
	log    *slog.Logger
	level  slog.Level // of the line "connected to NATS"
	closed chan struct{}

	disconnects, reconnects prometheus.Counter
	errors                  *prometheus.CounterVec

	mu   sync.Mutex
	up   []func(again bool)
	away bool // it was logged that the server is unreachable
	// refused is the last permission error since the server was reached.
	refused    error
	refusedLog time.Time       // when the time logRefusal began
	refusals   map[string]bool // that were logged in it
}

// Times between attempts to reconnect, and between pings that detect a lost connection.
const (
	reconnectWait   = 500 * time.Millisecond
	reconnectJitter = 500 * time.Millisecond
	pingInterval    = time.Second
)

// answerTimeout is for an answer of JetStream. In a cluster, a request that meets an election is never answered.
const answerTimeout = 2 * time.Second

// logRefusal is the time between two log lines about the same refusal. In that time, maxRefusals are logged.
const (
	logRefusal  = 30 * time.Second
	maxRefusals = 4
)

// Connect makes a connection. It returns an error if the configuration is invalid,
// but not if the server is unreachable.
func Connect(cfg Config, o Options) (*Conn, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := &Conn{
		log:    o.Log,
		closed: make(chan struct{}),
		disconnects: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nd_nats_disconnects_total", Help: "Times that the connection to NATS was lost.",
		}),
		reconnects: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nd_nats_reconnects_total", Help: "Times that the connection to NATS was restored.",
		}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nd_nats_errors_total", Help: "Asynchronous errors of the connection to NATS, such as refused permissions and slow consumers.",
		}, []string{"error"}),
	}
	registry := prometheus.WrapRegistererWith(prometheus.Labels{"connection": o.Name}, o.Registry)
	for _, collector := range []prometheus.Collector{c.disconnects, c.reconnects, c.errors} {
		if err := registry.Register(collector); err != nil {
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
	if o.Dialer != nil {
		opts = append(opts, nats.SetCustomDialer(o.Dialer))
	}
	if o.Inboxes != "" {
		opts = append(opts, nats.CustomInboxPrefix(o.Inboxes))
	}
	if o.NoEcho {
		opts = append(opts, nats.NoEcho())
	}
	if c.nc, err = nats.Connect(cfg.URL, opts...); err != nil {
		return nil, fmt.Errorf("connect to NATS at %s: %w", cfg.URL, err)
	}
	if c.js, err = jetstream.New(c.nc, jetstream.WithDefaultTimeout(answerTimeout)); err != nil {
		c.nc.Close()
		return nil, fmt.Errorf("use JetStream: %w", err)
	}
	return c, nil
}

// NATS returns the underlying connection.
func (c *Conn) NATS() *nats.Conn { return c.nc }

// JetStream returns the connection's JetStream interface.
func (c *Conn) JetStream() jetstream.JetStream { return c.js }

// Connected reports whether the server is connected now.
func (c *Conn) Connected() bool { return c.nc.IsConnected() }

// Health returns an error while the server is disconnected, and after it has
// refused an operation for lack of permissions since it was reached.
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

// OnConnect registers f to be called, in a goroutine of the connection, each time
// that the server is reached. again is true unless it is the first time.
func (c *Conn) OnConnect(f func(again bool)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.up = append(c.up, f)
}

// Publish sends a message without confirmation. It fails while the server is disconnected.
func (c *Conn) Publish(subject string, data []byte) error { return c.nc.Publish(subject, data) }

// Subscribe calls handle for each message on a subject, one at a time.
func (c *Conn) Subscribe(subject string, handle func(subject string, data []byte)) (unsubscribe func() error, err error) {
	sub, err := c.nc.Subscribe(subject, func(m *nats.Msg) { handle(m.Subject, m.Data) })
	if err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", subject, err)
	}
	return sub.Unsubscribe, nil
}

// Drain closes the connection after it has ended the subscriptions and sent what
// was published. It returns when that is done or the context ends.
func (c *Conn) Drain(ctx context.Context) error {
	switch err := c.nc.Drain(); {
	case errors.Is(err, nats.ErrConnectionReconnecting), errors.Is(err, nats.ErrConnectionClosed):
		// The server is disconnected, and the connection buffers nothing.
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

// stillAway is called after each failed attempt. It logs only a server that was
// unreachable from the start; disconnected has logged one that was lost.
func (c *Conn) stillAway(err error) {
	c.mu.Lock()
	logged := c.away
	c.away = true
	c.mu.Unlock()
	if !logged {
		c.log.Warn("cannot reach NATS, retrying without limit", "error", err)
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
		if c.refusalLogged(err) {
			return
		}
	}
	c.log.Error("NATS reported an error", "subject", subject, "error", err)
}

// refusalLogged limits the log: the server refuses each message, and each attempt to connect.
func (c *Conn) refusalLogged(err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.refusedLog) >= logRefusal {
		c.refusedLog, c.refusals = time.Now(), map[string]bool{}
	}
	text := err.Error()
	if c.refusals[text] || len(c.refusals) == maxRefusals {
		return true
	}
	c.refusals[text] = true
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
