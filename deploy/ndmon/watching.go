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
	path string
	log  *slog.Logger
	// before is the time of the file at the start, zero without one.
	before time.Time
	// begun is closed when ndmon watches.
	begun chan struct{}
	// part updates the file; nil if there is none.
	part   *part
	failed bool // the file's time could not be set
}

// watchingInterval is how often the file is updated.
const watchingInterval = time.Second

// watch returns a watching whose file is updated after the start. There is no file without
// a directory of its own, and when nothing is watched for alerts.
func (p *parts) watch(ctx context.Context) *watching {
	w := &watching{log: p.deps.Log, begun: make(chan struct{})}
	if p.server == nil || p.cfg.Data == "" || p.cfg.Learn > 0 || p.reading() {
		return w
	}
	w.path = filepath.Join(p.cfg.Data, "watching")
	switch info, err := os.Stat(w.path); {
	case err == nil:
		w.before = info.ModTime()
	case errors.Is(err, fs.ErrNotExist):
		w.touch() // before the first frame, so that an early kill is noticed too
	default:
		w.log.Warn("it is unknown whether the previous ndmon was killed", "error", err)
	}
	p.run(ctx, w.keep)
	w.part = p.running[len(p.running)-1]
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

// touch updates the file.
func (w *watching) touch() {
	if err := touch(w.path); err != nil && !w.failed {
		w.failed = true
		w.log.Warn("if ndmon is killed, the next one may not know when that was", "error", err)
	}
}

// touch sets the modification time of a file to now. It creates the file if needed.
func touch(path string) error {
	now := time.Now()
	err := os.Chtimes(path, now, now)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return file.Close()
}

// end removes the file, because ndmon ends in order.
func (w *watching) end() {
	if w.part == nil {
		return
	}
	w.part.stop()
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
