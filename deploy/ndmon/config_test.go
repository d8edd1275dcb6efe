package ndmon

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/schemas/bus"
)

func TestParseArgs(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	data := bus.LocalData()
	for _, tc := range []struct {
		args string
		want Config
	}{
		{"", Config{Output: "json", Listen: DefaultListen, Data: data, Host: host}},
		{"-m eth0 -s eth1,eth2", Config{Masters: []string{"eth0"}, Slaves: []string{"eth1", "eth2"}, Output: "json", Listen: DefaultListen, Data: data, Host: host}},
		{"--master eth0 --slaves eth1 -s eth2 --log-level debug -d", Config{Masters: []string{"eth0"}, Slaves: []string{"eth1", "eth2"}, Output: "json", Level: slog.LevelDebug, Daemon: true, Listen: DefaultListen, Data: data, Host: host}},
		{"-i eth0 --listen [::1]:4223 --data /x --host r1 -R /r.xml -o text", Config{Interfaces: []string{"eth0"}, Rules: "/r.xml", Output: "text", Listen: "[::1]:4223", Data: "/x", Host: "r1"}},
		{"-m eth0 -s eth1 --route --proxy", Config{Masters: []string{"eth0"}, Slaves: []string{"eth1"}, Route: true, Proxy: true, Output: "json", Listen: DefaultListen, Data: data, Host: host}},
		{"-r a.pcap -r b.pcap", Config{Files: []string{"a.pcap", "b.pcap"}, Output: "json", Host: host}},
		{"-r a.pcap --listen localhost:0", Config{Files: []string{"a.pcap"}, Output: "json", Listen: "localhost:0", Host: host}},
		{"--listen :4222 --insecure", Config{Output: "json", Listen: ":4222", Insecure: true, Data: data, Host: host}},
		{"--listen [2001:db8::1]:4222 --tls-cert /c --tls-key /k --keys /keys", Config{Output: "json", Listen: "[2001:db8::1]:4222", TLSCert: "/c", TLSKey: "/k", Keys: "/keys", Data: data, Host: host}},
		{"--nats nats://n -l error", Config{NATS: "nats://n", Output: "json", Level: slog.LevelError, Listen: DefaultListen, Host: host}},
	} {
		got, err := ParseArgs(strings.Fields(tc.args), false, nil)
		if err != nil {
			t.Errorf("%s: %v", tc.args, err)
		} else if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.args, diff)
		}
	}
	if got, err := ParseArgs(nil, true, nil); err != nil || got.Output != "text" {
		t.Errorf("output on a terminal: %q, %v", got.Output, err)
	}
}

func TestParseArgsRefuses(t *testing.T) {
	for args, want := range map[string]string{
		"-x":                    "unknown shorthand flag",
		"--listen 0.0.0.0:4222": "--listen: 0.0.0.0:4222 is reached from other hosts, which takes --tls-cert, --tls-key and --keys",
		"--listen :4222":        "--insecure",
		"--listen r1.example.org:4222 --tls-cert c --tls-key k": "--keys",
		"--listen [::]:4222 --keys k":                           "--tls-cert",
		"--tls-cert c":                                          "--tls-cert, --tls-key: need each other",
		"--nats nats://n --keys k":                              "--nats",
		"--nats nats://n --insecure":                            "--nats",
		"eth0":                                                  `"eth0" is not an option`,
		"-m eth0":                                               "--master: needs --slaves",
		"-s eth0":                                               "--slaves: needs --master",
		"--route":                                               "--route: needs --master and --slaves",
		"-i eth0 --proxy":                                       "--proxy: needs --master and --slaves",
		"-r f --proxy":                                          "--proxy: needs",
		"-m eth0 --route":                                       "--master: needs --slaves",
		"-l debug find ::2":                                     `"find" is not an option`,
		"-r f -i eth0":                                          "--read",
		"-r f -d":                                               "--read",
		"-o xml":                                                "--output",
		"-l loud":                                               "--log-level",
		"--listen 99":                                           "--listen",
		"--nats x --listen :1":                                  "--nats",
		"--nats x --data /x":                                    "--nats",
		"-m eth0 -s eth1,,eth2":                                 "--slaves: a name is empty",
		"--daemon=maybe":                                        "invalid argument",
		"-m eth0 -s eth1 -i ,":                                  "--interfaces: a name is empty",
		"--interfaces":                                          "needs an argument",
		"-r f --output":                                         "needs an argument",
		"--rules a --rules-of b":                                "unknown flag",
	} {
		if _, err := ParseArgs(strings.Fields(args), false, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", args, err, want)
		}
	}
}

func TestHelpAndVersion(t *testing.T) {
	var help bytes.Buffer
	if _, err := ParseArgs([]string{"-h"}, false, &help); !errors.Is(err, ErrHelp) {
		t.Errorf("-h: %v", err)
	}
	for _, option := range []string{"--master", "--slaves", "--daemon", "--nats", "--route", "--proxy", "ndmon find", "nats sub nd.alerts"} {
		if !strings.Contains(help.String(), option) {
			t.Errorf("the help does not have %s", option)
		}
	}
	if _, err := ParseArgs([]string{"-V"}, false, nil); !errors.Is(err, ErrVersion) {
		t.Errorf("-V: %v", err)
	}
}

func TestRulesPathIsAbsolute(t *testing.T) {
	got, err := ParseArgs([]string{"-R", "rules.xml"}, false, nil)
	if err != nil || !filepath.IsAbs(got.Rules) {
		t.Errorf("rules %q, %v: a daemon leaves the folder", got.Rules, err)
	}
}
