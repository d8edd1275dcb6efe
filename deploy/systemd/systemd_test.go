// Package systemd tests the units of this folder.
package systemd

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// programs are the programs of the units in /usr/local/bin.
var programs = []string{"nats-server", "nd-ruled", "nd-sensor", "nd-pinger", "ndmon"}

// verify returns the complaints of systemd-analyze about a unit, on a system that has
// the programs.
func verify(t *testing.T, unit string) string {
	t.Helper()
	bin := t.TempDir()
	for _, name := range programs {
		must(t, os.WriteFile(filepath.Join(bin, name), nil, 0o755))
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
	all := append(slices.Clone(programs), "ndmon-alerts", "ndmon-web")
	for _, name := range all {
		unit := name + ".service"
		if said := verify(t, unit); said != "" {
			t.Errorf("%s: %s", unit, said)
		}
		// A mistake in the unit is reported.
		data, err := os.ReadFile(unit)
		must(t, err)
		bad := filepath.Join(t.TempDir(), unit)
		must(t, os.WriteFile(bad, []byte(strings.Replace(string(data), "DynamicUser=", "DynamicUsr=", 1)), 0o644))
		if said := verify(t, bad); !strings.Contains(said, "DynamicUsr") {
			t.Errorf("%s with a mistake: %q", unit, said)
		}
	}
	units, err := filepath.Glob("*.service")
	if err != nil || len(units) != len(all) {
		t.Errorf("units %v are not those of %v: %v", units, all, err)
	}
}

// The commands of the server's unit copy its files at the start and at a reload.
func TestCopies(t *testing.T) {
	if os.Geteuid() != 0 {
		unable := t.Skip
		if os.Getenv("CI") == "true" {
			unable = t.Fatal
		}
		unable("this needs root, to give files to another user")
	}
	unit, err := os.ReadFile("nats-server.service")
	must(t, err)
	const uid = 4711
	etc, run := t.TempDir(), t.TempDir()
	folder := filepath.Join(run, "nats-server")
	for _, dir := range []string{filepath.Join(etc, "keys"), folder} {
		must(t, os.Mkdir(dir, 0o700))
	}
	must(t, os.Chown(folder, uid, uid))
	files := []string{"keys/nats-server.conf", "keys/users.conf", "tls.pem", "ca.pem", "tls.key"}
	done := 0
	for line := range strings.Lines(string(unit)) {
		_, command, ok := strings.Cut(strings.TrimSpace(line), "=+/bin/sh -c '")
		if !ok {
			continue
		}
		done++
		for _, name := range files {
			must(t, os.WriteFile(filepath.Join(etc, name), []byte(line), 0o600))
		}
		command = strings.NewReplacer("%%", "%", "%t", run, "/etc/ndmon", etc).Replace(strings.TrimSuffix(command, "'"))
		if out, err := exec.Command("sh", "-c", command).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for _, name := range files {
			path := filepath.Join(folder, filepath.Base(name))
			info, err := os.Stat(path)
			must(t, err)
			data, err := os.ReadFile(path)
			if stat := info.Sys().(*syscall.Stat_t); err != nil || string(data) != line || info.Mode() != 0o400 || stat.Uid != uid {
				t.Errorf("%s: mode %v, of user %d, %q, %v", path, info.Mode(), stat.Uid, data, err)
			}
		}
	}
	if done != 2 {
		t.Errorf("%d lines copy the files, want that of the start and that of the reload", done)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
