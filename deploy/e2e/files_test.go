package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/ndmon/ndmon/deploy/lab"
)

// everything alerts on every event.
const everything = `<rules><rule id="everything" description="an event"><no-match field="host" value="no host has this name"/></rule></rules>`

// read runs ndmon on capture files as an unprivileged user, with a rule that
// alerts on every frame, and returns what it has printed.
func read(t *testing.T, files string, args ...string) *lab.Process {
	t.Helper()
	c := program("ndmon", append([]string{"-r", files, "--host", "r1", "-R", write(t, "everything.xml", []byte(everything))}, args...)...)
	if os.Geteuid() == 0 {
		c.UID = nobody
	}
	p := lab.Start(t, c)
	p.Wait()
	return p
}

// framesOf returns the frames of alerts.
func framesOf(list []alert) [][]byte {
	var frames [][]byte
	for _, a := range list {
		frames = append(frames, a.Event.Frame)
	}
	return frames
}

// dataOf returns the frames that were captured.
func dataOf(list []captured) [][]byte {
	var frames [][]byte
	for _, c := range list {
		frames = append(frames, c.data)
	}
	return frames
}

// members returns the names of an object's members in their order.
func members(t *testing.T, object []byte) []string {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(object))
	if _, err := d.Token(); err != nil {
		t.Fatal(err)
	}
	var names []string
	for d.More() {
		name, err := d.Token()
		must(t, err)
		names = append(names, name.(string))
		var value json.RawMessage
		must(t, d.Decode(&value))
	}
	return names
}

func TestReadCaptureFiles(t *testing.T) {
	t.Parallel()
	// Some of the packets in it are not ND.
	file := corpus(t, "linux-rs_boot")
	all := readCapture(t, file)
	nd := discovery(all)
	if len(nd) == 0 || len(nd) == len(all) {
		t.Fatalf("%d of %d frames are ND", len(nd), len(all))
	}
	second := corpus(t, "radvd-full")
	both := append(dataOf(nd), dataOf(discovery(readCapture(t, second)))...)
	ng := write(t, "boot.pcapng", pcapng(t, "eth7", all...))
	for _, tc := range []struct {
		name, files string
		args        []string
		want        [][]byte
		interfaces  []string
	}{
		{"pcap", file, nil, dataOf(nd), []string{"linux-rs_boot"}},
		{"pcapng", ng, nil, dataOf(nd), []string{"eth7"}},
		{"list", file + "," + second, nil, both, []string{"linux-rs_boot", "radvd-full"}},
		{"option given twice", file, []string{"-r", second}, both, []string{"linux-rs_boot", "radvd-full"}},
		{"nothing in it", write(t, "empty.pcap", pcap(t)), nil, nil, nil},
		{"no ND in it", corpus(t, "thc-toobig6"), nil, nil, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := read(t, tc.files, tc.args...)
			exits(t, p, 0)
			alerts := printed(t, p)
			equal(t, "frames", tc.want, framesOf(alerts))
			var interfaces []string
			for _, a := range alerts {
				if !slices.Contains(interfaces, a.Interface) {
					interfaces = append(interfaces, a.Interface)
				}
			}
			equal(t, "interfaces", tc.interfaces, interfaces)
		})
	}
}

func TestReadStandardInput(t *testing.T) {
	t.Parallel()
	file := corpus(t, "radvd-minimal")
	content := readFile(t, file)
	c := program("ndmon", "-r", "-", "-R", write(t, "everything.xml", []byte(everything)))
	c.Stdin = bytes.NewReader(content)
	p := lab.Start(t, c)
	exits(t, p, 0)
	equal(t, "frames", dataOf(discovery(readCapture(t, file))), framesOf(printed(t, p)))
}

func TestOutputFormats(t *testing.T) {
	t.Parallel()
	file := corpus(t, "thc-kill_router6")
	frames := discovery(readCapture(t, file))

	p := read(t, file, "-o", "json")
	lines := p.Stdout.Lines()
	if len(lines) != len(frames) {
		t.Fatalf("%d lines for %d frames", len(lines), len(frames))
	}
	for i, line := range lines {
		want := []string{"type", "time", "severity", "host", "interface", "rule", "summary", "description", "id", "event"}
		got := slices.DeleteFunc(members(t, []byte(line)), func(name string) bool { return name == "link" }) // where something is known of it
		equal(t, "members of an alert", want, got)
		a := parseAlert(t, []byte(line))
		inside := parse[struct{ Event json.RawMessage }](t, []byte(line)).Event
		want = []string{"type", "id", "time", "host", "interface", "direction", "ethernet", "inet6", "icmp6", "nd", "fault", "frame"}
		equal(t, "members of an event", want, members(t, inside))
		if at := frames[i].at.Format("2006-01-02T15:04:05.999999999Z07:00"); a.Time != at || a.Event.Time != at {
			t.Errorf("time %s and %s, the file has %s", a.Time, a.Event.Time, at)
		}
		if a.Severity != "warning" || a.Host != "r1" || a.Interface != "thc-kill_router6" || a.Rule != "everything" || a.Description != "an event" {
			t.Errorf("alert %s", line)
		}
	}

	// Text is for people: what it looks like is tested in package alerts.
	text := read(t, file, "-o", "text").Stdout.Lines()
	if len(text) != 1+len(lines) {
		t.Fatalf("%d lines of text for %d frames:\n%s", len(text), len(frames), strings.Join(text, "\n"))
	}
	form := regexp.MustCompile(`^\d\d:\d\d:\d\d warning  r1/thc-kill_router6  everything  \S+ tells all nodes: no default router$`)
	for _, line := range text[1:] {
		if !form.MatchString(line) {
			t.Errorf("line of text %q", line)
		}
	}
}

