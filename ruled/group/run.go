package group

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
)

// Run evaluates the member's share of the partitions until the context ends, and then gives them back. It returns
// ErrFenced when another member has taken them over.
func (m *Member) Run(ctx context.Context) error {
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	for {
		err := m.beat(ctx)
		switch {
		case errors.Is(err, ErrFenced):
			m.stopAll(err)
			return err
		case ctx.Err() != nil:
			m.leave(ctx)
			return ctx.Err()
		case err == nil:
			m.logged = ""
		case m.Conn.Connected() && err.Error() != m.logged:
			m.logged = err.Error()
			m.Log.Warn("cannot share the partitions with other nd-ruled now, those owned are evaluated", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-ticker.C:
		case <-m.fenced:
			m.Fenced() // for beat
			select {
			case <-ctx.Done():
			case <-time.After(beat / 10):
			}
		}
	}
}

// view is a copy of the group's keys at one moment.
type view struct {
	members map[string]uint64 // sequence numbers of the last heartbeats
	owners  map[int]owner
}

// owner is the value of a partition's key, at a sequence number.
type owner struct {
	id       string // empty for none
	revision uint64
}

// beat stores a heartbeat, and does what follows from what the others have stored.
func (m *Member) beat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := m.heartbeat(ctx); err != nil {
		return err
	}
	v, err := m.look(ctx)
	if err != nil {
		return err
	}
	if v.members[m.id] < m.last {
		return nil // this server is behind the others
	}
	if err := m.checkFence(ctx, v); err != nil {
		return err
	}
	alive := m.alive(v)
	for id := range v.members {
		if slices.Contains(alive, id) || m.missing[id].left {
			continue
		}
		m.Log.Warn("another nd-ruled is gone: it has ended without notice, hangs, or does not reach NATS; its partitions are taken over", "member", id)
		if err := m.expel(ctx, id); err != nil {
			return err
		}
		if err := m.bucket.Purge(ctx, m.key("members", id), jetstream.PurgeTTL(time.Minute)); err != nil {
			return fmt.Errorf("remove member %s: %w", id, err)
		}
	}
	err = m.share(ctx, v, alive)
	m.show(len(alive))
	return err
}

// heartbeat stores a heartbeat behind the last one. It returns ErrFenced if another member has removed that.
func (m *Member) heartbeat(ctx context.Context) error {
	key := m.key("members", m.id)
	revision, err := m.bucket.Update(ctx, key, nil, m.last)
	if errors.Is(err, jetstream.ErrKeyExists) { // perhaps the last heartbeat was stored, and the answer was lost
		var entry jetstream.KeyValueEntry
		if entry, err = m.bucket.Get(ctx, key); err == nil {
			revision = max(entry.Revision(), m.last)
		} else if errors.Is(err, jetstream.ErrKeyNotFound) {
			return ErrFenced
		}
	}
	if err != nil {
		return fmt.Errorf("store a heartbeat in bucket %s: %w", schemas.BucketRuled, err)
	}
	m.last = revision
	return nil
}

func (m *Member) key(kind, name string) string {
	return schemas.EscapeToken(m.Name) + "." + kind + "." + name
}

// look reads the store.
func (m *Member) look(ctx context.Context) (view, error) {
	v := view{members: map[string]uint64{}, owners: map[int]owner{}}
	prefix := "$KV." + schemas.BucketRuled + "." + schemas.EscapeToken(m.Name) + "."
	for msg, err := range bus.GetLast(ctx, m.Conn.JetStream(), "KV_"+schemas.BucketRuled, prefix+">") {
		if err != nil {
			return v, err
		}
		kind, name, _ := strings.Cut(strings.TrimPrefix(msg.Subject, prefix), ".")
		deleted := msg.Header.Get("KV-Operation") != "" || msg.Header.Get(jetstream.MarkerReasonHeader) != ""
		if kind == "members" && !deleted {
			v.members[name] = msg.Sequence
		} else if n, err := strconv.Atoi(name); err == nil && kind == "partitions" && n >= 0 && n < schemas.Partitions {
			v.owners[n] = owner{string(msg.Data), msg.Sequence}
		}
	}
	return v, nil
}

// checkFence returns ErrFenced if another member owns a partition that this one evaluates, or has stored
// something behind its fence. A fence that has expired, or was deleted with the stream, is stored again.
func (m *Member) checkFence(ctx context.Context, v view) error {
	for _, p := range m.owned() {
		if v.owners[p].id != m.id {
			return ErrFenced
		}
	}
	select {
	case <-m.fenced:
	default:
		return nil
	}
	stream, err := m.Conn.JetStream().Stream(ctx, schemas.StreamAlerts)
	if err != nil {
		m.Fenced() // later
		return fmt.Errorf("read the fence: %w", err)
	}
	last, err := stream.GetLastMsgForSubject(ctx, schemas.FenceSubject(m.id))
	switch {
	case err == nil && last.Sequence == m.fence:
		return nil
	case err == nil:
		return ErrFenced
	case !errors.Is(err, jetstream.ErrMsgNotFound):
		m.Fenced()
		return fmt.Errorf("read the fence: %w", err)
	}
	return m.putFence(ctx)
}

