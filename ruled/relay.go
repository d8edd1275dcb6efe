package ruled

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nuid"
	"github.com/ndmon/ndmon/ruled/rules"
	"github.com/ndmon/ndmon/schemas"
)

// Bus carries messages that are not stored.
type Bus interface {
	// Subscribe calls handle with every message on the subject until unsubscribe
	// is called. The data is handle's until it returns.
	Subscribe(subject string, handle func(subject string, data []byte)) (unsubscribe func() error, err error)
	// Publish sends data once. It keeps no reference to it.
	Publish(subject string, data []byte) error
}

// relayer turns Neighbor Solicitations into relay commands. It takes them as the
// sensors publish them and not from the stream as the alerts do: the kernel
// gives a solicitation up after three seconds, so a late command is worthless,
// and one of an event that was lost is given again a second later.
type relayer struct {
	cfg Config
	log *slog.Logger
	bus Bus
	m   *metrics
	src *source

	mu sync.Mutex
	eventReader
	program   *rules.Program
	evaluator *rules.Evaluator
	ids       *nuid.NUID
	buf       []byte
}

func newRelayer(cfg Config, d Deps, m *metrics, src *source) *relayer {
	return &relayer{cfg: cfg, log: d.Log, bus: d.Bus, m: m, src: src, eventReader: newEventReader(), ids: nuid.New()}
}

// run relays until the context ends. Without a rule that relays it subscribes to
// nothing.
func (r *relayer) run(ctx context.Context) error {
	var unsubscribe func() error
	for {
		switch relaying := r.src.rules.Load().relaying.Len() > 0; {
		case relaying && unsubscribe == nil:
			var err error
			if unsubscribe, err = r.bus.Subscribe(solicitations(r.cfg.Events), r.handle); err != nil {
				return fmt.Errorf("read solicitations: %w", err)
			}
		case !relaying && unsubscribe != nil:
			if err := unsubscribe(); err != nil {
				r.log.Warn("reading solicitations on, although no rule relays", "error", err)
			}
			unsubscribe = nil
		}
		select {
		case <-ctx.Done():
			if unsubscribe != nil {
				unsubscribe() // it fails only if the connection is closed
			}
			return ctx.Err()
		case <-r.src.changed:
		}
	}
}

// solicitations narrows a subject of events to Neighbor Solicitations.
func solicitations(events string) string {
	tokens := strings.Split(events, ".")
	if tokens[len(tokens)-1] != ">" || len(tokens) > 5 {
		return events
	}
	tokens = tokens[:len(tokens)-1]
	for len(tokens) < 4 {
		tokens = append(tokens, "*")
	}
	return strings.Join(append(tokens, string(schemas.KindNS)), ".")
}

// handle relays one solicitation. A message that is no event is counted by the
// reading of the stream, where it is too.
func (r *relayer) handle(subject string, data []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.read(subject, data); err != nil {
		return
	}
	if p := r.src.rules.Load().relaying; p != r.program {
		r.program, r.evaluator = p, p.NewEvaluator()
	}
	// One command is enough, whatever number of rules ask for it.
	if matched := r.evaluator.Evaluate(&r.event); len(matched) > 0 {
		r.relay(matched[0], &r.event)
	}
}

// late relays the event of a rule that had to wait for its turn, unless it is too
// late for that.
func (r *relayer) late(rule *rules.Rule, event *schemas.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(event.Time) < r.cfg.RelayTTL {
		r.relay(rule, event)
	}
}

// relay sends a relay command to the pinger of the event's host.
func (r *relayer) relay(rule *rules.Rule, event *schemas.Event) {
	if event.ND == nil || event.ND.NS == nil {
		r.m.relaysNothing.Inc()
		return
	}
	command := schemas.Relay{
		Type: schemas.TypeRelay,
		ID:   r.ids.Next(),
		Time: time.Now().UTC(),
		// By the clock of the host that will look at it.
		Expires: event.Time.Add(r.cfg.RelayTTL),
		Host:    event.Host,
		Target:  event.ND.NS.TargetAddress,
		Rule:    rule.ID,
		Event:   event.ID,
	}
	r.buf = command.AppendJSON(r.buf[:0])
	if err := r.bus.Publish(schemas.RelaySubject(command.Host), r.buf); err != nil {
		r.m.relaysLost.Inc()
		r.log.Debug("relay command is lost", "target", command.Target, "host", command.Host, "error", err)
		return
	}
	r.m.relays.Inc()
	r.log.Debug("relay", "rule", rule.ID, "target", command.Target, "host", command.Host, "command", command.ID, "event", event.ID)
}
