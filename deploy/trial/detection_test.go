package trial

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ndmon/ndmon/schemas"
)

// noAttack lists the captures of tools that do not attack Neighbor Discovery, and
// what they do instead.
var noAttack = map[string]string{
	"si6-scan6_local":     "looks for hosts with echo requests and unknown options; its solicitations are ordinary",
	"thc-alive6":          "looks for hosts with echo requests and unknown options; its solicitations are ordinary",
	"thc-denial6_1":       "floods its victim with extension headers, not with Neighbor Discovery",
	"thc-denial6_2":       "floods its victim with extension headers, not with Neighbor Discovery",
	"thc-denial6_3":       "floods its victim with extension headers, not with Neighbor Discovery",
	"thc-denial6_4":       "floods its victim with extension headers, not with Neighbor Discovery",
	"thc-denial6_5":       "floods its victim with extension headers, not with Neighbor Discovery",
	"thc-denial6_6":       "floods its victim with extension headers, not with Neighbor Discovery",
	"thc-denial6_7":       "floods its victim with extension headers, not with Neighbor Discovery",
	"thc-detect-new-ip6":  "listens only",
	"thc-fake_mld6":       "forges multicast listener reports (MLD)",
	"thc-fake_mldrouter6": "forges multicast listener queries (MLD)",
	"thc-ndpexhaust6":     "sends a single, ordinary solicitation before it stops: the tool is broken",
	"thc-toobig6":         "forges Packet Too Big messages (ICMPv6 type 2)",

	"nmap-mcast-base":     "looks for hosts with echo requests, unknown options and listener queries",
	"si6-scan-L-base":     "looks for hosts with echo requests and unknown options; its solicitations are ordinary",
	"thc-alive6-base":     "looks for hosts with echo requests and unknown options; its solicitations are ordinary",
	"thc-detectnew-base":  "listens only",
	"thc-dumprouter-base": "asks for routers, as a host that boots does",
	"thc-inverse-base":    "asks for addresses with Inverse Neighbor Discovery (RFC 3122, types 141 and 142)",
	"thc-ndpx6-base":      "sends a single, ordinary solicitation before it stops: the tool is broken",
	"thc-smurf-base":      "sends echo requests in its victim's name to all nodes",
	"thc-toobig-base":     "forges Packet Too Big messages (ICMPv6 type 2)",
}

// missed lists the captures of attacks that no rule of at least severity warning
// finds on a known link, and why.
var missed = map[string]string{
	"scan-slow60-base": "60 addresses in 30 seconds: honest hosts look for as many",
	"ra-imp-copy-base": "exact copies of the router's own advertisements, at its own pace: nothing tells them apart, and they tell hosts nothing new",
}

// warned lists the harmless captures that nothing configured or known gets
// warnings for, and why.
var warned = map[string]string{
	"linux-dad_conflict":   "a genuine conflict: an address that another station has",
	"lx-dadconflict":       "a genuine conflict: an address that another station has",
	"lx-dadconflict-clone": "a cloned virtual machine has the addresses of another one",
	"lx-addrmove":          "an address moves to another host, as after an attack",
	"lx-containers":        "an address is used again by another container, as after an attack",
	"lx-macchange":         "a station keeps its addresses and changes its Ethernet address",
	"lx-macchange-notify":  "a station keeps its addresses and changes its Ethernet address",
	"os-approxy":           "an access point answers for a station, as an attacker would",
	"os-bond-tlb":          "a bond sends from another Ethernet address than the one that it tells others",
	"os-lb-failover":       "an address moves between load balancers, as after an attack",
	"os-sleepproxy":        "a proxy takes over a sleeping host's address, as an attacker would",
	"radvd-reconf":         "the router has another configuration than before, as an attacker in its name would say",
	"radvd-renumber":       "the router has another prefix than before, as an attacker in its name would say",
	"rtr-bigra":            "the router suddenly announces 30 routes more",
	"rtr-replaced-samella": "a new router has the old one's link-local address",
	"vrrp":                 "an address moves between routers, as after an attack",
	"vrrp-vmac":            "a router passes on a host's answer that was for the other one: its hop limit is 254",
}

// secondRouter lists the harmless captures with a further router, which is
// critical where it is not configured: it looks like a rogue one.
var secondRouter = []string{"mid-newrouter", "rtr-replaced", "two-inconsistent", "two-prefixes", "two-prefs", "two-same", "vrrp-ra"}

