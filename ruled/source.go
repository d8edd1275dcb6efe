package ruled

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/ndmon/ndmon/ruled/link"
	"github.com/ndmon/ndmon/ruled/rules"
)

// source is where the rules come from, and the rules in force.
type source struct {
	path   string // empty: built in
	data   []byte // of the file that was read last
	hangup <-chan os.Signal
	log    *slog.Logger

	rules atomic.Pointer[ruleset]
	// changed is told when other rules are in force.
	changed chan struct{}
	m       *metrics
}

// ruleset is the rules of a file, by how they are evaluated, and the routers.
type ruleset struct {
	// count is how many rules there are, relays how many of them relay.
	count, relays int
	// evaluated are asked of each event in its turn, relaying of each
	// solicitation as it comes, in a hurry. A rule may be in both.
	evaluated, relaying *rules.Program
	links               []link.Routers
}

func newRuleset(set *rules.Set) *ruleset {
	var evaluated, relaying rules.Set
	relays := 0
	for _, rule := range set.Rules {
		if len(rule.Relay) > 0 {
			relays++
		}
		// What a rule remembers or knows of the link is known in turn only.
		hurried := len(rule.Relay) > 0 && !rule.Remembers()
		if hurried {
			relaying.Rules = append(relaying.Rules, rule)
		}
		if rule.Severity != "" || !hurried {
			if hurried {
				rule.Relay = nil
			}
			evaluated.Rules = append(evaluated.Rules, rule)
		}
	}
	return &ruleset{len(set.Rules), relays, rules.Compile(&evaluated), rules.Compile(&relaying), set.Links}
}

// settle is how long after a change the file is read: who writes it does so in
// several steps.
const settle = 100 * time.Millisecond

// loadRules reads the rules for the first time. Its error has every fault of
// the file.
func loadRules(path string, d Deps, m *metrics) (*source, error) {
	s := &source{path: path, hangup: d.Hangup, log: d.Log, changed: make(chan struct{}, 1), m: m}
	if path == "" {
		s.use(rules.Builtin())
		s.log.Info("using the built-in rules", "rules", s.rules.Load().count, "relaying", s.rules.Load().relays)
		return s, nil
	}
	if err := s.load(); err != nil {
		return nil, err
	}
	return s, nil
}

// load reads the file and puts its rules in force, unless it is bad.
func (s *source) load() error {
	data, err := os.ReadFile(s.path)
	if err != nil {
		return fmt.Errorf("read rules: %w", err)
	}
	if s.rules.Load() != nil && bytes.Equal(data, s.data) {
		return nil
	}
	s.data = data
	set, err := rules.Parse(s.path, data)
	if err != nil {
		return err
	}
	for _, notice := range set.Notices {
		s.log.Warn("rules: " + notice.String())
	}
	s.use(set)
	s.log.Info("using rules", "file", s.path, "rules", len(set.Rules), "relaying", s.rules.Load().relays)
	return nil
}

func (s *source) use(set *rules.Set) {
	s.rules.Store(newRuleset(set))
	s.m.rules.Set(float64(len(set.Rules)))
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// reload is load for a file that was good before: a bad one is refused with its
// faults and the old rules stay.
func (s *source) reload() {
	before := s.rules.Load()
	err := s.load()
	if err == nil {
		if s.rules.Load() != before {
			s.m.reloadsTaken.Inc()
		}
		return
	}
	s.m.reloadsFailed.Inc()
	var faults *rules.Faults
	if errors.As(err, &faults) {
		for _, fault := range faults.List {
			s.log.Error("rules: " + fault.String())
		}
	} else {
		s.log.Error("rules: " + err.Error())
	}
	s.log.Error("the new rules are refused, the old ones stay in force", "file", s.path, "rules", s.rules.Load().count)
}

// follow reads the rules again on a hangup and when the file changes.
func (s *source) follow(ctx context.Context) error {
	if s.path == "" {
		<-ctx.Done()
		return ctx.Err()
	}
	// The folder is watched, not the file: editors and configuration
	// management put a new file in its place.
	watcher, err := fsnotify.NewWatcher()
	if err == nil {
		defer watcher.Close()
		err = watcher.Add(filepath.Dir(s.path))
	}
	if err != nil {
		s.log.Warn("cannot watch the rule file, it is read again on SIGHUP alone", "file", s.path, "error", err)
		watcher = &fsnotify.Watcher{} // its nil channels never fire
	}
	var settled <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.hangup:
			s.log.Info("reading the rules again on SIGHUP", "file", s.path)
			s.data = nil
			s.reload()
		case <-watcher.Events:
			if settled == nil {
				settled = time.After(settle)
			}
		case err := <-watcher.Errors:
			s.log.Warn("watching the rule file", "file", s.path, "error", err)
			settled = time.After(settle) // events may have been missed
		case <-settled:
			settled = nil
			s.reload()
		}
	}
}
