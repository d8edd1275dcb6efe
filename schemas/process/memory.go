package process

import (
	"math"
	"os"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// reserve is the most that is left of a limit for memory outside the Go runtime, such as
// the pages of the program, in bytes. It is also at most a quarter of the limit.
const reserve = 32 << 20

// LimitMemory makes the garbage collector keep the process within the memory limit of its
// cgroup, unless GOMEMLIMIT sets another limit. It returns the limit in bytes, 0 for none.
func LimitMemory() int64 {
	// An error means that there is no cgroup or no limit.
	memlimit.SetGoMemLimitWithOpts(memlimit.WithRatio(1), memlimit.WithProvider(func() (uint64, error) {
		limit, err := memlimit.FromCgroup()
		return limit - min(limit/4, reserve), err
	}))
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		return limit
	}
	return 0
}

// WithinMemory returns the value of the setting of a variable. If the variable is not set,
// the value is at most share, which is a part of the result of LimitMemory (0: no limit),
// but not below least.
func WithinMemory(variable string, value, share, least int) int {
	if _, given := os.LookupEnv(variable); given || share == 0 {
		return value
	}
	return min(value, max(share, least))
}
