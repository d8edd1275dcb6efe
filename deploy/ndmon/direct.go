package ndmon

import "sync"

// direct hands messages from one part of this process to another: the thing
// itself, at once, in the giver's goroutine. The way over the server, with what is
// written there read again, would take a solicitation longer than all the rest of
// its way. NATS has it for everybody else; the parts share a connection that does
// not hear itself, so that nothing comes twice.
type direct[T any] struct {
	mu   sync.RWMutex
	take func(*T)
}

// listen has take called with each message until stop is called, which waits for
// the last call to end. Take must not keep the message.
func (d *direct[T]) listen(take func(*T)) (stop func()) {
	d.set(take)
	return func() { d.set(nil) }
}

func (d *direct[T]) set(take func(*T)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.take = take
}

// give hands a message over, if somebody listens.
func (d *direct[T]) give(message *T) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.take != nil {
		d.take(message)
	}
}
