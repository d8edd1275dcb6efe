// Package source has the rules in force: the built-in ones, or those of a file that it reads
// again when the file changes.
package source

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

	"github.com/ndmon/ndmon/ruled/internal/metrics"
	"github.com/ndmon/ndmon/ruled/internal/regular"
	"github.com/ndmon/ndmon/ruled/link/router"
	"github.com/ndmon/ndmon/ruled/rulefile"
	"github.com/ndmon/ndmon/ruled/rules"
	"golang.org/x/sys/unix"
)

// Source has the rules in force.
type Source struct {
	path    string  // empty: the built-in rules
	data    []byte  // of the file that was read last; nil if it could not be read
	version version // of that file
	due     bool    // the file had changed at the last look
	unread  string  // why the file cannot be read, as it was logged
	log     *slog.Logger
	m       *metrics.Metrics

	rules atomic.Pointer[Rules]
}

// Rules are the rules of a file, and its routers.
type Rules struct {
	Program *rules.Program
	Links   []router.Link

	count, relays int // how many rules there are, and how many of them relay
}

func compile(set *rulefile.Set) *Rules {
	r := &Rules{Program: rules.Compile(set.Rules), Links: set.Links, count: len(set.Rules)}
	for i := range set.Rules {
		if len(set.Rules[i].Relay) > 0 {
			r.relays++
		}
	}
	return r
}

// lookEach is how often Follow looks at the file. A changed file is read one look later: it
// may be written in several steps.
const lookEach = 500 * time.Millisecond

// version differs between two files, and before and after a file is written to. It is zero where there is no file.
type version struct {
	device, inode    uint64
	size             int64
	written, changed unix.Timespec
}

// versionOf follows symbolic links, so it differs when any part of the path leads to another file.
func versionOf(path string) version {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return version{} // reading the file returns the error
	}
	return version{uint64(st.Dev), st.Ino, st.Size, st.Mtim, st.Ctim}
}

// Load reads the rule file, or the built-in rules if the path is empty. Its error has every fault of the file.
func Load(path string, log *slog.Logger, m *metrics.Metrics) (*Source, error) {
	s := &Source{log: log, m: m}
	if path == "" {
		s.use(rulefile.Builtin())
		s.log.Info("using the built-in rules", "rules", s.Rules().count, "relaying", s.Rules().relays)
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

// Rules returns the rules in force.
func (s *Source) Rules() *Rules { return s.rules.Load() }

// load reads the file and puts its rules in force, unless it has a fault.
func (s *Source) load() error {
	s.version = versionOf(s.path) // first, so that it differs if the file changes meanwhile
	data, err := regular.Read(s.path, rulefile.MaxSize)
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
	s.log.Info("using rules", "file", s.path, "rules", len(set.Rules), "relaying", s.Rules().relays)
	return nil
}

func (s *Source) use(set *rulefile.Set) {
	s.rules.Store(compile(set))
	s.m.Rules.Set(float64(len(set.Rules)))
}

// reload reads a file that was good before. If the new one has faults, they are logged and the old rules stay in force.
func (s *Source) reload() {
	before := s.Rules()
	err := s.load()
	if err == nil {
		if s.Rules() != before {
			s.m.ReloadsTaken.Inc()
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
	s.m.ReloadsFailed.Inc()
	s.log.Error("the new rules are refused, the old ones stay in force", "file", s.path, "rules", s.Rules().count)
}

// look reads the file again at the second call after it has changed, or could not be read.
func (s *Source) look() {
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

// Follow reads the rules again on a hangup and when the file changes, until the context
// ends. It looks at the file because inotify watches one folder, and neither the files and
// folders that symbolic links lead to, nor a folder that replaces the watched one.
func (s *Source) Follow(ctx context.Context, hangup <-chan os.Signal) error {
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
		case <-hangup:
			s.log.Info("reading the rules again on SIGHUP", "file", s.path)
			s.data, s.unread = nil, ""
			s.reload()
		case <-ticker.C:
			s.look()
		}
	}
}