// The readable part of a bad file is evaluated, and so are the other files.
func TestReadBadFiles(t *testing.T) {
	t.Parallel()
	file := corpus(t, "linux-unresolved")
	content := readFile(t, file)
	frames := dataOf(readCapture(t, file))
	good := corpus(t, "si6-ra6_life0")
	after := dataOf(readCapture(t, good))
	cut := write(t, "cut.pcap", content[:len(content)-10])
	ng := pcapng(t, "eth7", readCapture(t, file)...)
	missing := write(t, "x", nil) + "/missing.pcap"
	for _, tc := range []struct {
		name, file string
		want       [][]byte
		says       string
	}{
		{"truncated pcap", cut, frames[:len(frames)-1], "truncated"},
		{"truncated pcapng", write(t, "cut.pcapng", ng[:len(ng)-10]), frames[:len(frames)-1], "truncated"},
		{"no capture file", write(t, "text.pcap", []byte("this is a text about packets, and no capture file\n")), nil, "no pcap or pcapng"},
		{"too short", write(t, "short.pcap", []byte("abc")), nil, "too short"},
		{"no file", strings.Replace(missing, "/x/", "/", 1), nil, "no such file"},
		{"folder", t.TempDir() + "/..", nil, "directory"},
		{"rubbish behind the first packet", write(t, "rubbish.pcap", append(content[:24+16+len(frames[0]):24+16+len(frames[0])], bytes.Repeat([]byte{0xff}, 100)...)), frames[:1], "packet 2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := read(t, tc.file+","+good)
			exits(t, p, 1)
			if errors := p.Stderr.String(); !strings.Contains(errors, tc.file+":") || !strings.Contains(errors, tc.says) {
				t.Errorf("standard error does not name %s and say %q:\n%s", tc.file, tc.says, errors)
			}
			want := append(slices.Clone(tc.want), after...)
			equal(t, "frames", want, framesOf(printed(t, p)))
		})
	}
}

// The built-in rules on captures of attacks: their alerts for each are known by
// how it was made.
func TestBuiltInRules(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		capture string
		want    map[string]int
	}{
		{"thc-kill_router6", map[string]int{"info new-station": 1, "info new-router": 1, "info ra-preference": 1, "warning ra-eui64-mismatch": 1}},
		{"si6-ra6_life0", map[string]int{"info new-station": 1, "info new-router": 1, "info ra-preference": 1, "warning ra-reachable-time": 1}},
		{"si6-ns6_frag", map[string]int{"critical fragmented-nd": 1, "warning malformed-nd": 1, "warning ethernet-destination": 1}},
		{"linux-resolution_nud", map[string]int{"info new-station": 3}},
		{"linux-dad_ok", map[string]int{"info new-station": 1}},
		{"thc-toobig6", map[string]int{}},
	} {
		t.Run(tc.capture, func(t *testing.T) {
			t.Parallel()
			p := lab.Start(t, builtin("ndmon", "-r", corpus(t, tc.capture)))
			exits(t, p, 0)
			got := map[string]int{}
			for _, a := range printed(t, p) {
				got[fmt.Sprint(a.Severity, " ", a.Rule)]++
			}
			equal(t, "alerts", tc.want, got)
		})
	}
}

// The folder of the server that is in ndmon while it reads a file is gone when
// it ends, however that comes.
func TestReadLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	// Pipes without a writer keep ndmon waiting until it gets a signal.
	empty, closed := filepath.Join(t.TempDir(), "empty"), filepath.Join(t.TempDir(), "closed")
	for _, pipe := range []string{empty, closed} {
		must(t, syscall.Mkfifo(pipe, 0o600))
	}
	writer, err := os.OpenFile(empty, os.O_RDWR, 0)
	must(t, err)
	t.Cleanup(func() { writer.Close() })
	big := corpus(t, "thc-fuzz_ip6_ra")
	for _, tc := range []struct {
		name, script string
		interrupted  bool
	}{
		{"end of file", `exec "$0" -r "$1"`, false},
		{"interrupt", `exec "$0" -r "$2"`, true},
		{"interrupt before anybody writes", `exec "$0" -r "$3"`, true},
		{"closed pipe", `"$0" -r "$1" | head -n 1`, false},
		{"bad rules", `"$0" -r "$1" -R "$1"; true`, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			p := lab.Start(t, lab.Command{
				Path: "/bin/sh", Args: []string{"-c", tc.script, program("ndmon").Path, big, empty, closed}, Env: []string{"TMPDIR=" + dir},
			})
			if tc.interrupted {
				p.Stderr.WaitFor("evaluating events")
				p.Signal(syscall.SIGINT)
			}
			exits(t, p, 0)
			left, err := os.ReadDir(dir)
			must(t, err)
			if len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}
