package iface

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Each pattern is logged when it begins to wait, and not again while it waits.
func TestWaiting(t *testing.T) {
	patterns, err := ParsePatterns([]string{"eth0", "veth*", "wan", "wan"})
	check(t, err)
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	lo := Link{Name: "lo", Flags: unix.IFF_LOOPBACK}
	eth0, veth1, eth1 := Link{Name: "eth0"}, Link{Name: "veth1"}, Link{Name: "eth1", AltNames: []string{"wan"}}
	var w Waiting
	for i, step := range []struct {
		links []Link
		want  string
	}{
		{[]Link{lo, eth0}, "wanted=veth*,wan existing=lo,eth0"},
		{[]Link{lo, eth0}, ""},
		{[]Link{lo, eth0, veth1}, ""},
		{[]Link{lo, veth1}, "wanted=eth0,wan existing=lo,veth1"},
		{[]Link{lo, eth0, veth1, eth1}, ""},
		{nil, `wanted=eth0,veth*,wan existing=""`},
	} {
		log.Reset()
		w.Log(logger, slog.LevelWarn, patterns, step.links)
		if got := log.String(); (got == "") != (step.want == "") || !strings.Contains(got, step.want) || strings.Count(got, "\n") > 1 {
			t.Errorf("step %d: %q, want %q", i, got, step.want)
		}
	}
	var many []Link
	for i := range maxNamed + 2 {
		many = append(many, Link{Name: fmt.Sprint("veth", i)})
	}
	if got := Names(many); !strings.HasSuffix(got, ",veth49 and 2 more") {
		t.Errorf("the names of many interfaces are %s", got)
	}
}
