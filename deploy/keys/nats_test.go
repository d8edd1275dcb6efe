package keys

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ndmon/ndmon/schemas"
)

// natsCLI is the client that operators use. ndmon does not depend on it.
const natsCLI = "github.com/nats-io/natscli/nats@v0.5.0"

// buildNATS builds the command nats and returns its path.
func buildNATS(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("building the command nats takes long")
	}
	dir := t.TempDir()
	build := exec.Command("go", "install", natsCLI)
	build.Dir = dir // outside of the workspace
	build.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=", "GOWORK=off", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		unable := t.Skipf
		if os.Getenv("CI") == "true" {
			unable = t.Fatalf
		}
		unable("this needs the command nats, which is built from %s: %v\n%s", natsCLI, err, out)
	}
	return filepath.Join(dir, "nats")
}

// The common commands of nats work with the contexts that Init makes, and fail with an
// error about permissions where the user lacks them.
func TestNATSCommand(t *testing.T) {
	nats := buildNATS(t)
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := probe.Addr().String()
	if err := probe.Close(); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "keys")
	if err := Init(dir, []string{host1}, plain, Client{URL: "nats://" + address}, false); err != nil {
		t.Fatal(err)
	}
	s := startAt(t, dir, address)
	list, err := readUsers(dir)
	if err != nil {
		t.Fatal(err)
	}
	users := map[string]user{}
	for _, u := range list {
		users[u.name()] = u
	}
	js := ensureStreams(t, connect(t, s, dir, users["ruled"]))
	if _, err := js.Publish(t.Context(), schemas.SubjectAlerts, []byte(someAlert)); err != nil {
		t.Fatal(err)
	}
	readAlerts(t, connect(t, s, dir, users["viewer"]), 1)

	for _, tc := range []struct {
		user, command string
		says          []string
		status        int
	}{
		{user: "viewer", command: "sub nd.alerts --last --count 1", says: []string{someAlert}},
		{user: "viewer", command: "sub nd.alerts --all --count 1 --raw", says: []string{someAlert}},
		{user: "viewer", command: "stream ls", says: []string{"ND_ALERTS"}},
		{user: "viewer", command: "stream ls --names", says: []string{"ND_ALERTS"}},
		{user: "viewer", command: "stream info ND_ALERTS", says: []string{"Messages: 1"}},
		{user: "viewer", command: "stream get ND_ALERTS 1", says: []string{someAlert}},
		{user: "viewer", command: "stream report", says: []string{"ND_ALERTS"}},
		{user: "viewer", command: "consumer add ND_ALERTS mine --ephemeral --pull --defaults", says: []string{"mine"}},
		{user: "viewer", command: "consumer ls ND_ALERTS", says: []string{"mine"}},
		{user: "viewer", command: "consumer info ND_ALERTS mine", says: []string{"mine"}},
		{user: "viewer", command: "consumer next ND_ALERTS mine", says: []string{someAlert}},
		{user: "viewer", command: "consumer rm ND_ALERTS mine --force"},
		{user: "viewer", command: "account info", says: []string{"viewer"}},
		{user: "viewer", command: "pub nd.relay {}", says: []string{"Permissions Violation"}, status: 1},
		{user: "exporter", command: "consumer info ND_ALERTS exporter", says: []string{"exporter"}},
		{user: "exporter", command: "consumer next ND_ALERTS exporter --ack", says: []string{someAlert}},
		{user: "exporter", command: "stream info ND_EVENTS", says: []string{"nd.events.>"}},
		{user: "admin", command: "stream ls --all", says: []string{"ND_ALERTS", "ND_EVENTS"}},
		{user: "admin", command: "stream purge ND_ALERTS --force", says: []string{"ND_ALERTS"}},
		{user: "admin", command: "consumer ls ND_EVENTS", says: []string{"exporter"}},
		{user: "system", command: "server report accounts", says: []string{"NDMON", "viewer"}},
		{user: "system", command: "server report jetstream", says: []string{"ndmon"}},
		{user: "system", command: "server ls", says: []string{"1"}},
		{user: "operator", command: "pub nd.relay.r1 {}"},
		{user: "sensor-r1", command: "pub nd.events.r1.eth0.ns {}"},
	} {
		t.Run(tc.user+" "+tc.command, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			cmd := exec.CommandContext(ctx, nats, append([]string{"--context", users[tc.user].contextFile(dir)}, strings.Fields(tc.command)...)...)
			cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "XDG_CONFIG_HOME=", "NATS_URL=", "NATS_CONTEXT=")
			out, err := cmd.CombinedOutput()
			if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != tc.status {
				t.Errorf("%v\n%s", err, out)
			}
			if tc.status == 0 && bytes.Contains(out, []byte("Permissions Violation")) {
				t.Errorf("something is refused:\n%s", out)
			}
			for _, words := range tc.says {
				if !bytes.Contains(out, []byte(words)) {
					t.Errorf("the output lacks %q:\n%s", words, out)
				}
			}
		})
	}
}
