package bus

import (
	"strconv"

	"github.com/nats-io/nats.go"
)

// InBatch makes a message the n-th, from 1 on, of the atomic batch with an id, at most 64 bytes long. The server
// stores the whole batch or nothing of it, when it has the last message (ADR-50).
func InBatch(header nats.Header, id string, n int, last bool) {
	header.Set("Nats-Batch-Id", id)
	header.Set("Nats-Batch-Sequence", strconv.Itoa(n))
	if last {
		header.Set("Nats-Batch-Commit", "1")
	}
}
