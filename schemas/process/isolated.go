package process

import (
	"context"
	"errors"
	"net"
	"time"
)

// errNoInterfaces ends a process whose network namespace has no interfaces left.
var errNoInterfaces = errors.New("no network interface is up except loopback: exiting, so that a restart joins the new network namespace")

// minWithoutInterfaces is the smallest value of the variable ALONE besides 0.
const minWithoutInterfaces = time.Second

// waitNoInterfaces returns errNoInterfaces once no interface except loopback has been up
// for the given time, or nil when the context ends. A container that shares another
// container's network keeps that namespace when the other container stops, without its
// interfaces. Only a restart joins the new namespace.
func waitNoInterfaces(ctx context.Context, after time.Duration, interfaces func() ([]net.Interface, error)) error {
	const checks = 10
	tick := time.NewTicker(after / checks)
	defer tick.Stop()
	for without := 0; without < checks; without++ {
		// A failed listing proves nothing.
		if list, err := interfaces(); err != nil || anyUp(list) {
			without = -1
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
	return errNoInterfaces
}

// anyUp reports whether an interface other than loopback is up.
func anyUp(list []net.Interface) bool {
	for _, i := range list {
		if i.Flags&net.FlagUp != 0 && i.Flags&net.FlagLoopback == 0 {
			return true
		}
	}
	return false
}
