// Package limit counts what hosts can cause as often as they like, so that the pinger does it
// only so many times per second. What is done then is for the callers to say. Package probe has
// a budget of its own, which is shared among sources.
package limit

import "time"

// PerSecond counts what happens within a second, which begins with the first after the last
// one. The zero value has counted nothing. Several goroutines must not use it at once.
type PerSecond struct {
	since time.Time
	n     int
}

// Counted returns how often Count was called in the current second.
func (p *PerSecond) Counted(now time.Time) int {
	if now.Sub(p.since) >= time.Second || now.Before(p.since) {
		p.since, p.n = now, 0
	}
	return p.n
}

// Count counts one more, and returns how many there are in the current second with it.
func (p *PerSecond) Count(now time.Time) int {
	p.Counted(now)
	p.n++
	return p.n
}
