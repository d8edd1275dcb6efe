package kernel

import (
	"os"
	"strings"
)

// Forwards reports whether the calling thread's network namespace forwards what comes in
// on all of the interfaces.
func Forwards(interfaces ...string) bool {
	set := func(setting string) bool {
		value, err := os.ReadFile("/proc/sys/net/ipv6/conf/" + setting)
		return err == nil && strings.TrimSpace(string(value)) != "0"
	}
	// The kernel ignores forwarding of a single interface here, but since Linux 6.17 not
	// its force_forwarding.
	if set("all/forwarding") {
		return true
	}
	for _, name := range interfaces {
		if !set(name + "/force_forwarding") {
			return false
		}
	}
	return len(interfaces) > 0
}
