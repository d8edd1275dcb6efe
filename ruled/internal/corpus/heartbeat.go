package corpus

import (
	"fmt"
	"time"

	"github.com/ndmon/ndmon/schemas"
)

// At returns a time, in seconds since the tests' heartbeats begin.
func At(seconds int) time.Time {
	return time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC).Add(time.Duration(seconds) * time.Second)
}

// Heartbeat returns heartbeat n of the sensor of r1 that started at a time, with an interval of 2 s.
func Heartbeat(n, started, now int, edit ...func(*schemas.Heartbeat)) *schemas.Event {
	e := &schemas.Event{
		Type: schemas.TypeEvent, ID: fmt.Sprintf("h%d", n), Time: At(now), Host: "r1", Direction: schemas.In,
		Sensor: &schemas.Heartbeat{Started: At(started), Interval: 2},
	}
	for _, f := range edit {
		f(e.Sensor)
	}
	return e
}

// Stopped makes a heartbeat that of a sensor that ends in order.
func Stopped(s *schemas.Heartbeat) { s.Stopped = true }

// Before makes a heartbeat that of a sensor whose predecessor watched until a time.
func Before(seconds int) func(*schemas.Heartbeat) {
	return func(s *schemas.Heartbeat) { t := At(seconds); s.Before = &t }
}
