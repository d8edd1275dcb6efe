package bench

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/ndmon/ndmon/deploy/bench/wire"
	"github.com/ndmon/ndmon/schemas"
)

// The targets of frames that match no rule, and of those that alert.
var (
	quietTargets = netip.MustParsePrefix("2001:db8:5:0:1::/96")
	alertTargets = netip.MustParsePrefix("2001:db8:5:0:2::/96")
)

// writeRules returns a rule file with count rules that match no frame of ndbench,
// and one that alerts on alertTargets. Each rule tests the kind of message, and an
// address, a prefix or a number.
func writeRules(count int) string {
	var b strings.Builder
	b.WriteString("<rules>\n")
	rule := func(field, value string) {
		b.WriteString(`<rule><match field="nd.ns"/><match field="` + field + `" value="` + value + "\"/></rule>\n")
	}
	for i := range uint32(count) {
		switch i % 3 {
		case 0:
			rule("nd.ns.targetaddress", wire.Numbered(netip.MustParsePrefix("2001:db8:6::/96"), i).String())
		case 1:
			rule("inet6.source", netip.PrefixFrom(wire.Numbered(netip.MustParsePrefix("2001:db8:7::/96"), i<<8), 120).String())
		case 2:
			// RFC 8200, section 3: beyond what an Ethernet frame holds.
			rule("inet6.payload", strconv.Itoa(2000+int(i%60000)))
		}
	}
	b.WriteString(`<rule id="` + alertRule + `"><match field="nd.ns.targetaddress" value="` + alertTargets.String() + "\"/></rule>\n")
	b.WriteString("</rules>\n")
	return b.String()
}

const alertRule = "ndbench"

// alerted returns the number of the frame that an alert is about.
func alerted(alert *schemas.Alert, event *schemas.Event) (uint32, bool) {
	if alert.Rule != alertRule || event.ParseJSON(alert.Event) != nil || event.ND == nil || event.ND.NS == nil {
		return 0, false
	}
	return wire.Number(alertTargets, event.ND.NS.TargetAddress)
}
