// Package proc reads what a process has used and counted: processor time, memory,
// and its Prometheus metrics.
package proc

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/ndmon/ndmon/deploy/lab"
	"golang.org/x/sys/unix"
)

// CPU returns the processor time that a process has used, from the clock of the
// process (clock_getcpuclockid(3)).
func CPU(pid int) (time.Duration, error) {
	const schedClock = 2
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|schedClock), &ts); err != nil {
		return 0, fmt.Errorf("read the processor time of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// CPUOfThread returns the processor time of the calling thread.
func CPUOfThread() time.Duration {
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts) // cannot fail for this clock
	return time.Duration(ts.Nano())
}

// Busy returns the processor time that all programs on the machine have used.
func Busy() (time.Duration, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, fmt.Errorf("read the processor time of the machine: %w", err)
	}
	var user, nice, system, idle, iowait, irq, softirq, steal int64 // proc_stat(5)
	if _, err := fmt.Sscanf(string(text), "cpu %d %d %d %d %d %d %d %d", &user, &nice, &system, &idle, &iowait, &irq, &softirq, &steal); err != nil {
		return 0, fmt.Errorf("read the processor time of the machine: %w", err)
	}
	ticks := user + nice + system + irq + softirq + steal
	const userHZ = 100 // of every Linux that Go runs on
	return time.Duration(ticks) * time.Second / userHZ, nil
}

// Memory returns the resident memory of a process in bytes, now and at its peak.
func Memory(pid int) (now, peak int64, err error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, 0, fmt.Errorf("read the memory of process %d: %w", pid, err)
	}
	for line := range strings.Lines(string(text)) {
		// A line of another member sets nothing.
		fmt.Sscanf(line, "VmRSS: %d kB", &now)
		fmt.Sscanf(line, "VmHWM: %d kB", &peak)
	}
	if now == 0 || peak == 0 {
		return 0, 0, fmt.Errorf("read the memory of process %d: not in its status", pid)
	}
	return now << 10, peak << 10, nil
}

// Scraper reads a process's Prometheus metrics.
type Scraper struct {
	At      *lab.Namespace
	Address string
}

// Metrics are the metrics of a process at one time, in the text format.
type Metrics string

// Read reads the metrics now.
func (s Scraper) Read(ctx context.Context) (Metrics, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Address+"/metrics", nil)
	if err != nil {
		return "", err
	}
	client := http.Client{Transport: &http.Transport{DialContext: s.At.DialContext, DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return "", fmt.Errorf("read metrics: %w", err) // it names the address
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return Metrics(text), err
}

// Sum returns the sum of the series of a name that have all the labels. A label is
// written as name="value".
func (m Metrics) Sum(name string, labels ...string) float64 {
	sum := 0.0
series:
	for line := range strings.Lines(string(m)) {
		rest, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), name)
		if !ok || !strings.HasPrefix(rest, "{") && !strings.HasPrefix(rest, " ") {
			continue
		}
		for _, label := range labels {
			if !strings.Contains(rest, "{"+label) && !strings.Contains(rest, ","+label) {
				continue series
			}
		}
		if v, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64); err == nil {
			sum += v
		}
	}
	return sum
}
