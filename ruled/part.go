package ruled

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ndmon/ndmon/ruled/feed"
	"github.com/ndmon/ndmon/ruled/group"
	"github.com/ndmon/ndmon/ruled/judge"
	"github.com/ndmon/ndmon/ruled/link"
	"github.com/ndmon/ndmon/ruled/relay"
	"github.com/ndmon/ndmon/ruled/state"
	"github.com/ndmon/ndmon/schemas"
	"golang.org/x/sync/errgroup"
)

// part evaluates the events of a partition, or of all.
type part struct {
	partition int
	judge     *judge.Judge
	feed      *feed.Feed // nil with Deps.Events
	keeper    *keeper
}

func (r *run) newPart(partition int) *part {
	send := r.Relay
	if send == nil {
		send = r.publish
	}
	alerts := r.raiser()
	var write func(*schemas.Binding) bool
	if r.history != nil {
		write = r.history.Write
	}
	p := &part{partition: partition, judge: judge.New(judge.Config{
		Log: r.Log, Metrics: r.metrics, Rules: r.rules, Alerts: alerts, Clock: r.RelayTTL,
		Relay: relay.New(relay.Config{Log: r.Log, Metrics: r.metrics, TTL: r.RelayTTL, Send: send}),
		Link: link.Config{
			Neighbours: r.Neighbours, ClaimTimeout: r.ClaimTimeout, Silence: r.Silence, Learn: r.Learn > 0, Vendor: r.makers.Lookup, History: write,
		},
	})}
	name := r.Consumer
	if partition != feed.EveryPartition {
		name = state.Name(r.Consumer, partition)
	}
	p.keeper = &keeper{Config: r.Config, name: name, partition: partition, log: r.Log, conn: r.Conn, judge: p.judge, alerts: alerts, room: r.Room}
	if r.Deps.Events == nil {
		p.feed = feed.New(feed.Config{
			Consumer: name, Events: r.Config.Events, Partition: partition, Stored: r.keepsState(), New: r.Learn > 0,
			Log: r.Log, Metrics: r.metrics, Conn: r.Conn, Judge: p.judge, Alerts: alerts, Restore: p.keeper.restore,
			Health: func(err error) { r.setHealth(partition, err) },
		})
	}
	r.mu.Lock()
	r.parts[partition] = p
	r.mu.Unlock()
	return p
}

// setHealth notes that a part reads events, or why not.
func (r *run) setHealth(partition int, err error) {
	r.mu.Lock()
	r.health[partition] = err
	r.mu.Unlock()
	r.reportHealth()
}

// reportHealth reports that all parts read events, or why some do not.
func (r *run) reportHealth() {
	r.report(func() (err error, known bool) {
		r.mu.Lock()
		defer r.mu.Unlock()
		err = errors.Join(slices.Collect(maps.Values(r.health))...)
		return err, err != nil || len(r.health) == len(r.parts)
	})
}

// report calls Deps.Health with what health returns, unless that is not known or the same as the last time.
func (r *run) report(health func() (err error, known bool)) {
	r.reporting.Lock()
	defer r.reporting.Unlock()
	err, known := health()
	if text := fmt.Sprint(err); known && text != r.reported {
		r.reported = text
		r.Deps.Health(err)
		if err == nil {
			r.Log.Info("reading events", "stream", schemas.StreamEvents)
		}
	}
}

// drop forgets a part that has ended.
func (r *run) drop(p *part) {
	r.mu.Lock()
	delete(r.parts, p.partition)
	delete(r.health, p.partition)
	r.mu.Unlock()
	r.reportHealth()
}

// work runs a part until the context ends or it fails.
func (r *run) work(ctx context.Context, p *part) error {
	if r.Learn > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, r.Learn)
		defer stop()
	}
	g, ctx := errgroup.WithContext(ctx)
	if p.partition == feed.EveryPartition {
		g.Go(func() error { return r.rules.Follow(ctx, r.Hangup) })
	}
	g.Go(func() error { return p.keeper.run(ctx) })
	if r.history != nil {
		g.Go(func() error { return p.remember(ctx) })
	}
	evaluate := func(events func(context.Context) error) {
		g.Go(func() error {
			if r.Central.Newest == "" { // an edge does not wait for its hub
				if err := r.rules.Ready(ctx); err != nil {
					return err
				}
			}
			return events(ctx)
		})
	}
	if p.feed == nil {
		evaluate(func(ctx context.Context) error { return r.receive(ctx, p) })
		return g.Wait()
	}
	if r.Learn > 0 {
		g.Go(func() error { return r.keepStreams(ctx) })
	} else {
		g.Go(func() error {
			if r.ticks != nil {
				return p.judge.Watch(ctx, r.ticks(p.partition), p.feed)
			}
			ticker := time.NewTicker(time.Second)
			defer ticker.Stop()
			return p.judge.Watch(ctx, ticker.C, p.feed)
		})
	}
	evaluate(p.feed.Run)
	return g.Wait()
}