// outdated lists the harmless captures that are critical where the routers are
// configured, and why.
var outdated = map[string]string{
	"radvd-reconf":   "the router has a new DNS server: the configuration must have it too",
	"radvd-renumber": "the router has a new prefix: the configuration must have it too",
	"rtr-bigra":      "the router has new routes: the configuration must have them too",
	"rtr-retires":    "a router that is configured says that it is none",
}

func TestDetection(t *testing.T) {
	var page strings.Builder
	tools, lives := toolCaptures(t), lifeCaptures(t)
	for list, names := range map[string][]string{"noAttack": keys(noAttack), "missed": keys(missed), "warned": keys(warned), "secondRouter": secondRouter, "outdated": keys(outdated)} {
		for _, name := range names {
			if !slices.ContainsFunc(append(tools, lives...), func(c capture) bool { return c.name == name }) {
				t.Errorf("%s has %s, which is no capture", list, name)
			}
		}
	}
	toolResults, lifeResults := try(t, tools), try(t, lives)
	all := append(slices.Clone(toolResults), lifeResults...)

	page.WriteString("# What ndmon finds\n\nWritten by a test (`go test ./trial -update` in the module deploy), which fails when it is old.\n\n")
	resultTable(&page, all)
	page.WriteString(`
Alone is what ` + "`ndmon -r FILE`" + ` says of a capture by itself: nothing is configured and nothing known but what the capture itself shows.
On a known link, the routers are configured. The parameters of their advertisements are compared where the capture has an honest beginning to
learn them from; elsewhere they are volatile. The hosts are known from that beginning, or of the first corpus from
linux-resolution_nud.pcap. Found means a rule of severity warning at least. Alerts count when they pass the rule's threshold, from the first
frame of the attack on; not listed is what honest newcomers raise too (new-station, new-lla, new-ip, unknown-mac-vendor).
`)
	attackTable(t, &page, "Attacks: the captures in sensor/testdata/corpus", toolResults)
	attackTable(t, &page, "Attacks: the captures in deploy/trial/testdata/captures", lifeResults)
	noAttackTable(t, &page, all)
	harmlessTables(t, &page, toolResults, lifeResults)
	golden(t, "../../docs/detection.md", page.String())
}

func keys(m map[string]string) []string {
	var list []string
	for k := range m {
		list = append(list, k)
	}
	return list
}

// result is what was found in a capture.
type result struct {
	capture
	alone, known []finding
}

func try(t *testing.T, all []capture) []result {
	t.Helper()
	results := make([]result, 0, len(all))
	for _, c := range all {
		results = append(results, result{c, alone(t, c), known(t, c)})
	}
	return results
}

func (r result) attack() bool {
	_, none := noAttack[r.name]
	return !r.harmless() && !none
}

// alerted reports whether there is a finding of at least a severity.
func alerted(found []finding, least schemas.Severity) bool {
	return rank(severest(found)) >= rank(least)
}

func resultTable(page *strings.Builder, all []result) {
	attacks, alone, known, others, harmless, warnings, critical := 0, 0, 0, 0, 0, 0, 0
	count := func(n *int, when bool) {
		if when {
			*n++
		}
	}
	for _, r := range all {
		count(&harmless, r.harmless())
		count(&warnings, r.harmless() && severest(r.alone) == schemas.Warning)
		count(&critical, r.harmless() && severest(r.alone) == schemas.Critical)
		count(&others, !r.harmless() && !r.attack())
		count(&attacks, r.attack())
		count(&alone, r.attack() && alerted(r.alone, schemas.Warning))
		count(&known, r.attack() && alerted(r.known, schemas.Warning))
	}
	fmt.Fprintf(page, `| captures | | found alone | found on a known link |
|---|---|---|---|
| attacks | %d | %d, %d missed | %d, %d missed |
| tools that do not attack Neighbor Discovery | %d | none | none |
| honest life | %d | %d with warnings, %d critical: a second router | see below |
`, attacks, alone, attacks-alone, known, attacks-known, others, harmless, warnings, critical)
}

func attackTable(t *testing.T, page *strings.Builder, title string, results []result) {
	fmt.Fprintf(page, "\n## %s\n\n| capture | made by | alone | on a known link |\n|---|---|---|---|\n", title)
	for _, r := range results {
		if !r.attack() {
			continue
		}
		reason, excused := missed[r.name]
		switch found := alerted(r.known, schemas.Warning); {
		case !found && !excused:
			t.Errorf("%s: no rule of severity warning finds it on a known link: %v", r.name, r.known)
		case found && excused:
			t.Errorf("%s is found, and listed as missed", r.name)
		}
		on := cell(r.known)
		if excused {
			on += ". Missed: " + reason
		}
		fmt.Fprintf(page, "| %s | %s | %s | %s |\n", r.name, r.madeBy(), cell(r.alone), on)
	}
}

