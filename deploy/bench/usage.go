//go:build linux

package bench

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cpuOf returns the processor time that a process has used, by the clock that
// the kernel has of every process (clock_getcpuclockid(3)).
func cpuOf(pid int) (time.Duration, error) {
	const schedClock = 2
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|schedClock), &ts); err != nil {
		return 0, fmt.Errorf("read the processor time of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// cpuOfThread returns the processor time of the thread that calls it.
func cpuOfThread() time.Duration {
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts) // cannot fail for this clock
	return time.Duration(ts.Nano())
}

// busy returns the processor time that the machine has spent on everything.
func busy() (time.Duration, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, fmt.Errorf("read the processor time of the machine: %w", err)
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	fields := strings.Fields(string(line)) // proc_stat(5): cpu, user, nice, system, idle, iowait, irq, softirq, steal, …
	const idle, iowait, steal = 4, 5, 8
	var ticks int64
	for i := 1; i < len(fields) && i <= steal; i++ {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read the processor time of the machine: %w", err)
		}
		if i != idle && i != iowait {
			ticks += n
		}
	}
	const userHZ = 100 // of every Linux that Go runs on
	return time.Duration(ticks) * time.Second / userHZ, nil
}

// memoryOf returns the resident memory of a process in bytes, now and at most
// so far.
func memoryOf(pid int) (now, peak int64, err error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, 0, fmt.Errorf("read the memory of process %d: %w", pid, err)
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		var to *int64
		switch key {
		case "VmRSS":
			to = &now
		case "VmHWM":
			to = &peak
		default:
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("read the memory of process %d: %w", pid, err)
		}
		*to = kib << 10
	}
	return now, peak, nil
}

// usage is what processes, ours and everybody have used of the machine.
type usage struct {
	r     *run
	since time.Time
	cpu   time.Duration // of the processes that are measured
	own   time.Duration // of this process
	all   time.Duration
}

func (r *run) usage() usage {
	r.Helper()
	u := usage{r: r, since: time.Now()}
	for _, p := range r.processes {
		used, err := cpuOf(p.PID())
		r.must(err, "measure")
		u.cpu += used
	}
	var err error
	u.own, err = cpuOf(os.Getpid())
	r.must(err, "measure")
	u.all, err = busy()
	r.must(err, "measure")
	return u
}

// addOthers reports what share of a core went to who is neither measured nor
// measures: it tells how far the other figures can be believed.
func (u usage) addOthers() {
	now := u.r.usage()
	others := (now.all - u.all) - (now.cpu - u.cpu) - (now.own - u.own)
	u.r.add(Figure{Name: "taken by others on this machine", Value: 100 * max(0, others.Seconds()) / now.since.Sub(u.since).Seconds(), Unit: Percent})
}
