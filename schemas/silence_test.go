package schemas

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSilence(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	vlan, mac := uint16(7), MAC{2, 0, 0, 0, 0, 1}
	good := Silence{Type: TypeSilence, Kind: Silenced, Time: now, Until: now.Add(time.Hour), Who: "a", Reason: "b", Rule: "new-station", Host: "r1.example", Interface: "eth0", VLAN: &vlan, Ethernet: &mac}
	if got, want := good.Subject(), "$KV.ND_SILENCES.new-station.r1=2Eexample.eth0.7.020000000001"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	var read Silence
	if err := read.ParseJSON(good.AppendJSON(nil)); err != nil || cmp.Diff(good, read) != "" {
		t.Errorf("%v %s", err, cmp.Diff(good, read))
	}
	for want, edit := range map[string]func(*Silence){
		"":                       func(*Silence) {},
		"must end within 90":     func(s *Silence) { s.Until = now.Add(MaxSilence + 1) },
		"must end within 90 day": func(s *Silence) { s.Until = now },
		"no rule":                func(s *Silence) { s.Rule = "" },
		"400 bytes":              func(s *Silence) { s.Reason = strings.Repeat("x", 401) },
		"too long":               func(s *Silence) { s.Host = strings.Repeat(".", 400) },
		"not UTF-8":              func(s *Silence) { s.Who = "\xff" },
	} {
		s := good
		edit(&s)
		if err := s.Check(); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