// alive returns the members that are not gone, sorted.
func (m *Member) alive(v view) []string {
	for id, s := range m.missing {
		if v.members[id] == 0 {
			s.left = true
			m.missing[id] = s
		}
	}
	alive := []string{m.id}
	for id, last := range v.members {
		if id == m.id {
			continue
		}
		s := m.missing[id]
		if s.left {
			continue
		}
		if s.beats++; s.last != last {
			s = silence{last: last}
		}
		m.missing[id] = s
		if s.beats < missed {
			alive = append(alive, id)
		}
	}
	slices.Sort(alive)
	return alive
}

// expel has the server refuse what a member may still publish.
func (m *Member) expel(ctx context.Context, id string) error {
	if m.expelled[id] {
		return nil
	}
	if _, err := m.Conn.JetStream().Publish(ctx, schemas.FenceSubject(id), []byte(m.id), jetstream.WithMsgTTL(fenceTTL)); err != nil {
		return fmt.Errorf("store a fence in stream %s: %w", schemas.StreamAlerts, err)
	}
	m.expelled[id] = true
	return nil
}

// owned returns the partitions that are evaluated and not being released, in their order.
func (m *Member) owned() []int {
	m.mu.Lock()
	defer m.mu.Unlock()
	var owned []int
	for p, h := range m.holds {
		if !h.releasing {
			owned = append(owned, p)
		}
	}
	slices.Sort(owned)
	return owned
}

// share claims free partitions, or releases some, until the member has its even share.
func (m *Member) share(ctx context.Context, v view, alive []string) error {
	rank, n := slices.Index(alive, m.id), len(alive)
	quota := schemas.Partitions / n
	if rank < schemas.Partitions%n {
		quota++
	}
	owned := m.owned()
	for p, o := range v.owners {
		if i, held := slices.BinarySearch(owned, p); o.id == m.id && (!held || i >= quota) {
			go m.release(p, o.revision)
		}
	}
	missing := quota - len(owned)
	for i := range schemas.Partitions {
		p := (i + rank*schemas.Partitions/n) % schemas.Partitions // members begin at different ones
		o := v.owners[p]
		if missing <= 0 {
			return nil
		}
		if slices.Contains(alive, o.id) {
			continue
		}
		if o.id != "" {
			if err := m.expel(ctx, o.id); err != nil {
				return err
			}
		}
		_, err := m.bucket.Update(ctx, m.key("partitions", strconv.Itoa(p)), []byte(m.id), o.revision)
		switch {
		case err == nil:
			missing--
			m.hold(ctx, p)
		case !errors.Is(err, jetstream.ErrKeyExists): // otherwise another member was faster
			return fmt.Errorf("claim partition %d: %w", p, err)
		}
	}
	return nil
}

// show reports what has changed.
func (m *Member) show(members int) {
	owned := m.owned()
	if now := fmt.Sprint(members, owned); now != m.shown {
		m.shown = now
		m.Changed(owned, members)
	}
}

// hold starts the evaluation of a partition.
func (m *Member) hold(ctx context.Context, partition int) {
	ctx, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	h := &hold{stop: stop, done: make(chan struct{})}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.holds[partition] = h
	go func() {
		defer close(h.done)
		m.Hold(ctx, partition)
	}()
}

// release ends the evaluation of a partition, and lets others claim it then.
func (m *Member) release(partition int, revision uint64) {
	m.mu.Lock()
	h := m.holds[partition]
	if h != nil && h.releasing {
		m.mu.Unlock()
		return
	}
	if h != nil {
		h.releasing = true
		m.mu.Unlock()
		h.stop(context.Canceled)
		<-h.done
	} else {
		m.mu.Unlock() // an earlier release did not reach the server
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	if _, err := m.bucket.Update(ctx, m.key("partitions", strconv.Itoa(partition)), nil, revision); err != nil {
		m.Log.Debug("a partition is not released, it is taken over later", "partition", partition, "error", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.holds, partition)
}

// leave ends the evaluation of all partitions and lets others claim them.
func (m *Member) leave(ctx context.Context) {
	m.stopAll(context.Cause(ctx))
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	v, err := m.look(ctx)
	for p, o := range v.owners {
		if o.id == m.id && err == nil {
			_, err = m.bucket.Update(ctx, m.key("partitions", strconv.Itoa(p)), nil, o.revision)
		}
	}
	if err == nil {
		err = m.bucket.Purge(ctx, m.key("members", m.id), jetstream.PurgeTTL(time.Minute))
	}
	if err != nil {
		m.Log.Debug("the partitions are not released, they are taken over later", "error", err)
	}
}

// stopAll ends the evaluation of all partitions.
func (m *Member) stopAll(cause error) {
	m.mu.Lock()
	holds := slices.Collect(maps.Values(m.holds))
	m.mu.Unlock()
	for _, h := range holds {
		h.stop(cause)
	}
	for _, h := range holds {
		<-h.done
	}
}
