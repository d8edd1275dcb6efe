package notify

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ndmon/ndmon/deploy/alerts"
)

const (
	// resolveAfter is how long a rule is quiet until its alert is resolved.
	resolveAfter = 15 * time.Minute
	// repeatEvery is how often alerts that are not resolved are sent again, as Prometheus does: an Alertmanager that was
	// restarted has forgotten them.
	repeatEvery = time.Minute
	// maxActive bounds the alerts that are sent again.
	maxActive = 4096
	// maxLabel bounds a label or an annotation, in bytes.
	maxLabel = 1024
)

// alertmanagerAlert is an alert of version 2 of Alertmanager's API. Two with the same labels are the same alert.
type alertmanagerAlert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`
}

// alertmanager posts alerts to an Alertmanager.
type alertmanager struct {
	post    *poster
	resolve time.Duration
	// active are the alerts that are not resolved, by their labels.
	active   map[string]*alertmanagerAlert
	repeated time.Time
}

func newAlertmanager(u *url.URL, secure *tls.Config, p *parameters) (send, error) {
	resolve, err := p.duration("resolve", resolveAfter)
	if err != nil {
		return nil, err
	}
	post, err := newPoster(u.JoinPath("api/v2/alerts"), secure, p)
	if err != nil {
		return nil, err
	}
	m := &alertmanager{post: post, resolve: resolve, active: map[string]*alertmanagerAlert{}, repeated: time.Now()}
	return m.send, nil
}

// send posts alerts. Alertmanager resolves an alert by itself when its end passes, which each occurrence moves.
func (m *alertmanager) send(ctx context.Context, list []*alert) (taken int, err error) {
	now := time.Now()
	if now.Sub(m.repeated) >= repeatEvery {
		maps.DeleteFunc(m.active, func(_ string, a *alertmanagerAlert) bool { return a.EndsAt.Before(now) })
		for some := range slices.Chunk(slices.Collect(maps.Values(m.active)), maxBatch) {
			if err := m.postAll(ctx, some); err != nil && !errors.As(err, new(refusedError)) {
				return 0, err
			}
		}
		m.repeated = now
	}
	if len(list) == 0 {
		return 0, nil
	}
	converted := make([]*alertmanagerAlert, len(list))
	for i, a := range list {
		converted[i] = m.convert(a, now)
	}
	err = m.postAll(ctx, converted)
	if errors.As(err, new(refusedError)) && len(list) > 1 { // one of them
		for taken = range list {
			if err := m.postAll(ctx, converted[taken:taken+1]); err != nil {
				return taken, err
			}
		}
		return len(list), nil
	}
	if err != nil {
		m.repeated = time.Time{} // it may be restarting
		return 0, err
	}
	return len(list), nil
}

func (m *alertmanager) postAll(ctx context.Context, list []*alertmanagerAlert) error {
	body, err := json.Marshal(list)
	if err != nil {
		return err
	}
	return m.post.post(ctx, body, "")
}

// convert returns an alert as Alertmanager has it. The station is a label as long as there are not too many alerts: in a
// flood, stations are invented.
func (m *alertmanager) convert(a *alert, now time.Time) *alertmanagerAlert {
	text := func(s string) string { return limit(alerts.Printable(s), maxLabel) }
	c := &alertmanagerAlert{
		Labels: map[string]string{
			"alertname": text(a.Rule), "severity": text(string(a.Severity)), "host": text(a.Host), "interface": text(a.Interface), "station": station(a),
		},
		Annotations: map[string]string{"summary": text(a.Summary), "description": text(a.Description), "id": text(a.ID)},
		StartsAt:    a.Time, EndsAt: now.Add(m.resolve),
	}
	if now.Before(c.StartsAt) {
		c.StartsAt = now // a clock is off
	}
	key := m.key(c)
	if _, known := m.active[key]; !known && len(m.active) >= maxActive {
		delete(c.Labels, "station")
		if key = m.key(c); m.active[key] == nil && len(m.active) >= 2*maxActive {
			return c // which is not sent again
		}
	}
	m.active[key] = c
	return c
}

// key returns the labels as one text.
func (m *alertmanager) key(a *alertmanagerAlert) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(a.Labels)) {
		b.WriteString(name + "\x00" + a.Labels[name] + "\x00")
	}
	return b.String()
}

// station returns the Ethernet address of the station that an alert is about, empty if there is none.
func station(a *alert) string {
	var event struct {
		Ethernet, Conflict struct{ Source, Ethernet string }
	}
	if json.Unmarshal(a.Event, &event) != nil { // an event of a foreign writer
		return ""
	}
	return limit(alerts.Printable(event.Ethernet.Source+event.Conflict.Ethernet), 64)
}
