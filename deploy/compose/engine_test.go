package compose_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// composed is the lab as its user has it: through docker-compose.
type composed struct {
	*testing.T
	command []string // docker-compose with the options of the lab
	env     []string
	prefix  string
}

// newCompose prepares the lab with options of docker-compose, and takes it down when the test ends.
func newCompose(t *testing.T, options ...string) *composed {
	t.Helper()
	if os.Getenv(dockerEnv) == "" {
		t.Skipf("set %s=1 to run the lab of docker-compose.yml", dockerEnv)
	}
	unfit := t.Skipf
	if os.Getenv("CI") == "true" {
		unfit = t.Fatalf
	}
	l := &composed{T: t, command: []string{"docker-compose"}, env: os.Environ()}
	if os.Geteuid() != 0 {
		unfit("needs root, for frames on the lab's networks")
	}
	if err := exec.Command("docker", "info").Run(); err != nil {
		unfit("there is no Docker engine: docker info: %v", err)
	}
	if _, err := exec.LookPath("docker-compose"); err != nil {
		l.command = []string{"docker", "compose"}
		if err := exec.Command("docker", "compose", "version").Run(); err != nil {
			unfit("there is neither docker-compose nor docker compose")
		}
	}
	l.command = append(l.command, options...)
	if os.Getenv("GO_IMAGE") == "" {
		l.env = append(l.env, "GO_IMAGE="+goImage(t))
	}
	// Two labs on one engine can have neither the same name nor the same
	// networks.
	id := os.Getpid()
	l.prefix = fmt.Sprintf("fd4e:444d:%x", id&0xffff)
	l.env = append(l.env, "COMPOSE_PROJECT_NAME=ndmontest"+strconv.Itoa(id), "NDMON_PREFIX="+l.prefix, "NDMON_PORT="+freePort(t))
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := l.try("logs", "--no-color", "--tail", "30")
			t.Logf("the lab's logs:\n%s", out)
		}
		if out, err := l.try("down", "--volumes", "--rmi", "local", "--timeout", "5"); err != nil {
			t.Errorf("take the lab down: %v\n%s", err, out)
		}
	})
	return l
}

// goImage makes a stand-in for the image golang and returns its name. It goes with
// the test, and so does what was built on it.
func goImage(t *testing.T) string {
	t.Helper()
	name := "ndmontest-go:" + strconv.Itoa(os.Getpid())
	t.Cleanup(func() {
		// The stages of the build have its label.
		_ = exec.Command("docker", "image", "prune", "--force", "--filter", "label=ndmon=build").Run()
		_ = exec.Command("docker", "image", "rm", name).Run()
	})
	if out, err := exec.Command("./go-image", name).CombinedOutput(); err != nil {
		t.Fatalf("make an image of this machine's Go: %v\n%s", err, out)
	}
	return name
}

// try runs docker-compose and returns what it printed.
func (l *composed) try(args ...string) (string, error) {
	cmd := exec.Command(l.command[0], slices.Concat(l.command[1:], args)...)
	cmd.Dir, cmd.Env = filepath.Join("..", ".."), l.env
	var stdout, all bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&stdout, &all), &all
	if err := cmd.Run(); err != nil {
		return all.String(), err
	}
	return stdout.String(), nil
}

func (l *composed) run(args ...string) string {
	l.Helper()
	out, err := l.try(args...)
	if err != nil {
		l.Fatalf("docker-compose %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// docker runs docker and returns its standard output.
func (l *composed) docker(args ...string) []byte {
	l.Helper()
	out, err := exec.Command("docker", args...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			out = exit.Stderr
		}
		l.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (l *composed) inspect(id, format string) string {
	l.Helper()
	return strings.TrimSpace(string(l.docker("inspect", "--format", format, id)))
}

// container returns a service's container.
func (l *composed) container(service string) string {
	l.Helper()
	id := strings.TrimSpace(l.run("ps", "--all", "--quiet", service))
	if id == "" {
		l.Fatalf("service %s has no container", service)
	}
	return id
}

func (l *composed) containers() []string {
	l.Helper()
	return strings.Fields(l.run("ps", "--all", "--quiet"))
}

func (l *composed) eventually(what string, condition func() bool) {
	l.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		if <-tick.C; time.Now().After(deadline) {
			l.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// healthy reports whether every service is, those that have ended in order
// included.
func (l *composed) healthy() bool {
	for _, id := range l.containers() {
		state := l.inspect(id, `{{.State.Status}} {{.State.ExitCode}} {{if .State.Health}}{{.State.Health.Status}}{{end}}`)
		if state != "running 0 healthy" && state != "exited 0" {
			return false
		}
	}
	return true
}

// crash kills the process of a service, and leaves it to the engine to start it
// again.
func (l *composed) crash(service string) {
	l.Helper()
	pid, err := strconv.Atoi(l.inspect(l.container(service), "{{.State.Pid}}"))
	if err != nil || pid <= 1 {
		l.Fatalf("process of %s: %d, %v", service, pid, err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		l.Fatalf("kill %s: %v", service, err)
	}
}

func (l *composed) alertsLog() string { return string(l.docker("logs", l.container("alerts"))) }

// copyKeys copies the keys out of their volume and returns the folder.
func (l *composed) copyKeys() string {
	l.Helper()
	dir := filepath.Join(l.TempDir(), "keys")
	l.docker("cp", l.container("keys")+":/keys", dir)
	return dir
}

// connect connects to the lab's server with a seed.
func (l *composed) connect(keys, seed string) *nats.Conn {
	l.Helper()
	path := filepath.Join(keys, seed)
	key, err := nats.NkeyOptionFromSeed(path)
	must(l, err)
	var options nats.Options
	must(l, key(&options))
	address := strings.TrimSpace(l.run("port", "nats", "4222"))
	authority := func(*nats.Options) error { return nil }
	if ca := filepath.Join(keys, "ca.pem"); isFile(ca) { // of a cluster
		authority = nats.RootCAs(ca)
	}
	nc, err := nats.Connect("nats://"+address, key, authority, nats.CustomInboxPrefix(nats.InboxPrefix+options.Nkey),
		nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
	if err != nil {
		l.Fatalf("connect to NATS with %s: %v", seed, err)
	}
	l.Cleanup(nc.Close)
	return nc
}

// freePort returns a port of the loopback without a listener. The engine
// would choose another one with each start.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	must(t, err)
	return port
}

func isFile(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func read(t *testing.T, path string) string {
	data, err := os.ReadFile(path)
	must(t, err)
	return strings.TrimSpace(string(data))
}
