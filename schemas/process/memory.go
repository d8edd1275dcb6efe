package process

import (
	"math"
	"os"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// reserve is the part of a limit that is left for memory outside the Go runtime, such as the
// pages of the program: a quarter of the limit, and at most so many bytes.
const reserve = 32 << 20

// LimitMemory has the garbage collector keep the process within the limit of its
// cgroup, unless GOMEMLIMIT sets another, and returns how many bytes it may take: 0 for
// any number.
func LimitMemory() int64 {
	// It fails where there is no cgroup or no limit, and then there is nothing to do.
	memlimit.SetGoMemLimitWithOpts(memlimit.WithRatio(1), memlimit.WithProvider(func() (uint64, error) {
		limit, err := memlimit.FromCgroup()
		return limit - min(limit/4, reserve), err
	}))
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		return limit
	}
	return 0
}

// WithinMemory returns the value of a setting, or less if it is the default and more
// than the share that the process has for it: a part of what LimitMemory returned, 0
// for no limit. It is at least the least.
func WithinMemory(variable string, value, share, least int) int {
	if _, given := os.LookupEnv(variable); given || share == 0 {
		return value
	}
	return min(value, max(share, least))
}
