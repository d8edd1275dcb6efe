// Package release tests what the script release makes.
package release

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// released makes a release for this machine, as the archive for OpenWrt too. The compiler's cache
// makes a second one cheap.
func released(t *testing.T, env ...string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("a release takes long")
	}
	dist := t.TempDir()
	cmd := exec.Command("./release", dist)
	cmd.Env = append(os.Environ(), append(env, "ARCHES="+runtime.GOARCH, "OPENWRT="+runtime.GOARCH)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return dist
}

// need skips the test without programs. In continuous integration it fails.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, name := range programs {
		if _, err := exec.LookPath(name); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
}

// one returns the file that a pattern matches.
func one(t *testing.T, dir, pattern string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(files) != 1 {
		t.Fatalf("%s matches %v, %v", pattern, files, err)
	}
	return files[0]
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		t.Fatalf("%s %v: %v", name, args, err)
	}
	return string(out)
}

// commands returns the first commands in a section of the page about installing.
func commands(t *testing.T, section string) []string {
	t.Helper()
	page, err := os.ReadFile("../../docs/installing.md")
	must(t, err)
	_, text, _ := strings.Cut(string(page), "\n## "+section+"\n")
	block := regexp.MustCompile(`(?m)(^    .*\n)+`).FindString(text)
	if block == "" {
		t.Fatalf("no commands in section %s", section)
	}
	return strings.Split(strings.TrimSpace(block), "\n    ")
}

func TestRelease(t *testing.T) {
	need(t, "dpkg-deb")
	dist := released(t)
	t.Run("again", func(t *testing.T) { testAgain(t, dist) })
	root := t.TempDir()
	for _, name := range []string{"ndmon", "ndmon-nats-server"} {
		output(t, "dpkg-deb", "--extract", one(t, dist, name+"_*.deb"), root)
	}
	t.Run("files", func(t *testing.T) { testFiles(t, dist, root) })
	t.Run("version", func(t *testing.T) { testVersion(t, root) })
	t.Run("modules", func(t *testing.T) { testModules(t, root) })
	t.Run("settings", func(t *testing.T) { testSettings(t, root) })
	t.Run("Debian", func(t *testing.T) { testDebian(t, dist) })
}

// testAgain makes another release, elsewhere: its bytes are the same.
func testAgain(t *testing.T, dist string) {
	sums := func(dist string) string {
		data, err := os.ReadFile(filepath.Join(dist, "SHA256SUMS"))
		must(t, err)
		return string(data)
	}
	if diff := cmp.Diff(sums(dist), sums(released(t, "TZ=Asia/Tokyo", "LC_ALL=C.UTF-8", "TMPDIR="+t.TempDir()))); diff != "" {
		t.Errorf("(-first +second):\n%s", diff)
	}
}

// testFiles looks for some files of each kind. Root has the contents of the packages for Debian.
func testFiles(t *testing.T, dist, root string) {
	need(t, "rpm")
	rpm := one(t, dist, "ndmon-[0-9]*.rpm")
	output(t, "rpm", "--checksig", rpm)
	if got := output(t, "rpm", "-qpc", rpm); got != "/etc/ndmon/ndmon.env\n" {
		t.Errorf("configuration of the rpm: %s", got)
	}
	files := map[string]string{
		"deb":     output(t, "find", root, "-type", "f"),
		"rpm":     output(t, "rpm", "-qlp", rpm),
		"OpenWrt": output(t, "tar", "--list", "--gzip", "--file", one(t, dist, "ndmon_*_openwrt_*.tar.gz")),
	}
	for _, file := range []string{
		"deb /usr/bin/ndmon", "deb /usr/bin/nats-server", "deb /usr/lib/systemd/system/nats-server.service", "deb /usr/share/man/man8/nd-pinger.8.gz",
		"deb /usr/share/bash-completion/completions/nd-ruled", "deb /usr/share/zsh/vendor-completions/_ndmon", "deb /usr/share/fish/vendor_completions.d/nd-sensor.fish",
		"rpm /usr/bin/ndmon", "rpm /usr/lib/systemd/system/ndmon.service", "rpm /usr/share/zsh/site-functions/_ndmon", "rpm /usr/share/doc/ndmon/NOTICES",
		"OpenWrt /usr/bin/ndmon", "OpenWrt /usr/bin/nd-sensor", "OpenWrt /usr/bin/nd-pinger", "OpenWrt /etc/init.d/ndmon", "OpenWrt /etc/config/ndmon",
	} {
		kind, path, _ := strings.Cut(file, " ")
		if !strings.Contains(files[kind], path+"\n") {
			t.Errorf("the %s lacks %s", kind, path)
		}
	}
}

