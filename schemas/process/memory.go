package process

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"golang.org/x/sys/unix"
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

const (
	// returnInterval is how often ReturnMemory looks.
	returnInterval = 2 * time.Second
	// quiet is the most that is allocated in an interval in which a collection is no burden, and
	// worthwhile how much must have been allocated for one, in bytes.
	quiet, worthwhile = 1 << 20, 4 << 20
)

// ReturnMemory returns memory to the system until the context ends, whenever less is in use than
// before: after the start, and after a flood. The Go runtime itself collects garbage only when
// more is allocated, or after two minutes.
func ReturnMemory(ctx context.Context) {
	allocated := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	var before, returned uint64
	intervals := 0 // quiet ones in succession
	ticker := time.NewTicker(returnInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		metrics.Read(allocated)
		now := allocated[0].Value.Uint64()
		intervals++
		if now-before >= quiet {
			intervals = 0
		}
		before = now
		switch intervals {
		case 1, 6, 12: // the NATS server forgets what it cached after 10 s, and which alerts are duplicates after 15 s
			if returned == 0 || now-returned > worthwhile {
				debug.FreeOSMemory()
				releaseProgram()
			}
			if intervals == 12 {
				returned = now
			}
		}
	}
}

// releaseProgram unmaps the pages of the program's file, most of which are not in use now. They
// stay in the system's cache until it needs the memory, and are mapped again when they are used.
// A mapping that has pages of its own, such as one with relocations, is left alone. It is no more
// than a saving: errors change nothing.
func releaseProgram() {
	path, err := os.Executable()
	if err != nil {
		return
	}
	maps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer maps.Close()
	var begin, end uintptr // of the mapping that the line is about, 0 if it is another's or may be written to
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		line := lines.Text()
		var from, to uintptr
		var rights string
		if n, _ := fmt.Sscanf(line, "%x-%x %s", &from, &to, &rights); n == 3 {
			begin, end = 0, 0
			if strings.HasSuffix(line, path) && !strings.Contains(rights, "w") {
				begin, end = from, to
			}
		} else if own, ok := strings.CutPrefix(line, "Anonymous:"); ok && begin > 0 && strings.TrimSpace(own) == "0 kB" {
			unix.Syscall(unix.SYS_MADVISE, begin, end-begin, unix.MADV_DONTNEED)
		}
	}
}
