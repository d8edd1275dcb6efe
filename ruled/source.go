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

	"github.com/ndmon/ndmon/ruled/link/router"
	"github.com/ndmon/ndmon/ruled/rulefile"
	"github.com/ndmon/ndmon/ruled/rules"
	"golang.org/x/sys/unix"
)

// source is where the rules come from, and the rules in force.
type source struct {
	path    string  // empty: built in
	data    []byte  // of the file that was read last; nil if it could not be read
	version version // of that file
	due     bool    // the file had changed when it was looked at last
	unread  string  // why the file cannot be read, as it was logged
	hangup  <-chan os.Signal
	log     *slog.Logger

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
	links               []router.Link
}

func newRuleset(set *rulefile.Set) *ruleset {
	var evaluated, relaying []rules.Rule
	relays := 0
	for _, rule := range set.Rules {
		if len(rule.Relay) > 0 {
			relays++
		}
		// What a rule remembers or knows of the link is known in turn only.
		hurried := len(rule.Relay) > 0 && !rule.Remembers()
		if hurried {
			relaying = append(relaying, rule)
		}
		if rule.Severity != "" || !hurried {
			if hurried {
				rule.Relay = nil
			}
			evaluated = append(evaluated, rule)
		}
	}
	return &ruleset{len(set.Rules), relays, rules.Compile(evaluated), rules.Compile(relaying), set.Links}
}

// lookEach is how often the file is looked at. A changed file is read one look
// later: it may be written in several steps.
const lookEach = 500 * time.Millisecond

// version differs between two files, and before and after a file is written to. It
// is zero where there is no file.
type version struct {
	device, inode    uint64
	size             int64
	written, changed unix.Timespec
}

// versionOf follows symbolic links, so it tells when any part of the path leads to
// another file.
func versionOf(path string) version {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return version{} // the reading of the file says why
	}
	return version{uint64(st.Dev), st.Ino, st.Size, st.Mtim, st.Ctim}
}

// loadRules reads the rules for the first time. Its error has every fault of
// the file.
func loadRules(path string, d Deps, m *metrics) (*source, error) {
	s := &source{hangup: d.Hangup, log: d.Log, changed: make(chan struct{}, 1), m: m}
	if path == "" {
		s.use(rulefile.Builtin())
		s.log.Info("using the built-in rules", "rules", s.rules.Load().count, "relaying", s.rules.Load().relays)
		return s, nil
	}
	var err error
	if s.path, err = filepath.Abs(path); err != nil { // a daemon leaves the folder
		return nil, fmt.Errorf("find rules: %w", err)
	}
	if err := s.load(); err != nil {
		return nil, err
	}
	return s, nil
}

// load reads the file and puts its rules in force, unless it is bad.
func (s *source) load() error {
	s.version = versionOf(s.path) // first, so that it differs if the file changes meanwhile
	data, err := readRegular(s.path, rulefile.MaxSize)
	if err != nil {
		s.version, s.data = version{}, nil
		return fmt.Errorf("read rules: %w", err)
	}
	s.unread = ""
	if s.data != nil && bytes.Equal(data, s.data) {
		return nil
	}
	s.data = data
	set, err := rulefile.Parse(s.path, data)
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

func (s *source) use(set *rulefile.Set) {
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
	var faults *rulefile.Faults
	if errors.As(err, &faults) {
		for _, fault := range faults.List {
			s.log.Error("rules: " + fault.String())
		}
	} else {
		if err.Error() == s.unread {
			return // it is tried at every other look
		}
		s.unread = err.Error()
		s.log.Error("rules: " + err.Error())
	}
	s.m.reloadsFailed.Inc()
	s.log.Error("the new rules are refused, the old ones stay in force", "file", s.path, "rules", s.rules.Load().count)
}

// look reads the file again if it has changed, or could not be read. It is called
// once in a while: a file is read at the look after the one that finds it changed.
func (s *source) look() {
	now := versionOf(s.path)
	switch {
	case now == s.version && now != version{}:
		s.due = false
	case !s.due:
		s.due = true
	default:
		s.due = false
		s.reload()
	}
}

// follow reads the rules again on a hangup and when the file changes. It looks at
// the file instead of having the kernel tell of changes: inotify tells of one
// folder, and neither of the files and folders that symbolic links lead to, nor of
// a folder that takes its place.
func (s *source) follow(ctx context.Context) error {
	if s.path == "" {
		<-ctx.Done()
		return ctx.Err()
	}
	ticker := time.NewTicker(lookEach)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.hangup:
			s.log.Info("reading the rules again on SIGHUP", "file", s.path)
			s.data, s.unread = nil, ""
			s.reload()
		case <-ticker.C:
			s.look()
		}
	}
}
