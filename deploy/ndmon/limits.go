package ndmon

// limits are the bounds of what is kept in memory, in bytes but for neighbours.
type limits struct {
	// events are kept in the server's stream until they are evaluated.
	events int64
	// eventBuffer is of events on their way into the stream, alertBuffer of alerts on
	// theirs.
	eventBuffer, alertBuffer int
	// neighbours is how many addresses are remembered.
	neighbours int
}

// limitsFor returns the bounds for a process that may take so many bytes, 0 for any
// number. What each may take is a share of that, up to what it takes at most.
func limitsFor(memory int64) limits {
	l := limits{events: 32 << 20, eventBuffer: 64 << 20, alertBuffer: 16 << 20, neighbours: 100_000}
	if memory <= 0 {
		return l
	}
	const neighbour = 300 // bytes
	l.events = min(l.events, max(memory/10, 2<<20))
	l.eventBuffer = min(l.eventBuffer, max(int(memory/16), 1<<20))
	l.alertBuffer = min(l.alertBuffer, max(int(memory/16), 1<<20))
	l.neighbours = min(l.neighbours, max(int(memory/10/neighbour), 1000))
	return l
}
