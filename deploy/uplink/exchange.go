package uplink

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
)

// answerTimeout is the time for an answer of the hub. lookAway is how often it is seen meanwhile whether the
// connection is lost, and with it the answer.
const (
	answerTimeout = 5 * time.Second
	lookAway      = 500 * time.Millisecond
)

// positionTTL is how long the hub keeps a position. An edge that was away for longer goes on behind the one that it has noted
// itself: then the hub may get the alerts twice of which it lost the answer.
const positionTTL = "168h"

// exchange asks the hub and receives its answers.
type exchange struct {
	nc      *nats.Conn
	host    string
	away    func() error
	answers *nats.Subscription
	inbox   string
	asked   int
}

func (u *Uplink) connect() (*exchange, error) {
	x := &exchange{nc: u.Conn.NATS(), host: u.Hub.Host, away: u.Away, inbox: u.Conn.NATS().NewInbox() + "."}
	var err error
	if x.answers, err = x.nc.SubscribeSync(x.inbox + "*"); err != nil {
		return nil, fmt.Errorf("subscribe to answers of the hub: %w", err)
	}
	return x, nil
}

func (x *exchange) close() { x.answers.Unsubscribe() } // it fails only if the connection is closed

// ask publishes messages and returns the answer to the last one, or to one that was refused.
func (x *exchange) ask(ctx context.Context, messages ...*nats.Msg) (*nats.Msg, error) {
	x.asked++
	reply := x.inbox + strconv.Itoa(x.asked)
	messages[0].Reply, messages[len(messages)-1].Reply = reply, reply
	for _, m := range messages {
		if err := x.nc.PublishMsg(m); err != nil {
			return nil, fmt.Errorf("publish to the hub: %w", err)
		}
	}
	for sent := time.Now(); ; {
		m, err := x.answers.NextMsg(lookAway)
		if errors.Is(err, nats.ErrTimeout) && time.Since(sent) < answerTimeout {
			err = errors.Join(ctx.Err(), x.away())
			if err == nil {
				continue
			}
		}
		if err != nil {
			return nil, fmt.Errorf("the hub does not answer on %s: %w", messages[0].Subject, err)
		}
		switch status := m.Header.Get("Status"); {
		case m.Subject != reply: // it came too late
		case status == "503":
			return nil, fmt.Errorf("the hub has nothing for edges on %s (is nd-ruled running, which makes its streams?)", messages[0].Subject)
		case len(m.Data) > 0 || status != "":
			return m, nil
		}
		// The first message of a batch gets an empty answer.
	}
}

// position returns the position that the hub has stored, none if it has none, and the sequence number of that message.
func (x *exchange) position(ctx context.Context) (p position, at uint64, err error) {
	m, err := x.ask(ctx, nats.NewMsg(schemas.UplinkPositionSubject(x.host)))
	switch {
	case err != nil:
		return p, 0, err
	case m.Header.Get("Status") == "404":
		return p, 0, nil
	}
	if at, err = strconv.ParseUint(m.Header.Get(jetstream.SequenceHeader), 10, 64); err == nil {
		err = json.Unmarshal(m.Data, &p)
	}
	if err != nil {
		return p, 0, fmt.Errorf("the position of %s at the hub: %w", x.host, err)
	}
	return p, at, nil
}

// store has the hub store alerts together with the position of the last one, if the sequence number of the former
// position is at. It returns that of the new one.
func (x *exchange) store(ctx context.Context, p position, at uint64, alerts []jetstream.Msg) (uint64, error) {
	data, err := json.Marshal(p)
	if err != nil {
		return 0, err
	}
	first := nats.NewMsg(schemas.UplinkFenceSubject(x.host))
	first.Data = data
	first.Header.Set(jetstream.MsgTTLHeader, positionTTL)
	first.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(at, 10))
	messages := []*nats.Msg{first}
	for _, a := range alerts {
		m := nats.NewMsg(schemas.UplinkAlerts)
		m.Header.Set(nats.MsgIdHdr, a.Headers().Get(nats.MsgIdHdr))
		m.Data = a.Data()
		messages = append(messages, m)
	}
	last, err := x.commit(ctx, messages)
	if err != nil {
		return 0, err
	}
	return last - uint64(len(alerts)), nil
}

// commit has the hub store messages as one batch, all or nothing, and returns the sequence number of the last one.
func (x *exchange) commit(ctx context.Context, messages []*nats.Msg) (last uint64, err error) {
	batch := rand.Text()
	for i, m := range messages {
		bus.InBatch(m.Header, batch, i+1, i == len(messages)-1)
	}
	m, err := x.ask(ctx, messages...)
	if err != nil {
		return 0, err
	}
	var answer struct {
		Error    *jetstream.APIError `json:"error"`
		Sequence uint64              `json:"seq"`
		Count    uint64              `json:"count"`
	}
	switch err := json.Unmarshal(m.Data, &answer); {
	case err != nil:
		return 0, fmt.Errorf("the answer of the hub to %d messages: %w", len(messages), err)
	case answer.Error != nil:
		return 0, fmt.Errorf("the hub does not store what the edge sends: %w", answer.Error)
	case answer.Count != uint64(len(messages)):
		return 0, errors.New("the hub does not store batches (it needs nats-server 2.12 or newer)")
	}
	return answer.Sequence, nil
}
