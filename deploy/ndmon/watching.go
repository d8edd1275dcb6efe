package ndmon

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// watching is a file in the directory of the embedded server that exists while ndmon
// watches; its modification time is the latest moment. Ruled stores its state of the sensor
// too seldom for that, and the events are in memory. If the file exists at the start, the
// previous ndmon was killed.
type watching struct {
	path string // empty for no file
	log  *slog.Logger
	// before is the time of the file at the start, zero without one.
	before time.Time
	// begun is closed when ndmon watches.
	begun  chan struct{}
	failed bool // the file could not be updated
}

// watchingInterval is how often the file is updated.
const watchingInterval = time.Second

// newWatching returns a watching. Without a directory it has no file: keep and end must not
// be called.
func newWatching(dir string, log *slog.Logger) *watching {
	w := &watching{log: log, begun: make(chan struct{})}
	if dir == "" {
		return w
	}
	w.path = filepath.Join(dir, "watching")
	switch info, err := os.Stat(w.path); {
	case err == nil:
		w.before = info.ModTime()
	case errors.Is(err, fs.ErrNotExist):
		w.touch() // before the first frame, so that an early kill is noticed too
	default:
		w.log.Warn("it is unknown whether the previous ndmon was killed", "error", err)
	}
	return w
}

// started returns sensor.Deps.Started, which calls next too unless it is nil.
func (w *watching) started(next func()) func() {
	return func() {
		close(w.begun)
		if next != nil {
			next()
		}
	}
}

// keep updates the file until the context ends.
func (w *watching) keep(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-w.begun:
	}
	ticker := time.NewTicker(watchingInterval)
	defer ticker.Stop()
	for {
		w.touch()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// touch sets the modification time of the file to now. It creates the file if needed.
func (w *watching) touch() {
	now := time.Now()
	err := os.Chtimes(w.path, now, now)
	if errors.Is(err, fs.ErrNotExist) {
		err = os.WriteFile(w.path, nil, 0o600)
	}
	if err != nil && !w.failed {
		w.failed = true
		w.log.Warn("if ndmon is killed, the next one may not know when that was", "error", err)
	}
}

// end removes the file, because ndmon ends in order. Keep has returned.
func (w *watching) end() {
	select {
	case <-w.begun:
	default:
		if !w.before.IsZero() {
			return // ndmon has not watched again since
		}
	}
	if err := os.Remove(w.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.log.Warn("the next ndmon will report that this one was killed", "error", err)
	}
}
