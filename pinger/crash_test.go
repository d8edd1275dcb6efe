package pinger

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"testing"

	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// childEnv makes the test binary a pinger, for tests that kill it.
const childEnv = "PINGER_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(child())
	}
	goleak.VerifyTestMain(m)
}

// childBus writes to standard output that the pinger receives commands.
type childBus struct{}

func (childBus) Subscribe(subject string, _ func(string, []byte)) (func() error, error) {
	fmt.Println("subscribed to", subject)
	return func() error { return nil }, nil
}

func (childBus) Publish(string, []byte) error { return nil }

func child() int {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := Run(ctx, testConfig(), Deps{Log: log, Registry: prometheus.NewRegistry(), Bus: childBus{}}); err != nil {
		log.Error("pinger", "error", err)
		return 1
	}
	return 0
}

// startChild runs a pinger as a process in a namespace and waits until it takes
// commands.
func startChild(t *testing.T, ns *lab.Namespace) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childEnv+"=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	ns.Do(func() { err = cmd.Start() })
	if err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || !strings.Contains(line, "nd.relay.r1") {
		t.Fatalf("the pinger said %q, %v", line, err)
	}
	return cmd
}

func TestKilledPingerLeavesNothingAfterTheNextStart(t *testing.T) {
	l := newLab(t)
	rules, routes := ours(l, 4861000, "s1", "s2")
	for range 3 {
		cmd := startChild(t, l.router)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil {
			t.Fatal("the pinger was not killed")
		}
		check(t, "rules after the kill", l.router.Rules(""), rules)
		check(t, "routes after the kill", l.router.Routes("table 4861"), routes)
	}
	cfg := testConfig()
	cfg.Slaves = []string{"s2"}
	r := start(t, l.router, cfg)
	rules, routes = ours(l, 4861000, "s2")
	check(t, "rules", l.router.Rules(""), rules)
	check(t, "routes", l.router.Routes("table 4861"), routes)
	if got := r.ask(onHost2, 1)["s2"].Status; got != schemas.Reachable {
		t.Errorf("status is %s", got)
	}
	r.stop()
	check(t, "rules after stop", l.router.Rules(""), standardRules)

	cmd := startChild(t, l.router)
	if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the pinger ended with %v", err)
	}
	check(t, "rules after SIGTERM", l.router.Rules(""), standardRules)
	check(t, "routes after SIGTERM", l.router.Routes("table 4861"), nil)
}
