package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ndmon/ndmon/ruled/central"
	"github.com/ndmon/ndmon/ruled/internal/regular"
	"github.com/ndmon/ndmon/ruled/rulefile"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
)

// Central is where the central rules are. Without a connection, there are none.
type Central struct {
	Conn *bus.Conn
	// Newest is the subject of requests for the newest revision, Changed that on which a new one is
	// announced. If they are empty, they are those of package central.
	Newest, Changed string
	// Make makes the store if there is none: whoever pushes rules may lack the right to do so.
	Make bool
	// File has the newest revision that was in force, for a start without NATS. It is empty if none is to be kept.
	File string
}

// Ready waits until Follow has read the central rules once, if it reads them, or until the context ends.
// Before that, events would be evaluated by rules that may be outdated.
func (s *Source) Ready(ctx context.Context) error {
	select {
	case <-s.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

const (
	// readTimeout is the time for an answer.
	readTimeout = 2 * time.Second
	// After a sign of a change, the rules are read at increasing intervals: a server may publish them before
	// they are stored everywhere. Without any they are read each readEach, and while there are none each retryEach.
	readSoon  = 50 * time.Millisecond
	retryEach = 5 * time.Second
	readEach  = 30 * time.Second
)

// followCentral reads the central rules when they change, each time that NATS is reached, on a hangup, and at intervals.
func (s *Source) followCentral(ctx context.Context, hangup <-chan os.Signal) error {
	signs := make(chan struct{}, 1)
	sign := func() {
		select {
		case signs <- struct{}{}:
		default:
		}
	}
	conn := s.central.Conn
	if s.central.Newest == "" {
		s.central.Newest, s.central.Changed = central.Newest, central.Changed
	}
	stop, err := conn.Subscribe(s.central.Changed, func(string, []byte) { sign() })
	if err != nil {
		return err
	}
	defer stop() // it fails only if the connection is closed
	conn.OnConnect(func(bool) { sign() })
	sign()
	due, wait, read := time.NewTimer(readEach), readSoon, false
	defer due.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-hangup:
			s.log.Info("reading the central rules again on SIGHUP")
			wait = readSoon
		case <-signs:
			wait = readSoon
		case <-due.C:
			wait *= 5
		}
		if !conn.Connected() {
			continue
		}
		found := s.readCentral(ctx)
		if !read {
			read = true
			close(s.ready)
		}
		longest := readEach
		if !found {
			longest = retryEach
		}
		wait = min(wait, longest)
		due.Reset(wait)
	}
}

// readCentral reads the central rules, and puts them in force if they are new. It reports whether there are any.
func (s *Source) readCentral(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	r, err := central.Fetch(ctx, s.central.Conn.NATS(), s.central.Newest)
	if errors.Is(err, central.ErrNone) && s.central.Make {
		if _, failed := central.Open(ctx, s.central.Conn.JetStream(), true); failed != nil {
			err = failed
		}
	}
	if err != nil {
		if text := err.Error(); !errors.Is(err, central.ErrNone) && text != s.failed && s.central.Conn.Connected() {
			s.failed = text
			s.log.Warn("the central rules cannot be read", "error", err)
		}
		return false
	}
	s.failed = ""
	if !r.NewerThan(&s.seen) {
		return true
	}
	s.seen = *r
	if err := s.useRevision(r); err != nil {
		s.refuse(err, "revision", r.Revision)
		return true
	}
	s.m.ReloadsTaken.Inc()
	if err := s.keep(r); err != nil {
		s.log.Warn("the central rules are not kept for a start without NATS", "file", s.central.File, "error", err)
	}
	return true
}

// useRevision puts central rules in force, unless they have a fault.
func (s *Source) useRevision(r *central.Revision) error {
	return s.parse(r.Name(), r.Data, schemas.RulesStatus{Source: "bucket", Revision: r.Revision}, "revision", r.Revision)
}

// keptEnd is the last line of a kept file, which remains a rule file thereby. It also shows that the file is whole.
const keptEnd = "\n<!-- revision %d of %s -->\n"

// keep writes the file of the central rules, with the old content or the new one at any time.
func (s *Source) keep(r *central.Revision) error {
	if s.central.File == "" {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(s.central.File), ".rules-*") // only its owner may read it
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%s"+keptEnd, r.Data, r.Revision, r.Time.UTC().Format(time.RFC3339Nano))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), s.central.File)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// loadKept puts the central rules of the kept file in force, and reports whether there are any without a fault.
func (s *Source) loadKept() bool {
	if s.central.File == "" {
		return false
	}
	data, err := regular.Read(s.central.File, rulefile.MaxSize)
	if errors.Is(err, os.ErrNotExist) {
		return false
	}
	var r central.Revision
	var at string
	end := max(0, bytes.LastIndex(data, []byte("\n<!--")))
	if err == nil {
		_, err = fmt.Sscanf(string(data[end:]), keptEnd, &r.Revision, &at)
	}
	if err == nil {
		r.Data = data[:end]
		r.Time, err = time.Parse(time.RFC3339Nano, at)
	}
	if err == nil {
		err = s.useRevision(&r)
	}
	if err != nil {
		s.log.Warn("the central rules that were kept cannot be used", "file", s.central.File, "error", err)
		return false
	}
	s.seen = r
	return true
}
