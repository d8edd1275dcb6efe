package model

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/schemas"
)

func newSilenceTail() *tail {
	return &tail{stream: "KV_" + schemas.BucketSilences, subject: schemas.SubjectSilences, newest: 1 << 62}
}

func (m *Model) readSilences(ctx context.Context, t *tail) error {
	var list map[string]schemas.Silence
	change := func() map[string]schemas.Silence {
		if list == nil {
			list = maps.Clone(m.Silences())
		}
		return list
	}
	err := t.read(ctx, m.Conn.JetStream(), m.Now(), func() { list = map[string]schemas.Silence{} }, func(msg *jetstream.RawStreamMsg) {
		var s schemas.Silence
		if s.ParseJSON(msg.Data) == nil && s.Subject() == msg.Subject && s.Check() == nil {
			change()[s.Key()] = s
		} else { // it was ended, or what replaced it is not in order
			delete(change(), strings.TrimPrefix(msg.Subject, strings.TrimSuffix(schemas.SubjectSilences, ">")))
		}
	})
	if list != nil {
		m.setSilences(list)
	}
	return err
}

func (m *Model) setSilences(list map[string]schemas.Silence) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.silences = list
	m.version.Add(1)
}

// Silences returns the silences by their keys, also those that have ended. The map must not be changed.
func (m *Model) Silences() map[string]schemas.Silence {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.silences
}

// Silence stores a silence.
func (m *Model) Silence(ctx context.Context, s schemas.Silence) error {
	if err := s.Check(); err != nil {
		return fmt.Errorf("the silence is not stored: %w", err)
	}
	list := maps.Clone(m.Silences())
	list[s.Key()] = s
	return m.store(ctx, &nats.Msg{Subject: s.Subject(), Data: s.AppendJSON(nil)}, s.Until.Sub(s.Time), list)
}

// EndSilence ends the silence with a key.
func (m *Model) EndSilence(ctx context.Context, key string) error {
	s, ok := m.Silences()[key]
	if !ok {
		return nil
	}
	list := maps.Clone(m.Silences())
	delete(list, key)
	return m.store(ctx, &nats.Msg{Subject: s.Subject(), Header: nats.Header{"KV-Operation": {"DEL"}}}, markerTTL, list)
}

// markerTTL is how long the message stays that a silence was ended, for pages that are away.
const markerTTL = time.Hour

// store stores a message about a silence. The list of silences has it then, so that the user sees it at once.
func (m *Model) store(ctx context.Context, msg *nats.Msg, ttl time.Duration, list map[string]schemas.Silence) error {
	if _, err := m.Conn.JetStream().PublishMsg(ctx, msg, jetstream.WithMsgTTL(max(ttl.Truncate(time.Second), time.Second))); err != nil {
		return fmt.Errorf("store it in bucket %s: %w", schemas.BucketSilences, err)
	}
	m.setSilences(list)
	return nil
}

// Hidden returns the silence that hides a group of alerts of a rule on a link and a station, the last of which came at a time. A
// silence of all stations counts too.
func Hidden(silences map[string]schemas.Silence, rule string, link Link, station string, last, now time.Time) (schemas.Silence, bool) {
	for _, of := range []string{station, ""} {
		s, ok := silences[KeyOf(rule, link, of)]
		if ok && now.Before(s.Until) && (s.Kind == schemas.Silenced || !last.After(s.Time)) {
			return s, true
		}
	}
	return schemas.Silence{}, false
}

// KeyOf returns the key of a silence. The station is a text, empty for all.
func KeyOf(rule string, link Link, station string) string {
	s := schemas.Silence{Rule: rule, Host: link.Host, Interface: link.Interface, Ethernet: ParseStation(station)}
	s.VLAN, s.InnerVLAN = link.Tags()
	return s.Key()
}

// ParseStation returns the Ethernet address in a text, nil if there is none.
func ParseStation(s string) *schemas.MAC {
	mac, err := schemas.ParseMAC(s)
	if err != nil {
		return nil
	}
	return &mac
}
