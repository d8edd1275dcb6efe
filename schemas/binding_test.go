package schemas

import (
	"net/netip"
	"testing"
	"time"
)

func TestBindingSubject(t *testing.T) {
	vlan, inner := uint16(7), uint16(100)
	b := Binding{
		Address: netip.MustParseAddr("2001:db8::42"), Ethernet: MAC{2, 0, 0, 0, 0, 1}, Host: "r1.example", Interface: "eth0",
		First: time.UnixMilli(1_700_000_000_123).Add(456 * time.Microsecond),
	}
	const address = "nd.history.2001.0db8.0000.0000.0000.0000.0000.0042."
	for _, test := range []struct {
		vlan, inner *uint16
		want        string
	}{
		{nil, nil, address + "02:00:00:00:00:01.r1=2Eexample.eth0.-.1700000000123"},
		{&vlan, nil, address + "02:00:00:00:00:01.r1=2Eexample.eth0.7.1700000000123"},
		{&vlan, &inner, address + "02:00:00:00:00:01.r1=2Eexample.eth0.7-100.1700000000123"},
	} {
		b.VLAN, b.InnerVLAN = test.vlan, test.inner
		if got := b.Subject(); got != test.want {
			t.Errorf("%s, want %s", got, test.want)
		}
	}
}

func TestHistorySubjects(t *testing.T) {
	prefix := netip.MustParsePrefix
	for got, want := range map[string]string{
		HistoryOfPrefix(prefix("2001:db8::42/128"), ""):        "nd.history.2001.0db8.0000.0000.0000.0000.0000.0042.>",
		HistoryOfPrefix(prefix("2001:db8:1:2:3::/63"), "r1.x"): "nd.history.2001.0db8.0001.*.*.*.*.*.*.r1=2Ex.>",
		HistoryOfPrefix(prefix("::/0"), ""):                    "nd.history.>",
		HistoryOfPrefix(prefix("fe80::1/128"), "r1"):           "nd.history.fe80.0000.0000.0000.0000.0000.0000.0001.*.r1.>",
		HistoryOfStation(MAC{2}, ""):                           "nd.stations.02:00:00:00:00:00.>",
		HistoryOfStation(MAC{2}, "r1"):                         "nd.stations.02:00:00:00:00:00.*.*.*.*.*.*.*.*.r1.>",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
