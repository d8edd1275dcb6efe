//go:build linux

// Package systemd tests the units of this folder.
package systemd

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// programs are those that the units run, in /usr/local/bin.
var programs = []string{"nats-server", "nd-ruled", "nd-sensor", "nd-pinger", "ndmon"}

// verify returns what systemd-analyze has to say of a unit, on a system that has
// the programs.
func verify(t *testing.T, unit string) string {
	t.Helper()
	bin := t.TempDir()
	for _, name := range programs {
		if err := os.WriteFile(filepath.Join(bin, name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("sh", "-c", `mount --bind "$1" /usr/local/bin && exec systemd-analyze verify --man=no "$2"`, "verify", bin, unit)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	said, err := cmd.CombinedOutput()
	if err != nil {
		return string(said) + err.Error()
	}
	return string(said)
}

func TestUnits(t *testing.T) {
	unable := t.Skip
	if os.Getenv("CI") == "true" {
		unable = t.Fatal
	}
	if os.Geteuid() != 0 {
		unable("this needs root, to show systemd-analyze the programs in a mount namespace")
	}
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		unable("this needs systemd-analyze, of the package systemd")
	}
	for _, name := range programs {
		unit := name + ".service"
		if said := verify(t, unit); said != "" {
			t.Errorf("%s: %s", unit, said)
		}
		// It would say so, if something were wrong.
		data, err := os.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		bad := filepath.Join(t.TempDir(), unit)
		if err := os.WriteFile(bad, []byte(strings.Replace(string(data), "DynamicUser=", "DynamicUsr=", 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		if said := verify(t, bad); !strings.Contains(said, "DynamicUsr") {
			t.Errorf("%s with a mistake: %q", unit, said)
		}
	}
	units, err := filepath.Glob("*.service")
	if err != nil || len(units) != len(programs) {
		t.Errorf("units %v are not those of %v: %v", units, programs, err)
	}
}