func noAttackTable(t *testing.T, page *strings.Builder, results []result) {
	page.WriteString("\n## Tools that do not attack Neighbor Discovery\n\n| capture | made by | why there is nothing to find |\n|---|---|---|\n")
	for _, r := range results {
		reason, ok := noAttack[r.name]
		if !ok {
			continue
		}
		for _, found := range [][]finding{r.alone, r.known} {
			if alerted(found, schemas.Warning) {
				t.Errorf("%s is no attack on Neighbor Discovery, and raises %v", r.name, found)
			}
		}
		fmt.Fprintf(page, "| %s | %s | %s |\n", r.name, r.madeBy(), reason)
	}
}

func harmlessTables(t *testing.T, page *strings.Builder, tools, lives []result) {
	page.WriteString("\n## Honest life that raises warnings\n\nNothing of it is critical.\n\n| capture | made by | alone | why |\n|---|---|---|---|\n")
	for _, r := range append(slices.Clone(tools), lives...) {
		if !r.harmless() || slices.Contains(secondRouter, r.name) {
			continue
		}
		reason, expected := warned[r.name]
		switch warns := alerted(r.alone, schemas.Warning); {
		case alerted(r.alone, schemas.Critical):
			t.Errorf("%s is harmless, and raises %v", r.name, r.alone)
		case warns && !expected:
			t.Errorf("%s is harmless, and warns without a reason: %v", r.name, r.alone)
		case expected && !warns:
			t.Errorf("%s raises no warning, and is listed with one", r.name)
		}
		if expected {
			fmt.Fprintf(page, "| %s | %s | %s | %s |\n", r.name, r.madeBy(), cell(r.alone), reason)
		}
	}
	page.WriteString(`
## A further router

Where nothing is configured, a second router is as critical as a rogue one: nothing tells them apart. Once both are configured, nothing is
critical.

| capture | made by | alone | both configured |
|---|---|---|---|
`)
	for _, r := range lives {
		if !slices.Contains(secondRouter, r.name) {
			continue
		}
		if !alerted(r.alone, schemas.Critical) || alerted(r.known, schemas.Critical) {
			t.Errorf("%s should be critical alone and not with its routers configured: %v, %v", r.name, r.alone, r.known)
		}
		fmt.Fprintf(page, "| %s | %s | %s | %s |\n", r.name, r.madeBy(), cell(r.alone), cell(r.known))
	}
	page.WriteString(`
## Honest life that is critical where the routers are configured

What a configuration does not list is wrong. All other honest captures in deploy/trial/testdata/captures raise nothing critical on a known link; a
router that stops is configured-router-gives-up, a warning.

| capture | made by | on a known link | why |
|---|---|---|---|
`)
	for _, r := range lives {
		if !r.harmless() || slices.Contains(secondRouter, r.name) {
			continue
		}
		reason, expected := outdated[r.name]
		if critical := alerted(r.known, schemas.Critical); critical != expected {
			t.Errorf("%s is critical on a known link: %t, listed: %t: %v", r.name, critical, expected, r.known)
		}
		if expected {
			fmt.Fprintf(page, "| %s | %s | %s | %s |\n", r.name, r.madeBy(), cell(r.known), reason)
		}
	}
}

// madeBy says how a capture was made, and what is remarkable.
func (c capture) madeBy() string {
	parts := slices.DeleteFunc([]string{c.command, c.remark}, func(s string) bool { return s == "" })
	return strings.Join(parts, ": ")
}

// cell lists findings.
func cell(found []finding) string {
	var parts []string
	var last schemas.Severity
	for _, f := range found {
		if slices.Contains([]string{"new-station", "new-lla", "new-ip", "unknown-mac-vendor"}, f.Rule) {
			continue
		}
		if f.Severity == last {
			parts[len(parts)-1] += ", " + f.Rule
			continue
		}
		last = f.Severity
		parts = append(parts, string(f.Severity)+": "+f.Rule)
	}
	if parts == nil {
		return "nothing"
	}
	return strings.Join(parts, "; ")
}
