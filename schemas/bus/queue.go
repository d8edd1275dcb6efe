package bus

import "sync"

// queue is a ring of messages, numbered from 0 on. Those from head to tail wait for
// their acknowledgement, and those before next have been sent.
type queue struct {
	ring             []message
	head, next, tail uint64
	bytes            int // of the messages, with overhead
	// large has memory for data that is longer than maxKept. It is freed when it is not used.
	large sync.Pool
}

type message struct {
	subject, id string
	data        []byte
	acked       bool
	seq         uint64 // in the stream
}

const (
	overhead = 128 // what a message costs in addition to its data, in bytes
	minRing  = 64  // messages
	// maxKept is how much memory for data a place in the ring keeps for its next message, in bytes.
	maxKept = 4096
)

func (q *queue) at(n uint64) *message { return &q.ring[n%uint64(len(q.ring))] }

func (q *queue) push(subject, id string, data []byte) {
	if q.tail-q.head == uint64(len(q.ring)) {
		larger := make([]message, max(2*len(q.ring), minRing))
		for n := q.head; n < q.tail; n++ {
			larger[n%uint64(len(larger))] = *q.at(n)
		}
		q.ring = larger
	}
	m := q.at(q.tail)
	if len(data) > maxKept {
		if large, ok := q.large.Get().(*[]byte); ok {
			m.data = *large
		}
	}
	*m = message{subject: subject, id: id, data: append(m.data[:0], data...)}
	q.tail++
	q.bytes += len(data) + overhead
}

// pop removes the acknowledged messages at the head and calls removed for each. It
// frees the memory of a ring that has grown beyond limit.
func (q *queue) pop(limit int, removed func(*message)) {
	for q.head < q.tail && q.at(q.head).acked {
		m := q.at(q.head)
		q.bytes -= len(m.data) + overhead
		m.acked = false
		if cap(m.data) > maxKept {
			data := m.data
			q.large.Put(&data)
			m.data = nil
		}
		q.head++
		removed(m)
	}
	q.next = max(q.next, q.head)
	if q.head == q.tail && len(q.ring) > limit {
		q.ring = nil
	}
}
