package uplink

import (
	"context"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/schemas"
)

// historyConsumer is the durable consumer of the history: what the hub has of it is acknowledged there.
const historyConsumer = "uplink"

// maxBindings is how many bindings are forwarded at a time, historyWait how long the first of them is waited for.
const (
	maxBindings = 256
	historyWait = 2 * time.Second
)

// RunHistory forwards the history of addresses until the context ends. The hub keeps the newest message of each
// binding, as the edge does, so that it does no harm to send one again.
func (u *Uplink) RunHistory(ctx context.Context) error {
	for {
		err := u.forwardHistory(ctx)
		u.Log.Debug("the history of addresses does not reach the hub", "error", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(retryWait + mathrand.N(retryRandom)):
		}
	}
}

func (u *Uplink) forwardHistory(ctx context.Context) error {
	if err := u.Away(); err != nil {
		return err
	}
	consumer, err := u.Conn.JetStream().CreateOrUpdateConsumer(ctx, schemas.StreamHistory, jetstream.ConsumerConfig{
		Durable: historyConsumer, Description: "forwards the history to the hub", AckPolicy: jetstream.AckAllPolicy, MaxAckPending: 2 * maxBindings,
	})
	if err != nil {
		return fmt.Errorf("read stream %s: %w", schemas.StreamHistory, err)
	}
	hub, err := u.connect()
	if err != nil {
		return err
	}
	defer hub.close()
	for {
		found, err := consumer.Fetch(maxBindings, jetstream.FetchMaxWait(historyWait))
		if err != nil {
			return fmt.Errorf("read stream %s: %w", schemas.StreamHistory, err)
		}
		var batch []*nats.Msg
		var last jetstream.Msg
		for last = range found.Messages() {
			batch = append(batch, &nats.Msg{Subject: schemas.UplinkHistory + strings.TrimPrefix(last.Subject(), schemas.PrefixHistory), Header: nats.Header{}, Data: last.Data()})
		}
		if err := found.Error(); err != nil && !errors.Is(err, nats.ErrTimeout) {
			return fmt.Errorf("read stream %s: %w", schemas.StreamHistory, err)
		}
		if err := errors.Join(ctx.Err(), u.Away()); err != nil {
			return err
		}
		if len(batch) == 0 {
			continue
		}
		if _, err := hub.commit(ctx, batch); err != nil {
			return err
		}
		if err := last.Ack(); err != nil {
			return fmt.Errorf("acknowledge the history: %w", err)
		}
	}
}
