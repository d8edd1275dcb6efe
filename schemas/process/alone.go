package process

import (
	"context"
	"errors"
	"net"
	"time"
)

// errAlone ends a process whose network namespace was left by the rest of the
// world.
var errAlone = errors.New("no network interface is up but loopback: ending, to be started again in the namespace that has taken the place of this one")

// minAlone is the least value of the variable ALONE.
const minAlone = time.Second

// alone returns errAlone once no interface but loopback has been up for so long,
// or nil when the context ends. A container that has joined the network of
// another one keeps that namespace when the other one ends, without its
// interfaces; only when it is started again does it join the new one.
func alone(ctx context.Context, long time.Duration, interfaces func() ([]net.Interface, error)) error {
	const looks = 10
	tick := time.NewTicker(long / looks)
	defer tick.Stop()
	for seen := 0; seen < looks; seen++ {
		// What cannot be listed is no proof.
		if list, err := interfaces(); err != nil || connected(list) {
			seen = -1
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
	return errAlone
}

// connected reports whether an interface leads to others.
func connected(list []net.Interface) bool {
	for _, i := range list {
		if i.Flags&net.FlagUp != 0 && i.Flags&net.FlagLoopback == 0 {
			return true
		}
	}
	return false
}