// testVersion asks the programs for their version and commit.
func testVersion(t *testing.T, root string) {
	commit := strings.TrimSpace(output(t, "git", "rev-parse", "HEAD"))
	for _, name := range []string{"ndmon", "nd-sensor", "nd-ruled", "nd-pinger"} {
		got := output(t, filepath.Join(root, "usr/bin", name), "version")
		if !strings.HasPrefix(got, name+" v") || !strings.Contains(got, "commit "+commit) {
			t.Errorf("version of %s: %s", name, got)
		}
	}
}

// testModules looks for every module that is linked in the SBOM and the notices.
func testModules(t *testing.T, root string) {
	data, err := os.ReadFile(filepath.Join(root, "usr/share/doc/ndmon/sbom.cdx.json"))
	must(t, err)
	var sbom struct {
		Components []struct{ Name, Version string }
	}
	must(t, json.Unmarshal(data, &sbom))
	listed := map[string]bool{}
	for _, c := range sbom.Components {
		listed[c.Name+" "+c.Version] = true
	}
	notices, err := os.ReadFile(filepath.Join(root, "usr/share/doc/ndmon/NOTICES"))
	must(t, err)
	programs, err := filepath.Glob(filepath.Join(root, "usr/bin/*"))
	must(t, err)
	linked := 0
	for _, program := range programs {
		for line := range strings.Lines(output(t, "go", "version", "-m", program)) {
			part := strings.Fields(line)
			if len(part) < 3 || part[0] != "dep" || strings.HasPrefix(part[1], "github.com/ndmon/") {
				continue
			}
			linked++
			module := part[1] + " " + part[2]
			if !listed[module] || !bytes.Contains(notices, []byte("==== "+module+" ====")) {
				t.Errorf("%s has %s: in the SBOM %v, and in NOTICES?", program, module, listed[module])
			}
		}
	}
	if len(programs) != 5 || linked < 100 {
		t.Errorf("%d modules in %v", linked, programs)
	}
}

// testSettings looks for the variables of the package's file, and of that for OpenWrt, in the programs' help.
func testSettings(t *testing.T, root string) {
	known := ""
	for _, name := range []string{"ndmon", "nd-sensor", "nd-ruled", "nd-pinger"} {
		known += output(t, filepath.Join(root, "usr/bin", name), "--help")
	}
	env, err := os.ReadFile(filepath.Join(root, "etc/ndmon/ndmon.env"))
	must(t, err)
	config, err := os.ReadFile("openwrt/ndmon.config")
	must(t, err)
	names := regexp.MustCompile(`(?m)^#?([A-Z_]+)=`).FindAllSubmatch(env, -1)
	names = append(names, regexp.MustCompile(`(?m)^\toption ((?:nats|sensor|pinger)_\w+)`).FindAllSubmatch(config, -1)...)
	for _, found := range names {
		if name := strings.ToUpper(string(found[1])); name != "NDMON_OPTIONS" && !strings.Contains(known, " "+name+" ") {
			t.Errorf("no program has the variable %s", name)
		}
	}
	if len(names) < 12 {
		t.Errorf("only %d settings", len(names))
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
