package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
)

const (
	// maxAnswers and maxBytes bound the answers in memory, because answers may be forged.
	maxAnswers = 20_000
	maxBytes   = 64 << 20
	// moreWait is the time for a further answer after one, and longest how many times --wait that may go on.
	moreWait = 500 * time.Millisecond
	longest  = 10
)

// answers are the answers to one request.
type answers struct {
	sent  time.Time
	list  []answer
	bytes int
	// missed says that there were more than the bounds allow.
	missed bool
}

// answer is the status of a daemon, and when it arrived.
type answer struct {
	schemas.DaemonStatus
	at time.Time
}

// Statuses asks all daemons for their status, and returns the answers.
func Statuses(server bus.Config, wait time.Duration) ([]schemas.DaemonStatus, error) {
	a, err := ask(server, wait)
	if err != nil {
		return nil, err
	}
	list := make([]schemas.DaemonStatus, len(a.list))
	for i := range a.list {
		list[i] = a.list[i].DaemonStatus
	}
	return list, nil
}

// ask asks all daemons for their status. An error means that they could not be asked.
func ask(server bus.Config, wait time.Duration) (*answers, error) {
	failures := make(chan error, 1)
	nc, err := bus.Dial(server, "ndmon fleet", func(err error) {
		if !errors.Is(err, nats.ErrSlowConsumer) {
			select {
			case failures <- err:
			default:
			}
		}
	})
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	a, err := request(context.Background(), nc, wait)
	select {
	case err = <-failures: // it is the reason
	default:
	}
	if err != nil {
		return nil, fmt.Errorf("ask the daemons at %s: %w", server.URL, err)
	}
	return a, nil
}

// Ask asks all daemons for their status over a connection, and returns the report.
func Ask(ctx context.Context, nc *nats.Conn, wait time.Duration) (*Report, error) {
	a, err := request(ctx, nc, wait)
	if err != nil {
		return nil, fmt.Errorf("ask the daemons: %w", err)
	}
	return newReport(a), nil
}

// request asks all daemons for their status and collects the answers, until the context ends.
func request(ctx context.Context, nc *nats.Conn, wait time.Duration) (*answers, error) {
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return nil, fmt.Errorf("subscribe to the answers: %w", err)
	}
	end := context.AfterFunc(ctx, func() { sub.Unsubscribe() }) // it fails only if the connection is closed
	defer func() {
		if end() {
			sub.Unsubscribe()
		}
	}()
	a := &answers{sent: time.Now()}
	err = nc.PublishRequest(micro.APIPrefix+"."+micro.StatsVerb.String(), inbox, nil)
	last := a.sent.Add(longest * wait)
	for until := a.sent.Add(wait); err == nil; {
		var m *nats.Msg
		switch m, err = sub.NextMsg(time.Until(until)); {
		case errors.Is(err, nats.ErrSlowConsumer):
			a.missed, err = true, nil
		case errors.Is(err, nats.ErrNoResponders):
			err = errors.New("no daemon of ndmon is connected to it, or none that this key may ask")
		case err == nil && a.add(m.Data, time.Now()):
			if more := time.Now().Add(moreWait); more.After(until) && more.Before(last) {
				until = more
			}
		}
	}
	if !errors.Is(err, nats.ErrTimeout) {
		return nil, err
	}
	return a, nil
}

// add adds an answer. It reports false for one of a service that has nothing to do with ndmon, or that there is no room for.
func (a *answers) add(data []byte, at time.Time) bool {
	if a.bytes += len(data); a.bytes > maxBytes || len(a.list) == maxAnswers {
		a.missed = true
		return false
	}
	var stats struct {
		Endpoints []struct {
			Data json.RawMessage `json:"data"`
		} `json:"endpoints"`
	}
	if json.Unmarshal(data, &stats) != nil || len(stats.Endpoints) != 1 {
		return false
	}
	s := answer{at: at}
	if s.ParseJSON(stats.Endpoints[0].Data) != nil {
		return false
	}
	a.list = append(a.list, s)
	return true
}