// rememberEvery is how often the history is told of what was heard again.
const rememberEvery = 15 * time.Second

// remember tells the history of what was heard again, until the context ends.
func (p *part) remember(ctx context.Context) error {
	ticker := time.NewTicker(rememberEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case now := <-ticker.C:
			p.judge.Remember(now)
		}
	}
}

// finish stores the last alerts and the state of a part, if there is a connection.
func (r *run) finish(ctx context.Context, p *part) {
	if r.Conn == nil || !r.Conn.Connected() {
		return
	}
	wait := time.Second
	if r.Lossless {
		wait = lastLossless
	}
	flush, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	if err := r.raiser().Flush(flush); err != nil {
		r.Log.Warn("the last alerts are not stored: they are raised again if their events are still there at the next start", "error", err)
	}
	if p.feed != nil {
		p.feed.Flush()
	}
	if r.history != nil {
		p.judge.Remember(time.Now())
	}
	if !r.keepsState() {
		return
	}
	last, cancel := context.WithTimeout(ctx, lastSave)
	defer cancel()
	if err := p.keeper.save(last); err != nil {
		r.Log.Warn("the state is not stored", "error", err)
	}
}

// shared evaluates this nd-ruled's share of the partitions until the context ends. Each time that others have taken over,
// it begins again as another member.
func (r *run) shared(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.rules.Follow(ctx, r.Hangup) })
	g.Go(func() error {
		for first := true; ; first = false {
			member, err := r.join(ctx)
			if err != nil {
				return err
			}
			if first {
				g.Go(func() error { return r.keepStreams(ctx) })
			}
			stop := r.raise(ctx, member)
			err = member.Run(ctx)
			stop()
			if !errors.Is(err, group.ErrFenced) {
				return err
			}
			r.report(func() (error, bool) { return err, true })
			r.Log.Warn("joining again", "error", err)
		}
	})
	return g.Wait()
}

// join tries to join the group until it succeeds or the context ends.
func (r *run) join(ctx context.Context) (*group.Member, error) {
	logged := ""
	for {
		err := r.ensureStreams(ctx)
		if err == nil && r.keepsState() {
			_, err = state.Make(ctx, r.Conn.JetStream(), r.Replicas) // once, and not for all partitions at the same time
		}
		var member *group.Member
		if err == nil {
			member, err = group.Join(ctx, group.Config{
				Name: r.Consumer, Replicas: r.Replicas, Conn: r.Conn, Log: r.Log, Hold: r.hold, Changed: r.changed,
			})
		}
		if err == nil { // that of an earlier version, which had one for all events
			r.Conn.JetStream().DeleteConsumer(ctx, schemas.StreamEvents, r.Consumer) // mostly there is none
		}
		if err == nil || ctx.Err() != nil {
			return member, ctx.Err()
		}
		r.report(func() (error, bool) { return err, true })
		if r.Conn.Connected() && err.Error() != logged {
			logged = err.Error()
			r.Log.Warn("events are not read now, trying again", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(prepareWait):
		}
	}
}

// hold evaluates a partition until the context ends.
func (r *run) hold(ctx context.Context, partition int) {
	p := r.newPart(partition)
	defer r.drop(p)
	r.work(ctx, p) // it ends with the context
	if !errors.Is(context.Cause(ctx), group.ErrFenced) {
		r.finish(context.WithoutCancel(ctx), p)
	}
}

// changed reports which partitions are evaluated.
func (r *run) changed(owned []int, members int) {
	r.Log.Info("sharing the events", "partitions", len(owned), "of", schemas.Partitions, "members", members)
	if r.Deps.shared != nil {
		r.Deps.shared(owned, members)
	}
	r.reportHealth()
}
