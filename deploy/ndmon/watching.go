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

// watching is a file in the folder of the embedded server that is there while
// ndmon watches; its time says until when. What ruled knows of the sensor is
// stored too seldom for that, and the events are in memory. One that is found at
// the start tells that the ndmon before ended without notice.
type watching struct {
	path string
	log  *slog.Logger
	// before is the time of the file that was found, zero without one.
	before time.Time
	// begun is closed when ndmon watches.
	begun chan struct{}
	// part keeps the time of the file, nil where there is none.
	part   *part
	failed bool // the file's time could not be set
}

// watchingInterval is how often the file gets its time.
const watchingInterval = time.Second

// watch returns a watching whose file is kept once it has started. Without a
// folder of its own, and where nothing is watched for alerts, there is none.
func (p *parts) watch(ctx context.Context) *watching {
	w := &watching{log: p.deps.Log, begun: make(chan struct{})}
	if p.server == nil || p.cfg.Data == "" || p.cfg.Learn > 0 || len(p.cfg.Files) > 0 {
		return w
	}
	w.path = filepath.Join(p.cfg.Data, "watching")
	switch info, err := os.Stat(w.path); {
	case err == nil:
		w.before = info.ModTime()
	case errors.Is(err, fs.ErrNotExist):
		w.touch() // before the first frame, so that an end that comes soon is noticed too
	default:
		w.log.Warn("it is not known whether the ndmon before ended in order", "error", err)
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

// keep sets the time of the file until the context ends.
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

// touch sets the time of the file.
func (w *watching) touch() {
	if err := touch(w.path); err != nil && !w.failed {
		w.failed = true
		w.log.Warn("if ndmon is killed, the next one may not know until when it watched", "error", err)
	}
}

// touch sets the time of a file to now, and makes it if it is not there.
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

// end notes that ndmon ends in order.
func (w *watching) end() {
	if w.part == nil {
		return
	}
	w.part.stop()
	select {
	case <-w.begun:
	default:
		if !w.before.IsZero() {
			return // the gap that the file stands for is not over
		}
	}
	if err := os.Remove(w.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.log.Warn("the next ndmon will think that this one ended without notice", "error", err)
	}
}
