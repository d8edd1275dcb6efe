package ndmon

import "sync"

// direct passes messages from one part of this process to another, as Go values in the
// sender's goroutine. Over the NATS server, with encoding and decoding, a solicitation
// would take longer than all the rest of its way. The parts share a NATS connection that
// does not receive its own messages, so that none arrives twice.
type direct[T any] struct {
	mu      sync.RWMutex
	receive func(*T)
}

// subscribe calls receive with each message until stop is called, which waits for the last
// call to end. Receive must not keep the message.
func (d *direct[T]) subscribe(receive func(*T)) (stop func()) {
	d.set(receive)
	return func() { d.set(nil) }
}

func (d *direct[T]) set(receive func(*T)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.receive = receive
}

// send passes a message to the subscriber, if there is one.
func (d *direct[T]) send(message *T) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.receive != nil {
		d.receive(message)
	}
}
