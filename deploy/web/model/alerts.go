package model

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/synadia-io/orbit.go/jetstreamext"
)

// MaxAlerts is how many alerts are kept, the newest.
const MaxAlerts = 10_000

// Bounds of the texts of an alert, in bytes. One with a longer name is not shown.
const (
	maxName    = 1024
	maxSummary = 1200
)

// Alert is an alert as lists show it. The whole is read from the stream when it is asked for.
type Alert struct {
	// Sequence is the number of the alert in the stream.
	Sequence uint64
	Time     time.Time
	Severity schemas.Severity
	Rule     string
	Link     Link
	// Station is the sender, as text; empty if there is none.
	Station              string
	Summary, Description string
	// Count is how many frames it stands for.
	Count uint64
	// Router says that it is about a Router Advertisement.
	Router bool
	text   string // in lower case, for Has
}

// Has reports whether the alert has a text, which is in lower case.
func (a *Alert) Has(text string) bool { return strings.Contains(a.text, text) }

func newAlertTail() *tail {
	return &tail{stream: schemas.StreamAlerts, subject: schemas.SubjectAlerts, newest: MaxAlerts}
}

func (m *Model) readAlerts(ctx context.Context, t *tail) error {
	var list []*Alert
	var dropped uint64
	reset := false
	err := t.read(ctx, m.Conn.JetStream(), m.Now(), func() { reset = true }, func(msg *jetstream.RawStreamMsg) {
		if a := parseAlert(msg); a != nil {
			if list = append(list, a); len(list) > 2*MaxAlerts {
				list = append([]*Alert(nil), list[MaxAlerts:]...)
			}
		} else {
			dropped++
		}
	})
	if !reset && len(list) == 0 && dropped == 0 {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if reset {
		m.alerts = nil
	}
	m.dropped += dropped
	// Readers keep their slices: elements are appended behind them, or in a new array.
	if m.alerts = append(m.alerts, list...); cap(m.alerts) > 2*MaxAlerts || len(m.alerts) > MaxAlerts+MaxAlerts/4 {
		m.alerts = append(make([]*Alert, 0, MaxAlerts+MaxAlerts/4), m.alerts[max(0, len(m.alerts)-MaxAlerts):]...)
	}
	m.version.Add(1)
	return err
}

// parseAlert returns nil for a message that is no alert.
func parseAlert(msg *jetstream.RawStreamMsg) *Alert {
	var s schemas.Alert
	if s.ParseJSON(msg.Data) != nil || s.Rule == "" || max(len(s.Rule), len(s.Host), len(s.Interface)) > maxName {
		return nil
	}
	a := &Alert{
		Sequence: msg.Sequence, Time: s.Time, Severity: s.Severity, Rule: s.Rule, Link: Link{s.Host, s.Interface, -1, -1},
		Summary: shorten(s.Summary), Description: shorten(s.Description), Count: max(s.Count, 1),
	}
	var e schemas.Event
	if e.ParseJSON(s.Event) == nil {
		switch {
		case e.Ethernet != nil:
			a.Station = e.Ethernet.Source.String()
			a.Link = LinkOf(s.Host, s.Interface, e.Ethernet.VLAN, e.Ethernet.InnerVLAN)
		case e.Conflict != nil && e.Conflict.Ethernet != nil:
			a.Station = e.Conflict.Ethernet.String()
		}
		a.Router = e.ND != nil && e.ND.RA != nil
	}
	a.text = strings.ToLower(strings.Join([]string{a.Rule, a.Link.String(), a.Station, a.Summary, a.Description}, "\n"))
	return a
}

// shorten bounds a text that others wrote.
func shorten(s string) string {
	if len(s) <= maxSummary {
		return s
	}
	return strings.ToValidUTF8(s[:maxSummary], "") + "…"
}

// Alerts returns the newest alerts, the oldest of them first, and how many were dropped because they are not in order. They must
// not be changed.
func (m *Model) Alerts() (list []*Alert, dropped uint64) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.alerts[max(0, len(m.alerts)-MaxAlerts):], m.dropped
}

// ErrNoAlert says that the stream does not have an alert.
var ErrNoAlert = errors.New("there is no such alert; the stream of alerts has dropped it, or never had it")

// Alert reads an alert from the stream, with its event. The event is nil if it is not in order.
func (m *Model) Alert(ctx context.Context, sequence uint64) (*schemas.Alert, *schemas.Event, error) {
	if sequence == 0 {
		return nil, nil, ErrNoAlert
	}
	for msg, err := range bus.GetBatch(ctx, m.Conn.JetStream(), schemas.StreamAlerts, 1, jetstreamext.GetBatchSubject(schemas.SubjectAlerts), jetstreamext.GetBatchSeq(sequence)) {
		if errors.Is(err, nats.ErrNoResponders) || err == nil && msg.Sequence != sequence {
			return nil, nil, ErrNoAlert
		}
		if err != nil {
			return nil, nil, fmt.Errorf("read alert %d: %w", sequence, err)
		}
		var a schemas.Alert
		if a.ParseJSON(msg.Data) != nil {
			return nil, nil, fmt.Errorf("message %d of stream %s is no alert", sequence, schemas.StreamAlerts)
		}
		e := new(schemas.Event)
		if e.ParseJSON(a.Event) != nil {
			return &a, nil, nil
		}
		e.Link = a.Link
		return &a, e, nil
	}
	return nil, nil, ErrNoAlert
}
