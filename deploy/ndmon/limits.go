package ndmon

// limits are the bounds of what is kept in memory.
type limits struct {
	// events are the bytes that the server keeps in the stream of events.
	events int64
	// buffer is the share of each buffer, of events on their way into that stream and of
	// alerts on theirs, in bytes, and neighbours how many addresses there is room for. 0
	// is no limit.
	buffer, neighbours int
	// copy has the server keep a copy of the alerts for readers. In a flood, that costs
	// what is stored in 10 s, for which the server remembers what was read.
	copy bool
}

// limitsFor returns the bounds for a process that may take so many bytes of memory, 0
// for any number.
func limitsFor(memory int64) limits {
	const (
		most, least = 32 << 20, 2 << 20 // of events
		neighbour   = 300               // bytes
		little      = 400 << 20
	)
	if memory == 0 {
		return limits{events: most, copy: true}
	}
	return limits{
		events: min(most, max(memory/16, least)), buffer: int(memory / 16), neighbours: int(memory / 10 / neighbour),
		copy: memory >= little,
	}
}
