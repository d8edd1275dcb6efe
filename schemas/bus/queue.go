package bus

// queue is a ring of messages, numbered from 0 on. Those from head to tail wait for
// their acknowledgement, and those before next have been sent.
type queue struct {
	ring             []message
	head, next, tail uint64
	bytes            int // of the messages, with overhead
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
)

func (q *queue) at(n uint64) *message { return &q.ring[n%uint64(len(q.ring))] }

// push appends a message with a copy of data.
func (q *queue) push(subject, id string, data []byte) {
	if q.tail-q.head == uint64(len(q.ring)) {
		larger := queue{ring: make([]message, max(2*len(q.ring), minRing))}
		for n := q.head; n < q.tail; n++ {
			*larger.at(n) = *q.at(n)
		}
		q.ring = larger.ring
	}
	m := q.at(q.tail)
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
		q.head++
		removed(m)
	}
	q.next = max(q.next, q.head)
	if q.head == q.tail && len(q.ring) > limit {
		q.ring = nil
	}
}
