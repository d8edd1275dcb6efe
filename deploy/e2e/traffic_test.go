package e2e

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/deploy/lab"
)

// numbered returns a frame that plainRules alert on, a Router
// Advertisement with lifetime 0, whose reachable time is a number for numberOf
// to know it by. All have one source: the kernel keeps each source of such
// frames as a neighbour, in a table of 1024 that all namespaces share.
func numbered(n int) []byte {
	ra := lab.RouterAdvertisement(net.HardwareAddr{2, 0, 0, 0, 0, 7}, netip.MustParseAddr("fe80::7"), 0)
	const reachableTime = 4 // its place in the body
	binary.BigEndian.PutUint32(ra.Body[reachableTime:], uint32(n))
	return ra.Frame()
}

// numberOf returns the number of the frame that an alert is for.
func numberOf(t *testing.T, a alert) int {
	t.Helper()
	if a.Rule != "ra-lifetime-zero" || a.Event.ND == nil || a.Event.ND.RA == nil {
		t.Fatalf("alert %s of rule %s, which the test did not provoke: %s", a.ID, a.Rule, a.Summary)
	}
	return a.Event.ND.RA.ReachableTimer
}

// exactlyOnce checks that there is one alert for each of the first n frames.
func exactlyOnce(t *testing.T, where string, n int, alerts []alert) {
	t.Helper()
	want := make([]int, n)
	for i := range want {
		want[i] = 1
	}
	got := make([]int, n)
	ids := map[string]bool{}
	for _, a := range alerts {
		number := numberOf(t, a)
		if number >= n {
			t.Fatalf("%s: alert for frame %d, which was not sent", where, number)
		}
		got[number]++
		ids[a.ID] = true
	}
	if len(ids) != len(alerts) {
		t.Errorf("%s: %d alerts have %d ids", where, len(alerts), len(ids))
	}
	if !slices.Equal(want, got) {
		t.Errorf("%s: alerts of %d frames (-want +got):\n%s", where, n, cmp.Diff(summary(want), summary(got)))
	}
}

// summary writes counts as runs, such as 0-99: 1.
func summary(counts []int) []string {
	var runs []string
	for from := 0; from < len(counts); {
		to := from
		for to+1 < len(counts) && counts[to+1] == counts[from] {
			to++
		}
		runs = append(runs, fmt.Sprintf("%d-%d: %d", from, to, counts[from]))
		from = to + 1
	}
	return runs
}
