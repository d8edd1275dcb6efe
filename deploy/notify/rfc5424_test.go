package notify

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/ndmon/ndmon/schemas"
)

func TestRFC5424(t *testing.T) {
	a := &schemas.Alert{
		Time: time.Date(2026, 11, 26, 12, 0, 0, 123456789, time.FixedZone("", 3600)), Severity: schemas.Critical, Host: "r1.example", Interface: `eth"0]`, Rule: "rogue-ra",
		ID: "x1", Description: "a rogue router", Summary: "RA fe80::1 > ff02::1\x1b\n",
	}
	want := `<162>1 2026-11-26T11:00:00.123456Z r1.example ndmon - rogue-ra [ndmon@32473 id="x1" rule="rogue-ra" host="r1.example" interface="eth\"0\]" severity="critical"] ` +
		"\ufeffa rogue router: RA fe80::1 > ff02::1??"
	if got := string(rfc5424(a, 20)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// message is the grammar of RFC 5424, section 6, for a message with structured data and text in UTF-8.
var message = regexp.MustCompile(`^<(\d{1,3})>1 (\S+) ([!-~]{1,255}) ndmon - ([!-~]{1,32}) \[ndmon@32473((?: [a-z]+="(?:[^"\\\]]|\\["\\\]])*")+)\] \x{FEFF}(.*)$`)

// Any alert becomes a valid message, on one line and not too long, from which its names can be read back.
func FuzzRFC5424(f *testing.F) {
	f.Add("r1", "eth0", "rogue-ra", "id", "critical", "RA", "a router")
	f.Add("", "\"]\\", "\xff\n", "\u202e", "", strings.Repeat("é", 3000), strings.Repeat("\\", 3000))
	long := strings.Repeat("]", 3000)
	f.Add(long, long, long, long, long, long, long)
	f.Fuzz(func(t *testing.T, host, iface, rule, id, severity, summary, description string) {
		a := &schemas.Alert{Time: time.Unix(0, 0), Severity: schemas.Severity(severity), Host: host, Interface: iface, Rule: rule, ID: id, Summary: summary, Description: description}
		got := rfc5424(a, 3)
		parts := message.FindSubmatch(got)
		if parts == nil || !utf8.Valid(got) || bytes.ContainsAny(got, "\n\r\x00\x1b") || len(got) > 2*maxSyslog {
			t.Fatalf("%d bytes: %q", len(got), got)
		}
		if _, err := time.Parse(time.RFC3339Nano, string(parts[2])); err != nil {
			t.Error(err)
		}
	})
}
