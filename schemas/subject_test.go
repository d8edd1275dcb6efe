package schemas

import (
	"strings"
	"testing"
)

func TestEscapeToken(t *testing.T) {
	for name, want := range map[string]string{
		"r1":        "r1",
		"eth0.100":  "eth0=2E100",
		"a b":       "a=20b",
		"*":         "=2A",
		">":         "=3E",
		"":          "=",
		"=":         "=3D",
		"=2E":       "=3D2E",
		"rü":        "r=C3=BC",
		"a-b_C9":    "a-b_C9",
		"\x00\xff/": "=00=FF=2F",
	} {
		if got := EscapeToken(name); got != want {
			t.Errorf("EscapeToken(%q) = %q, want %q", name, got, want)
		}
	}
	for _, token := range []string{"", "a.b", "=2", "=2e", "=41", "==", "a=", "=ZZ", "a b", "*"} {
		if name, err := UnescapeToken(token); err == nil {
			t.Errorf("UnescapeToken(%q) = %q, want an error", token, name)
		}
	}
}

func TestSubjects(t *testing.T) {
	if got, want := EventSubject("r1.example.org", "eth0.100", KindNS), "nd.events.r1=2Eexample=2Eorg.eth0=2E100.ns"; got != want {
		t.Errorf("EventSubject = %s, want %s", got, want)
	}
	if got, want := RelaySubject("r1"), "nd.relay.r1"; got != want {
		t.Errorf("RelaySubject = %s, want %s", got, want)
	}
	if got, want := ResultSubject("r1"), "nd.results.r1"; got != want {
		t.Errorf("ResultSubject = %s, want %s", got, want)
	}
}

func FuzzEscapeToken(f *testing.F) {
	for _, name := range []string{"eth0.100", "", "=", "=41", "=2E", "a b*>", "\x00\xff"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if len(name) > 40 {
			return // nothing new, and the fuzzer would spend its time on making it short again
		}
		token := EscapeToken(name)
		if token == "" || strings.ContainsAny(token, ".*> \t\r\n\x00") {
			t.Fatalf("EscapeToken(%q) = %q is no token", name, token)
		}
		if back, err := UnescapeToken(token); err != nil || back != name {
			t.Fatalf("UnescapeToken(%q) = %q, %v, want %q", token, back, err, name)
		}
		if back, err := UnescapeToken(name); err == nil && EscapeToken(back) != name {
			t.Fatalf("UnescapeToken(%q) = %q, whose token is %q", name, back, EscapeToken(back))
		}
	})
}
