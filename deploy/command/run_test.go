package command

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/ndmon/ndmon/deploy/alerts"
	"github.com/ndmon/ndmon/deploy/daemon"
	"github.com/ndmon/ndmon/deploy/ndmon"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/spf13/cobra"
)

// parse returns the options of a command line, or the exit status and output.
func parse(args string, terminal bool) (o options, status int, stdout, stderr string) {
	var out, err bytes.Buffer
	c := newRun(terminal, func(_ *cobra.Command, parsed options) error {
		o = parsed
		return nil
	})
	status = process.Execute(c, strings.Fields(args), &out, &err)
	return o, status, out.String(), err.String()
}

func TestOptions(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	data := daemon.StateDirectory()
	for _, tc := range []struct {
		args string
		want options
	}{
		{"", options{Config: ndmon.Config{Output: "json", Listen: ndmon.DefaultListen, Data: data, Host: host}}},
		{"-m eth0 -s eth1,eth2", options{Config: ndmon.Config{Masters: []string{"eth0"}, Slaves: []string{"eth1", "eth2"}, Output: "json", Listen: ndmon.DefaultListen, Data: data, Host: host}}},
		{"--master eth0 --slaves eth1 -s eth2 --log-level debug -d --pid-file /p", options{Config: ndmon.Config{Masters: []string{"eth0"}, Slaves: []string{"eth1", "eth2"}, Output: "json", Listen: ndmon.DefaultListen, Data: data, Host: host}, Level: slog.LevelDebug, Daemon: true, PIDFile: "/p"}},
		{"-i eth0 --listen [::1]:4223 --data /x --host r1 -R /r.xml -o text", options{Config: ndmon.Config{Interfaces: []string{"eth0"}, Rules: "/r.xml", Output: "text", Listen: "[::1]:4223", Data: "/x", Host: "r1"}}},
		{"-m eth0 -s eth1 --route --proxy --ra", options{Config: ndmon.Config{Masters: []string{"eth0"}, Slaves: []string{"eth1"}, Route: true, Proxy: true, RA: true, Output: "json", Listen: ndmon.DefaultListen, Data: data, Host: host}}},
		{"-r a.pcap -r b.pcap", options{Config: ndmon.Config{Files: []string{"a.pcap", "b.pcap"}, Output: "json", Host: host}}},
		{"-r a.pcap --listen localhost:0", options{Config: ndmon.Config{Files: []string{"a.pcap"}, Output: "json", Listen: "localhost:0", Host: host}}},
		{"--listen :4222 --insecure", options{Config: ndmon.Config{Output: "json", Listen: ":4222", Insecure: true, Data: data, Host: host}}},
		{"--listen [2001:db8::1]:4222 --tls-cert /c --tls-key /k --keys /keys", options{Config: ndmon.Config{Output: "json", Listen: "[2001:db8::1]:4222", TLSCert: "/c", TLSKey: "/k", Keys: "/keys", Data: data, Host: host}}},
		{"--hub tls://n1,n2 --key /etc/ndmon/edge-r1.nk", options{Config: ndmon.Config{Hub: "tls://n1,n2", Key: "/etc/ndmon/edge-r1.nk", Output: "json", Listen: ndmon.DefaultListen, Data: data, Host: "r1"}}},
		{"-r a.pcap -v --severity warning --rule rogue-*", options{Config: ndmon.Config{Files: []string{"a.pcap"}, Filter: alerts.Filter{Severity: "warning", Rules: []string{"rogue-*"}}, Output: "json", Host: host}, Verbose: true}},
		{"--nats nats://n -l error", options{Config: ndmon.Config{NATS: "nats://n", Output: "json", Listen: ndmon.DefaultListen, Host: host}, Level: slog.LevelError}},
	} {
		got, status, _, stderr := parse(tc.args, false)
		if status != process.ExitOK {
			t.Errorf("%s: exit status %d, %s", tc.args, status, stderr)
		} else if diff := cmp.Diff(tc.want, got, cmpopts.IgnoreUnexported(alerts.Filter{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.args, diff)
		}
	}
	if got, _, _, stderr := parse("", true); got.Output != "text" {
		t.Errorf("output on a terminal: %q, %s", got.Output, stderr)
	}
}

func TestBadOptions(t *testing.T) {
	for args, want := range map[string]string{
		"-x":                    `unknown option "-x"`,
		"--listen 0.0.0.0:4222": "--listen: other hosts reach 0.0.0.0:4222: that needs --tls-cert, --tls-key and --keys",
		"--listen :4222":        "--insecure",
		"--listen r1.example.org:4222 --tls-cert c --tls-key k": "--keys",
		"--listen [::]:4222 --keys k":                           "--tls-cert",
		"--tls-cert c":                                          "--tls-cert, --tls-key: need each other",
		"--nats nats://n --keys k":                              "--nats",
		"--nats nats://n --insecure":                            "--nats",
		"--hub tls://n1":                                        "--hub, --key: need each other",
		"--key r1.nk":                                           "--hub, --key: need each other",
		"--hub tls://n1 --key r1.nk --nats nats://n":            "--hub: is for the alerts in the embedded server",
		"--hub tls://n1 --key r1.nk -r f":                       "excludes --nats, --read and --learn",
		"--hub tls://n1 --key r1.nk --learn 1h":                 "--hub",
		"--hub tls://n1 --key k/edge-r1.nk --host r2":           `--host: "r2" is not the host of the key k/edge-r1.nk, which is "r1"`,
		"eth0":                          `unknown command "eth0"`,
		"-m eth0":                       "--master: needs --slaves",
		"-s eth0":                       "--slaves: needs --master",
		"--route":                       "--route: needs --master and --slaves",
		"-i eth0 --proxy":               "--proxy: needs --master and --slaves",
		"-r f --proxy":                  "--proxy: needs",
		"-m eth0 -s eth1 --ra":          "--ra: needs --proxy",
		"-m eth0 --route":               "--master: needs --slaves",
		"-l debug find ::2":             `unknown command "find"`,
		"-r f -i eth0":                  "--read",
		"--since 1h":                    "--since: is for --read",
		"-r f --since noon":             `--since: "noon" is not a time`,
		"-r f --severity bad":           `--severity: "bad" is not a severity`,
		"-r f -d":                       "--read",
		"-o xml":                        "--output",
		"-l loud":                       "--log-level",
		"--listen 99":                   "--listen",
		"--nats x --listen :1":          "--nats",
		"--nats x --data /x":            "--nats",
		"-m eth0 -s eth1,,eth2":         "--slaves: has an empty entry",
		"--daemon=maybe":                `--daemon: "maybe" is not true or false`,
		"-m eth0 -s eth1 -i ,":          "--interfaces: has an empty entry",
		"-i eth[":                       `--interfaces: "eth[" is not a glob`,
		"-m fe80::/64 -s eth1":          `--master: "fe80::/64" selects no interface in particular`,
		"-m eth0 -s 2001:db8::1,eth0:1": `--slaves: "2001:db8::1" is an address; as a prefix it is 2001:db8::1/128; "eth0:1" cannot be the name`,
		"--interfaces":                  "needs a value",
		"--alert-to nonsense":           `--alert-to: "nonsense": is not a receiver: use `,
		"--alert-to file:/a -r f":       "--alert-to: is for the alerts in the embedded server",
		"--alert-to file:/a --nats u":   "excludes --nats (see ndmon alerts --to)",
		"-r f --output":                 "needs a value",
		"--rules a --rules-of b":        `unknown option "--rules-of"`,
	} {
		if _, status, _, stderr := parse(args, false); status != process.ExitUsage || !strings.Contains(stderr, want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: exit status %d, %q, want one line with %q", args, status, stderr, want)
		}
	}
}

func TestHelpAndVersion(t *testing.T) {
	_, status, help, _ := parse("-h", false)
	for _, option := range []string{"--master", "--slaves", "--daemon", "--nats", "--route", "--proxy", "ndmon find", "nats sub nd.alerts"} {
		if status != process.ExitOK || !strings.Contains(help, option) {
			t.Errorf("exit status %d, the help does not have %s", status, option)
		}
	}
	if _, status, stdout, _ := parse("-V", false); status != process.ExitOK || !strings.HasPrefix(stdout, "ndmon ") {
		t.Errorf("-V: %d, %s", status, stdout)
	}
}

func TestRulesPathIsAbsolute(t *testing.T) {
	got, _, _, stderr := parse("-R rules.xml", false)
	if !filepath.IsAbs(got.Rules) {
		t.Errorf("rules %q, %s: a daemon leaves the directory", got.Rules, stderr)
	}
}

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
		{"keys add DIR --edges r3", process.ExitOK, "must reload", ""},
		{"keys remove DIR --edges r3", process.ExitOK, "must restart", ""},
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
