package release

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ndmon/ndmon/deploy/lab"
)

// container is a Debian that systemd has booted, in the network of a lab's namespace.
type container struct {
	*testing.T
	root string
	init string // the process id of its systemd
}

// boot makes a Debian of its essential packages and systemd, and boots it.
func boot(t *testing.T, n *lab.Namespace) *container {
	t.Helper()
	c := &container{T: t, root: filepath.Join(t.TempDir(), "debian")}
	out, err := exec.Command("mmdebstrap", "--variant=essential", "--include=systemd-sysv", "bookworm", c.root, "http://deb.debian.org/debian").CombinedOutput()
	if err != nil {
		t.Fatalf("make a Debian: %v\n%s", err, out)
	}
	must(t, os.Mkdir(filepath.Join(c.root, work), 0o755))
	// It shares the network of the namespace, where nspawn would withhold the capability from it.
	p := n.Start(lab.Command{Path: "/usr/bin/systemd-nspawn", Args: []string{
		"--directory", c.root, fmt.Sprintf("--machine=ndmontest%d", os.Getpid()), "--boot", "--register=no", "--keep-unit", "--capability=CAP_NET_ADMIN", "--console=pipe",
	}})
	t.Cleanup(func() {
		if t.Failed() {
			journal, _ := c.try("journalctl --no-pager -n 30; systemctl status --no-pager ndmon; ndmon health --metrics 127.0.0.1:9100")
			t.Log(journal)
		}
		// A killed nspawn would leave its systemd behind.
		p.Signal(syscall.SIGTERM)
		p.Wait()
	})
	children := fmt.Sprintf("/proc/%d/task/%[1]d/children", p.PID())
	lab.Eventually(t, "systemd has booted", func() bool {
		data, _ := os.ReadFile(children)
		for _, pid := range strings.Fields(string(data)) {
			c.init = pid
			if _, err := c.try("systemctl is-system-running | grep -E 'running|degraded'"); err == nil {
				return true
			}
		}
		return false
	})
	return c
}

// work is the folder in which the container's commands run. No other system has it, so a command never
// runs outside of the container.
const work = "/root/ndmon-container-test"

// try runs a line in a shell of the container. There is no sudo.
func (c *container) try(line string) (string, error) {
	cmd := exec.Command("nsenter", "--target", c.init, "--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd",
		"/bin/sh", "-c", `sudo() { "$@"; }; cd `+work+` || exit; `+line)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

func (c *container) run(line string) string {
	c.Helper()
	out, err := c.try(line)
	if err != nil {
		c.Fatalf("%s: %v\n%s", line, err, out)
	}
	return out
}

// testDebian has a Debian with nothing but the package run ndmon by the three commands of its documentation.
func testDebian(t *testing.T, dist string) {
	lab.NeedRoot(t)
	need(t, "mmdebstrap", "systemd-nspawn")
	router, outside := lab.New(t, "router"), lab.New(t, "outside")
	for _, name := range []string{"eth0", "eth1", "eth2"} {
		router.Veth(name, outside, name)
	}
	c := boot(t, router)
	deb := one(t, dist, "ndmon_*_"+runtime.GOARCH+".deb")
	data, err := os.ReadFile(deb)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(c.root, work, filepath.Base(deb)), data, 0o644))

	begun := time.Now()
	for _, line := range commands(t, "From a package") {
		c.run(strings.ReplaceAll(line, "amd64", runtime.GOARCH))
	}
	lab.Eventually(t, "ndmon is healthy", func() bool {
		_, err := c.try("ndmon health --metrics 127.0.0.1:9100")
		return err == nil
	})
	t.Logf("installed, configured and healthy after %v", time.Since(begun))
	// The first router is the link's own, the second a rogue.
	for i := byte(1); i <= 2; i++ {
		mac := []byte{2, 0, 0, 0, 0, i}
		outside.Send("eth0", lab.RouterAdvertisement(mac, lab.LinkLocal(mac), 1800).Frame())
	}
	lab.Eventually(t, "the journal has the alert", func() bool {
		return strings.Contains(c.run("journalctl -u ndmon -o cat"), `"rule":"ra-from-unknown-router"`)
	})
	if status := c.run("systemctl show ndmon -p DynamicUser -p ExecMainStatus -p NRestarts"); !strings.Contains(status, "NRestarts=0") {
		t.Error(status)
	}
	c.run("ndmon neighbors | grep 02:00:00:00:00:02; gzip -t /usr/share/man/man8/*.gz")

	// An upgrade keeps the file and restarts what runs. A purge leaves what the package did not make.
	pid := c.run("systemctl show ndmon -p MainPID")
	c.run("dpkg -i ndmon_*.deb; grep eth1,eth2 /etc/ndmon/ndmon.env; touch /etc/ndmon/own.nk; systemctl is-active ndmon")
	if again := c.run("systemctl show ndmon -p MainPID"); again == pid {
		t.Errorf("after an upgrade it still runs as %s", pid)
	}
	c.run("dpkg --purge ndmon")
	if left := c.run("ls -d /etc/ndmon/* /etc/systemd/system/*/ndmon* /usr/lib/systemd/system/n[dm]* /usr/bin/n[dm]* /var/lib/ndmon /var/lib/private/* /usr/share/doc/ndmon 2>/dev/null || true"); left != "/etc/ndmon/own.nk\n" {
		t.Errorf("a purge leaves\n%s", left)
	}
	if left := c.run("pidof ndmon || true"); left != "" {
		t.Errorf("ndmon still runs: %s", left)
	}
}
