package judge

import (
	"context"
	"time"

	"github.com/ndmon/ndmon/ruled/alert"
	"github.com/ndmon/ndmon/ruled/sensors"
	"github.com/ndmon/ndmon/schemas"
)

// settleTimeout bounds how long the evaluation of stored events may take before a sensor is
// reported as lost.
const settleTimeout = 2 * time.Second

// Feed is where the events come from, as far as the watch over sensors needs it.
type Feed interface {
	// Reading reports whether events are delivered now.
	Reading() bool
	// Settle returns when all events that were published before are evaluated.
	Settle(ctx context.Context) error
}

// Deaf notes that events may have been missed: no sensor counts as silent before it could be
// heard for long enough.
func (j *Judge) Deaf() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.sensors.Deaf()
}

// Watch raises an alert for each sensor that falls silent, until the context ends. Ticks are
// a second apart.
func (j *Judge) Watch(ctx context.Context, ticks <-chan time.Time, feed Feed) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticks:
		}
		fallen := j.tick(feed.Reading())
		if fallen == 0 {
			continue
		}
		// There may be stored events of these sensors that are not evaluated yet.
		settled, cancel := context.WithTimeout(ctx, settleTimeout)
		err := feed.Settle(settled)
		cancel()
		if err != nil {
			j.Log.Debug("sensors are silent, but not everything is evaluated", "sensors", fallen, "error", err)
			j.Deaf()
		} else {
			err = j.reportLost(ctx)
		}
		if err != nil && ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// tick lets a second pass and returns how many sensors are silent and not reported as lost.
func (j *Judge) tick(reading bool) (fallen int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.sensors.Tick()
	if !reading {
		j.sensors.Deaf()
	}
	return len(j.sensors.Fallen())
}

// reportLost raises an alert for each sensor that has fallen silent.
func (j *Judge) reportLost(ctx context.Context) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, w := range j.sensors.Fallen() {
		heartbeat := &w.Heartbeat
		if err := j.raise(ctx, alert.Alert{
			Event: heartbeat, Data: heartbeat.AppendJSON(nil), Rule: sensors.Lost, Severity: schemas.Warning, Description: w.Loss(), Count: 1,
		}); err != nil {
			return err
		}
		j.sensors.Reported(w)
		j.changed = true
	}
	return nil
}
