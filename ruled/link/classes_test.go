package link

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The classes of entries in a state.
const (
	flooded = iota
	once
	lasting
)

// classes counts the links, stations and addresses of a table by class.
func classes(table *Table) (all [3][3]int) {
	class := func(isLasting, isFlood bool) int {
		switch {
		case isLasting:
			return lasting
		case isFlood:
			return flooded
		}
		return once
	}
	for _, s := range table.State() {
		all[0][class(s.Lasting, s.Flood)]++
		for _, st := range s.Stations {
			all[1][class(st.Lasting, st.Flood)]++
		}
		for _, n := range s.Neighbours {
			all[2][class(n.Lasting, n.Flood)]++
		}
	}
	return all
}

// After a restart, what was lasting is, and what was a flood's is.
func TestStateInAFlood(t *testing.T) {
	table := newTable()
	check(t, table, "", ns(host, global, "2001:db8::1"), ns(host, global, "2001:db8::1"))
	check(t, table, "station.new claim.new", ns(other, "fe80::b", "2001:db8::1", on("eth1")))
	for n := range 300 {
		table.Observe(flood(n, minute))
		e := flood(n, minute)
		floods["VLANs"](e, n)
		table.Observe(e)
	}
	again := newTableOf(t, table)
	if diff := cmp.Diff(classes(table), classes(again)); diff != "" {
		t.Errorf("(-before +after)\n%s", diff)
	}
	// The links: 201 and 99 VLANs, eth0 with the latter, and eth1, which nothing was
	// told of again. The entries: 201 on eth0 and on as many VLANs, 99 on eth0 that
	// the storm began with, with the host, and 99 on VLANs, with eth1's.
	want := [3][3]int{{201, 1, 100}, {402, 100, 100}, {402, 100, 100}}
	if diff := cmp.Diff(want, classes(table)); diff != "" {
		t.Errorf("links, stations and addresses by class (-want +got)\n%s", diff)
	}
	// A state of an older version has less about the links.
	old := table.State()
	older := newTable()
	for _, s := range old {
		s.Lasting, s.Flood, s.FirstSeen, s.LastSeen = false, false, time.Time{}, time.Time{}
		if err := older.Restore(s); err != nil {
			t.Fatal(err)
		}
	}
	check(t, older, "", ns(host, global, "2001:db8::1", after(2*minute)))
}
