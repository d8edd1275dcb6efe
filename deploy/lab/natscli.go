package lab

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
)

// natsCLI is the client that operators use. ndmon does not depend on it.
const natsCLI = "github.com/nats-io/natscli/nats@v0.5.0"

// BuildNATS builds the command nats and returns its path. It skips the test with -short, and where
// the module proxy does not answer, unless CI=true.
func BuildNATS(t TB) string {
	t.Helper()
	if short := flag.Lookup("test.short"); short != nil && short.Value.String() == "true" {
		t.Skipf("building the command nats takes long")
	}
	dir, err := os.MkdirTemp("", "natscli")
	if err != nil {
		t.Fatalf("make a folder for the command nats: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
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
