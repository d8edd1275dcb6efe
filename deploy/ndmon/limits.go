package ndmon

// limits bound what is kept in memory.
type limits struct {
	// events are the bytes that the server keeps in the stream of events.
	events int64
	// buffer bounds each buffer of messages to be stored, that of events and that of
	// alerts, in bytes. neighbours bounds the remembered addresses. 0 is no limit.
	buffer, neighbours int
	// copy makes the server keep a copy of the alerts for readers. In a flood, it costs
	// the memory of the alerts of 10 s, for which the server remembers what was read.
	copy bool
}

// limitsFor returns the bounds for a process that may use this number of bytes of memory,
// 0 for no limit.
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
