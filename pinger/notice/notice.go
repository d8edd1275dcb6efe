// Package notice logs what hosts can cause as often as they like: targets that are found, lost,
// or move. What this host causes itself is logged without it.
package notice

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/ndmon/ndmon/pinger/limit"
)

// Most is how many lines per second are logged at level info. Any host can claim as many
// addresses as it likes.
const Most = 20

// Log logs lines at level info, up to Most per second, and the others at level debug.
type Log struct {
	log *slog.Logger
	now func() time.Time

	mu    sync.Mutex
	lines limit.PerSecond
}

// New makes a Log.
func New(log *slog.Logger, now func() time.Time) *Log { return &Log{log: log, now: now} }

// Info logs a line. Several goroutines may call it.
func (l *Log) Info(message string, args ...any) {
	level, first := l.next()
	if first {
		l.log.Info("many targets change in this second; the others are logged at level debug")
	}
	l.log.Log(context.Background(), level, message, args...)
}

// next returns the level of the next line, and whether it is the first in its second at level debug.
func (l *Log) next() (level slog.Level, first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := l.lines.Count(l.now())
	if lines <= Most {
		return slog.LevelInfo, false
	}
	return slog.LevelDebug, lines == Most+1
}
