package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Health is how the parts of a process are. Its zero value is that of a process
// that has no parts yet, which is not healthy.
type Health struct {
	mu     sync.Mutex
	checks map[string]func() error
}

var errStarting = errors.New("starting")

// Check has a part asked how it is. The check must not block.
func (h *Health) Check(part string, check func() error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.checks == nil {
		h.checks = map[string]func() error{}
	}
	h.checks[part] = check
}

// Part adds a part that says by itself how it is, and is starting until it has
// done so.
func (h *Health) Part(name string) func(error) {
	set := func(err error) { h.Check(name, func() error { return err }) }
	set(errStarting)
	return set
}

// Err says in one line which parts are not well and why, and is nil if all are.
func (h *Health) Err() error {
	h.mu.Lock()
	checks := maps.Clone(h.checks)
	h.mu.Unlock()
	if len(checks) == 0 {
		return errStarting
	}
	var ill []string
	for _, part := range slices.Sorted(maps.Keys(checks)) {
		if err := checks[part](); err != nil {
			ill = append(ill, part+": "+strings.Join(strings.Fields(err.Error()), " "))
		}
	}
	if len(ill) == 0 {
		return nil
	}
	return errors.New(strings.Join(ill, "; "))
}

// ServeHTTP answers 200, or 503 with the reason in one line.
func (h *Health) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	if err := h.Err(); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "healthy")
}

const (
	healthPath = "/health"
	// healthWait is less than the 30s that container engines give a check.
	healthWait = 5 * time.Second
	maxHealth  = 4096
)

// AskHealth is a health check for where there is no shell: it asks the running
// process that serves its metrics on an address how it is, prints the answer and
// returns the exit status. The setting is what gives the address.
func AskHealth(program, setting, addr string, stdout, stderr io.Writer) int {
	if addr == "" {
		fmt.Fprintf(stderr, "%s health: %s is not set, takes the address on which the running %s serves its metrics\n", program, setting, program)
		return ExitUsage
	}
	answer, err := askHealth(addr)
	if err != nil {
		fmt.Fprintf(stdout, "%s on %s does not answer: %v\n", program, addr, err)
		return ExitFailure
	}
	defer answer.Body.Close()
	if _, err := io.Copy(stdout, io.LimitReader(answer.Body, maxHealth)); err != nil {
		fmt.Fprintf(stdout, "%s on %s does not answer: %v\n", program, addr, err)
		return ExitFailure
	}
	if answer.StatusCode != http.StatusOK {
		return ExitFailure
	}
	return ExitOK
}

func askHealth(addr string) (*http.Response, error) {
	// The address is one to listen on: it may have no host, or a port by name.
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", addr)
	}
	client := http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}, Timeout: healthWait}
	answer, err := client.Get("http://localhost" + healthPath)
	if err != nil {
		return nil, errors.Unwrap(err) // the URL would mislead
	}
	return answer, nil
}
