package command

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ndmon/ndmon/schemas/process"
)

func TestCommands(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	for _, tc := range []struct {
		args           string
		status         int
		stdout, stderr string
	}{
		{"health --help", process.ExitOK, "--metrics ADDRESS", ""},
		{"health", process.ExitUsage, "", "--metrics is not set"},
		{"health now", process.ExitUsage, "", `unexpected argument "now"`},
		{"keys --help", process.ExitOK, "remove ", ""},
		{"keys", process.ExitUsage, "", "needs a command: add, init, remove"},
		{"keys make", process.ExitUsage, "", `unknown command "make"`},
		{"keys init --help", process.ExitOK, "--tls-cert FILE", ""},
		{"keys init --hosts r1", process.ExitUsage, "", "ndmon keys init DIRECTORY"},
		{"keys init DIR", process.ExitUsage, "", "--hosts"},
		{"keys init DIR --hosts r1 --tls-cert c", process.ExitUsage, "", "--tls-cert, --tls-key: need each other"},
		{"keys add DIR --hosts r1 --force", process.ExitUsage, "", "--force"},
		{"keys add DIR --hosts r1", process.ExitFailure, "", "no keys yet"},
		{"keys init DIR --hosts r1", process.ExitOK, "nats-server.conf", ""},
		{"keys init DIR --hosts r1", process.ExitFailure, "", "--force"},
		{"keys add DIR --hosts r2", process.ExitOK, "nats-server.conf", ""},
		{"keys remove DIR --hosts r2", process.ExitOK, "nats-server.conf", ""},
		{"keys init DIR --hosts r1 --force", process.ExitOK, "nats-server.conf", ""},
	} {
		args := strings.Fields(strings.ReplaceAll(tc.args, "DIR", dir))
		var stdout, stderr bytes.Buffer
		status := process.Execute(New(false), args, &stdout, &stderr)
		if status != tc.status || !strings.Contains(stdout.String(), tc.stdout) || !strings.Contains(stderr.String(), tc.stderr) ||
			(tc.stdout == "") != (stdout.Len() == 0) || (tc.stderr == "") != (stderr.Len() == 0) {
			t.Errorf("ndmon %s: status %d, %q, %q", tc.args, status, &stdout, &stderr)
		}
	}
}
