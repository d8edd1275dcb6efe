// Package source has the rules in force: those of a file that it reads again when the file changes,
// without a file the central rules, and without these the built-in ones.
package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ndmon/ndmon/ruled/central"
	"github.com/ndmon/ndmon/ruled/internal/metrics"
	"github.com/ndmon/ndmon/ruled/internal/regular"
	"github.com/ndmon/ndmon/ruled/link/router"
	"github.com/ndmon/ndmon/ruled/rulefile"
	"github.com/ndmon/ndmon/ruled/rules"
	"github.com/ndmon/ndmon/schemas"
	"golang.org/x/sys/unix"
)

// Source has the rules in force.
type Source struct {
	path    string  // empty: no file
	data    []byte  // of the file that was read last; nil if it could not be read
	version version // of that file
	due     bool    // the file had changed at the last look
	unread  string  // why the file cannot be read, as it was logged
	log     *slog.Logger
	m       *metrics.Metrics

	rules atomic.Pointer[Rules]

	central Central
	seen    central.Revision // the newest central rules that were read, in force or refused
	failed  string           // why the central rules cannot be read, as it was logged
	ready   chan struct{}    // see Ready
	status  atomic.Pointer[schemas.RulesStatus]
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

// Load reads the rule file. If the path is empty, it reads the central rules that were kept on the disk, and
// without any the built-in rules. Its error has every fault of the file.
func Load(path string, central Central, log *slog.Logger, m *metrics.Metrics) (*Source, error) {
	s := &Source{central: central, log: log, m: m, ready: make(chan struct{})}
	if path == "" {
		if !s.loadKept() {
			s.use(rulefile.Builtin(), schemas.RulesStatus{Source: "built-in"})
			s.log.Info("using the built-in rules", "rules", s.Rules().count, "relaying", s.Rules().relays)
		}
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
	return s.parse(s.path, data, schemas.RulesStatus{Source: s.path}, "file", s.path)
}

// Describe adds to a status which rules are in force.
func (s *Source) Describe(status *schemas.DaemonStatus) { status.Rules = s.status.Load() }

// parse puts the rules of a file in force, unless it has a fault. Origin is for the log.
func (s *Source) parse(name string, data []byte, status schemas.RulesStatus, origin ...any) error {
	set, err := rulefile.Parse(name, data)
	if err != nil {
		return err
	}
	for _, notice := range set.Notices {
		s.log.Warn("rules: " + notice.String())
	}
	s.use(set, status)
	s.log.Info("using rules", append(origin, "rules", len(set.Rules), "relaying", s.Rules().relays)...)
	return nil
}

func (s *Source) use(set *rulefile.Set, status schemas.RulesStatus) {
	s.rules.Store(compile(set))
	s.status.Store(&status)
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
	if !errors.As(err, new(*rulefile.Faults)) {
		if err.Error() == s.unread {
			return // it is tried at every other look
		}
		s.unread = err.Error()
	}
	s.refuse(err, "file", s.path)
}

// refuse reports new rules that are refused. Origin is for the log.
func (s *Source) refuse(err error, origin ...any) {
	for line := range strings.Lines(err.Error()) {
		s.log.Error("rules: " + strings.TrimSuffix(line, "\n"))
	}
	status := *s.status.Load()
	status.Refused = err.Error()
	s.status.Store(&status)
	s.m.ReloadsFailed.Inc()
	s.log.Error("the new rules are refused, the old ones stay in force", append(origin, "rules", s.Rules().count)...)
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

// Follow reads the rules again on a hangup and when they change, until the context
// ends. It looks at the file because inotify watches one folder, and neither the files and
// folders that symbolic links lead to, nor a folder that replaces the watched one.
func (s *Source) Follow(ctx context.Context, hangup <-chan os.Signal) error {
	if s.path == "" && s.central.Conn != nil {
		return s.followCentral(ctx, hangup)
	}
	close(s.ready)
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
