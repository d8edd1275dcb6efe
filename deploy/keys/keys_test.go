package keys

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/ndmon/ndmon/schemas/process"
)

// plain is a server without TLS.
var plain = Server{Data: DefaultData}

// local is its clients.
var local = Client{URL: DefaultURL}

// snapshot returns the files of a directory.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o", e.Name(), info.Mode().Perm())
		}
		files[e.Name()] = string(data)
	}
	return files
}

// changed returns which files of before are other ones now, or none.
func changed(before, now map[string]string) (names []string) {
	for name, data := range before {
		if now[name] != data {
			names = append(names, name)
		}
	}
	return names
}

func TestInitAddRemove(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "keys")
	if err := Init(dir, []string{host2, host1, host1}, plain, local, false); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	first := snapshot(t, dir)
	want := []string{ServerFile, UsersFile}
	for _, name := range []string{"ruled", "viewer", "operator", "exporter", "admin", "system",
		"sensor-r1", "pinger-r1", "sensor-" + host2, "pinger-" + host2} {
		want = append(want, name+".nk", name+".json")
	}
	if diff := cmp.Diff(slices.Sorted(slices.Values(want)), slices.Sorted(maps.Keys(first))); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}

	// Nothing is overwritten.
	if err := Init(dir, []string{"r3"}, plain, local, false); err == nil || !strings.Contains(err.Error(), "--force") {
		t.Errorf("replaced: %v", err)
	}
	if err := Add(dir, []string{"r3", host1}); err == nil || !strings.Contains(err.Error(), "sensor-r1.nk") {
		t.Errorf("a host twice: %v", err)
	}
	if now := snapshot(t, dir); len(changed(first, now)) > 0 || len(now) != len(first) {
		t.Errorf("changed: %v", changed(first, now))
	}

	if err := Add(dir, []string{"r3"}); err != nil {
		t.Fatal(err)
	}
	second := snapshot(t, dir)
	if names := changed(first, second); len(names) != 1 || names[0] != UsersFile {
		t.Errorf("changed: %v", names)
	}
	if len(second) != len(first)+4 || !strings.Contains(second[UsersFile], `"nd.events.r3.*.*"`) {
		t.Errorf("r3 is not among the users:\n%s", second[UsersFile])
	}
	if err := Remove(dir, []string{"r3"}); err != nil {
		t.Fatal(err)
	}
	if now := snapshot(t, dir); len(changed(first, now)) > 0 || len(now) != len(first) {
		t.Errorf("changed: %v", changed(first, now))
	}
	if err := Remove(dir, []string{"r3"}); err == nil || !strings.Contains(err.Error(), "sensor-r3.nk") {
		t.Errorf("removed twice: %v", err)
	}

	if err := Init(dir, []string{host1}, plain, local, true); err != nil {
		t.Fatal(err)
	}
	replaced := snapshot(t, dir)
	if len(replaced) != len(first)-4 || replaced["ruled.nk"] == first["ruled.nk"] || replaced["sensor-r1.nk"] == first["sensor-r1.nk"] {
		t.Errorf("not replaced: %d files", len(replaced))
	}
}

// A user whose seed is elsewhere stays a user.
func TestSeedThatIsElsewhere(t *testing.T) {
	dir, users := fleet(t)
	if err := os.Remove(users["sensor-"+host1].seedFile(dir)); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, dir)
	for name, err := range map[string]error{"add": Add(dir, []string{"r3"}), "remove": Remove(dir, []string{host2})} {
		if err == nil || !strings.Contains(err.Error(), users["sensor-"+host1].key) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if now := snapshot(t, dir); len(changed(before, now)) > 0 || len(now) != len(before) {
		t.Errorf("changed: %v", changed(before, now))
	}
}

func TestRefuses(t *testing.T) {
	good, none := []string{"r1"}, t.TempDir()
	open := t.TempDir()
	if err := os.WriteFile(filepath.Join(open, "other"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o755); err != nil {
		t.Fatal(err)
	}
	spoilt, _ := fleet(t)
	if err := os.WriteFile(filepath.Join(spoilt, "sensor-x.nk"), []byte("SX\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		err   error
		usage bool
		want  string
	}{
		{Init(none, nil, plain, local, false), true, "--hosts"},
		{Init(none, []string{""}, plain, local, false), true, `--hosts: ""`},
		{Init(none, []string{"r1", "../r2"}, plain, local, false), true, `"../r2"`},
		{Init(none, []string{"a\nb"}, plain, local, false), true, `"a\nb"`},
		{Init(none, []string{strings.Repeat("x", 201)}, plain, local, false), true, "200 bytes"},
		{Init(none, good, Server{Data: "d", Cert: "c"}, local, false), true, "--tls-cert, --tls-key"},
		{Init(none, good, Server{Data: "d", Key: "k"}, local, false), true, "--tls-cert, --tls-key"},
		{Init(none, good, Server{Data: "d", CA: "a"}, local, false), true, "--tls-ca"},
		{Init(none, good, Server{Data: "d", Cert: "c\n", Key: "k"}, local, false), true, `"c\n"`},
		{Init(none, good, Server{}, local, false), true, "--data"},
		{Init(open, good, plain, local, false), false, "open to others (mode 0755)"},
		{Init("/dev/null", good, plain, local, false), false, "not a directory"},
		{Init("/dev/null/keys", good, plain, local, false), false, "not a directory"},
		{Add(none, good), false, "no keys yet"},
		{Add(none, nil), true, "--hosts"},
		{Remove(none, good), false, "no keys yet"},
		{Remove(none, []string{"/"}), true, `"/"`},
		{Add(spoilt, good), false, "sensor-x.nk is not the seed"},
	} {
		var usage process.UsageError
		if tc.err == nil || !strings.Contains(tc.err.Error(), tc.want) || errors.As(tc.err, &usage) != tc.usage {
			t.Errorf("%v, want %q, of usage: %v", tc.err, tc.want, tc.usage)
		}
	}
	if entries, err := os.ReadDir(none); err != nil || len(entries) > 0 {
		t.Errorf("something was made: %v, %v", entries, err)
	}
}

// The paths of certificates reach the server as they are.
func TestTLSConfiguration(t *testing.T) {
	tls := Server{Data: "/a $b", Cert: `/etc/a "b" \c.pem`, Key: "k.pem", CA: "$ca.pem"}
	config := serverConfig(tls)
	for _, want := range []string{`cert_file: "/etc/a \"b\" \\c.pem"`, `key_file: "k.pem"`, `ca_file: "$ca.pem"`, "verify: true", `store_dir: "/a $b"`} {
		if !bytes.Contains(config, []byte(want)) {
			t.Errorf("there is no %s in\n%s", want, config)
		}
	}
	dir := filepath.Join(t.TempDir(), "keys")
	if err := Init(dir, []string{host1}, tls, local, false); err != nil {
		t.Fatal(err)
	}
	// It does not find them, and says where it looked.
	if _, err := server.ProcessConfigFile(filepath.Join(dir, ServerFile)); err == nil || !strings.Contains(err.Error(), tls.Cert) {
		t.Errorf("the server looks elsewhere than at %s: %v", tls.Cert, err)
	}
}
