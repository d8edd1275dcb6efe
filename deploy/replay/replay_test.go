package replay

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/ruled/central"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/bus/bustest"
	"github.com/ndmon/ndmon/schemas/process"
)

const capture = "../../sensor/testdata/corpus/radvd-full.pcap"

// newRules leave out one rule and add another.
const newRules = `<rules><builtin except="ra-preference"/><rule id="mine" description="an RA"><match field="nd.ra.lifetime" value="0"/></rule></rules>`

func run(args ...string) (status int, out, errs string) {
	var stdout, stderr bytes.Buffer
	status = process.Execute(Command(time.Now), args, &stdout, &stderr)
	return status, stdout.String(), stderr.String()
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rules.xml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// New rules are compared with the built-in ones on a capture file.
func TestCapture(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	rules := write(t, newRules)
	for name, test := range map[string]struct {
		args   []string
		status int
		want   string
	}{
		"different": {[]string{"-R", rules}, process.ExitFailure, `RULE              BEFORE  AFTER  COME  GO
mine              0       1      1     0
ra-preference     1       0      0     1
new-router        1       1      0     0
new-station       3       3      0     0
ra-lifetime-zero  1       1      0     0
+ 2026-11-22 02:35:30  HOST/radvd-full  mine  fe80::ff:fe00:4 (02:00:00:00:00:04) tells all nodes: no default router, prefix …
- 2026-11-22 02:35:30  HOST/radvd-full  ra-preference  fe80::ff:fe00:4 (02:00:00:00:00:04) tells all nodes: no default router, prefix …
6 events, 5 rules with alerts
`},
		"the same":      {nil, process.ExitOK, "RULE              BEFORE  AFTER  COME  GO\nnew-router        1       1      0     0\nnew-station       3       3      0     0\nra-lifetime-zero  1       1      0     0\nra-preference     1       1      0     0\n6 events, 4 rules with alerts\n"},
		"as before":     {[]string{"-R", rules, "--current", rules, "--rule", "mine"}, process.ExitOK, "RULE  BEFORE  AFTER  COME  GO\nmine  1       1      0     0\n6 events, 1 rules with alerts\n"},
		"later":         {[]string{"-R", rules, "--since", "2030-01-01"}, process.ExitOK, "RULE  BEFORE  AFTER  COME  GO\n6 events, 0 rules with alerts\n"},
		"faulty rules":  {[]string{"-R", write(t, "<rules><rule/></rules>")}, process.ExitUsage, ""},
		"wrong format":  {[]string{"-o", "xml"}, process.ExitUsage, ""},
		"missing file":  {[]string{"-r", "missing.pcap"}, process.ExitUsage, ""},
		"wrong filters": {[]string{"--severity", "bad"}, process.ExitUsage, ""},
	} {
		t.Run(name, func(t *testing.T) {
			status, out, errs := run(append(test.args, "-r", capture)...)
			if status != test.status || (status == process.ExitUsage) != (errs != "") {
				t.Errorf("exit status %d, %q", status, errs)
			}
			if name == "different" { // the name of the host decides where the examples are cut
				out, test.want = examples(out, host), examples(test.want, "HOST")
			}
			if diff := cmp.Diff(test.want, out); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// examples shortens the examples in an output to where and by which rule they are.
func examples(out, host string) string {
	var lines strings.Builder
	for line := range strings.Lines(out) {
		switch line[0] {
		case '+', '-':
			fields := strings.Fields(strings.Replace(line, host, "", 1))
			lines.WriteString(strings.Join([]string{fields[0], fields[3], fields[4]}, " ") + "\n")
		case ' ': // the rest of one
		default:
			lines.WriteString(line)
		}
	}
	return lines.String()
}

// Recorded events are evaluated with the central rules and with new ones.
func TestRecorded(t *testing.T) {
	t.Setenv("NATS_URL", bustest.Start(t, t.TempDir(), -1).ClientURL())
	rules := write(t, newRules)
	if status, _, errs := run("-R", rules); status != process.ExitUsage || !strings.Contains(errs, "there is no stream ND_EVENTS") {
		t.Errorf("without events: exit status %d, %q", status, errs)
	}
	nc, err := nats.Connect(os.Getenv("NATS_URL"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	config := bus.StreamConfig{EventsBytes: 1 << 20, EventsAge: time.Hour, AlertsBytes: 1 << 20, AlertsAge: time.Hour}
	if _, err := bus.EnsureStreams(t.Context(), js, config); err != nil {
		t.Fatal(err)
	}
	var batch []byte
	if err := captured([]string{capture}, "r1", func(e *schemas.Event) { batch = append(e.AppendJSON(batch), '\n') }); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), schemas.PrefixBatches+"r1.eth0", append(batch, "garbage\n"...)); err != nil {
		t.Fatal(err)
	}
	status, out, errs := run("-R", rules, "-o", "json")
	if status != process.ExitFailure || errs != "ndmon replay: 1 lines are no events, they are left out\n" {
		t.Errorf("exit status %d, %q", status, errs)
	}
	var d Difference
	if err := json.Unmarshal([]byte(strings.SplitN(out, "\n", 2)[0]), &d); err != nil || d.Rule != "mine" || d.Come != 1 || len(d.Coming) != 1 || d.Coming[0].Host != "r1" {
		t.Errorf("%+v, %v", d, err)
	}
	store, err := central.Open(t.Context(), js, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Push(t.Context(), &central.Revision{Data: []byte(newRules), Rules: "1"}, 0); err != nil {
		t.Fatal(err)
	}
	if status, out, errs := run("-R", rules); status != process.ExitOK {
		t.Errorf("with the central rules: exit status %d, %s%s", status, out, errs)
	}
}
