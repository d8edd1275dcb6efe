package trial

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/ndmon/ndmon/deploy/pages"
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
	"ra-imp-copy-base": "exact copies of the router's own advertisements, at its own pace: nothing tells them apart, and hosts learn nothing new from them",
}

// warned lists the harmless captures that raise warnings where nothing is configured
// or known, and why.
var warned = map[string]string{
	"linux-dad_conflict":   "a genuine conflict: an address that another station has",
	"lx-dadconflict":       "a genuine conflict: an address that another station has",
	"lx-dadconflict-clone": "a cloned virtual machine has the addresses of another one",
	"lx-addrmove":          "an address moves to another host, as after an attack",
	"lx-containers":        "an address is used again by another container, as after an attack",
	"lx-macchange":         "a station keeps its addresses and changes its Ethernet address",
	"lx-macchange-notify":  "a station keeps its addresses and changes its Ethernet address",
	"os-approxy":           "an access point answers for a station, as an attacker would",
	"os-bond-tlb":          "a bond sends from another Ethernet address than the one that it advertises",
	"os-lb-failover":       "an address moves between load balancers, as after an attack",
	"os-sleepproxy":        "a proxy takes over a sleeping host's address, as an attacker would",
	"radvd-reconf":         "the router has another configuration than before, as an attacker in its name would announce",
	"radvd-renumber":       "the router has another prefix than before, as an attacker in its name would announce",
	"rtr-bigra":            "the router suddenly announces 30 routes more",
	"rtr-replaced-samella": "a new router has the old one's link-local address",
	"vrrp":                 "an address moves between routers, as after an attack",
	"vrrp-vmac":            "a router passes on a host's answer that was for the other one: its hop limit is 254",
}

// secondRouter lists the harmless captures with a further router. It is critical where
// it is not configured, because it looks like a rogue one.
var secondRouter = []string{"mid-newrouter", "rtr-replaced", "two-inconsistent", "two-prefixes", "two-prefs", "two-same", "vrrp-ra"}

// outdated lists the harmless captures that are critical where the routers are
// configured, and why.
var outdated = map[string]string{
	"radvd-reconf":   "the router has a new DNS server: the configuration must have it too",
	"radvd-renumber": "the router has a new prefix: the configuration must have it too",
	"rtr-bigra":      "the router has new routes: the configuration must have them too",
	"rtr-retires":    "a router that is configured announces that it is no longer one",
}

func TestDetection(t *testing.T) {
	tools, lives := toolCaptures(t), lifeCaptures(t)
	all := try(t, slices.Concat(tools, lives))
	for list, names := range map[string][]string{
		"noAttack": slices.Collect(maps.Keys(noAttack)), "missed": slices.Collect(maps.Keys(missed)), "warned": slices.Collect(maps.Keys(warned)),
		"secondRouter": secondRouter, "outdated": slices.Collect(maps.Keys(outdated)),
	} {
		for _, name := range names {
			if !slices.ContainsFunc(all, func(r result) bool { return r.name == name }) {
				t.Errorf("%s has %s, which is no capture", list, name)
			}
		}
	}
	for _, r := range all {
		if _, none := noAttack[r.name]; none && (alerted(r.alone, schemas.Warning) || alerted(r.known, schemas.Warning)) {
			t.Errorf("%s is no attack on Neighbor Discovery, and raises %v, %v", r.name, r.alone, r.known)
		}
		if r.attack() {
			checkAttack(t, r)
		}
		if r.harmless() {
			checkHarmless(t, r)
		}
	}
	toolResults, lifeResults := all[:len(tools)], all[len(tools):]
	pages.Golden(t, "../../docs/detection.md", detectionPage(toolResults, lifeResults))
}

// result has what was found in a capture.
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

// further reports whether the capture has a further, honest router.
func (r result) further() bool { return slices.Contains(secondRouter, r.name) }

// alerted reports whether there is a finding of at least a severity.
func alerted(found []finding, least schemas.Severity) bool {
	return rank(severest(found)) >= rank(least)
}

func checkAttack(t *testing.T, r result) {
	_, excused := missed[r.name]
	switch found := alerted(r.known, schemas.Warning); {
	case !found && !excused:
		t.Errorf("%s: no rule of severity warning finds it on a known link: %v", r.name, r.known)
	case found && excused:
		t.Errorf("%s is found, and listed as missed", r.name)
	}
}

func checkHarmless(t *testing.T, r result) {
	if r.further() {
		if !alerted(r.alone, schemas.Critical) || alerted(r.known, schemas.Critical) {
			t.Errorf("%s should be critical alone and not with its routers configured: %v, %v", r.name, r.alone, r.known)
		}
		return
	}
	_, expected := warned[r.name]
	switch warns := alerted(r.alone, schemas.Warning); {
	case alerted(r.alone, schemas.Critical):
		t.Errorf("%s is harmless, and raises %v", r.name, r.alone)
	case warns && !expected:
		t.Errorf("%s is harmless, and warns without a reason: %v", r.name, r.alone)
	case expected && !warns:
		t.Errorf("%s raises no warning, and is listed with one", r.name)
	}
	_, expected = outdated[r.name]
	if critical := alerted(r.known, schemas.Critical); strings.HasPrefix(r.path, livesFolder) && critical != expected {
		t.Errorf("%s is critical on a known link: %t, listed: %t: %v", r.name, critical, expected, r.known)
	}
}

func detectionPage(tools, lives []result) string {
	all := slices.Concat(tools, lives)
	var page strings.Builder
	page.WriteString("# What ndmon finds\n\nThis page is generated by a test, which fails when the page is out of date.\n\n")
	totals(&page, all)
	page.WriteString(`
**Alone** shows the alerts of ` + "`ndmon -r FILE`" + ` on the capture: nothing is configured, and nothing is known but what the capture itself shows.

**On a known link**, the routers are configured. The parameters of their advertisements are compared if the capture has an honest beginning
to learn them from; elsewhere they are volatile. The hosts are known from that beginning, or, for the first corpus, from
linux-resolution_nud.pcap.

**Found** means that a rule of severity warning or critical alerts. Alerts count when they pass the rule's threshold, from the first frame
of the attack on. Not listed are the rules that every new host triggers (new-station, new-lla, new-ip, unknown-mac-vendor).
`)
	attack := func(r result) (string, bool) { return cell(r.alone) + " | " + onKnownLink(r), r.attack() }
	table(&page, "Attacks: the captures in sensor/testdata/corpus", "", "alone | on a known link", tools, attack)
	table(&page, "Attacks: the captures in deploy/trial/testdata/captures", "", "alone | on a known link", lives, attack)
	table(&page, "Tools that do not attack Neighbor Discovery", "", "why there is nothing to find", all, func(r result) (string, bool) {
		reason, ok := noAttack[r.name]
		return reason, ok
	})
	table(&page, "Honest traffic that raises warnings", "Nothing of it is critical.", "alone | why", all, func(r result) (string, bool) {
		reason, ok := warned[r.name]
		return cell(r.alone) + " | " + reason, ok && !r.further()
	})
	table(&page, "A further router", `Where nothing is configured, a second router is as critical as a rogue one, because nothing distinguishes them. Once both are configured,
nothing is critical.`, "alone | both configured", lives, func(r result) (string, bool) {
		return cell(r.alone) + " | " + cell(r.known), r.further()
	})
	table(&page, "Honest traffic that is critical where the routers are configured", `What a configuration does not list is wrong. All other honest captures in deploy/trial/testdata/captures raise nothing critical on a known
link. A router that stops raises configured-router-gives-up, a warning.`, "on a known link | why", lives, func(r result) (string, bool) {
		reason, ok := outdated[r.name]
		return cell(r.known) + " | " + reason, ok
	})
	return page.String()
}

// totals writes the table of how many captures there are and how many were found.
func totals(page *strings.Builder, all []result) {
	count := func(which func(result) bool) (n int) {
		for _, r := range all {
			if which(r) {
				n++
			}
		}
		return n
	}
	attacks := count(result.attack)
	alone := count(func(r result) bool { return r.attack() && alerted(r.alone, schemas.Warning) })
	known := count(func(r result) bool { return r.attack() && alerted(r.known, schemas.Warning) })
	fmt.Fprintf(page, `| captures | | found alone | found on a known link |
|---|---|---|---|
| attacks | %d | %d, %d missed | %d, %d missed |
| tools that do not attack Neighbor Discovery | %d | none | none |
| honest traffic | %d | %d with warnings, %d critical: a second router | see below |
`, attacks, alone, attacks-alone, known, attacks-known,
		count(func(r result) bool { return !r.harmless() && !r.attack() }),
		count(func(r result) bool { return r.harmless() }),
		count(func(r result) bool { return r.harmless() && severest(r.alone) == schemas.Warning }),
		count(func(r result) bool { return r.harmless() && severest(r.alone) == schemas.Critical }))
}

// table writes a table of the captures for which cells returns true, with the cells
// of the given columns.
func table(page *strings.Builder, title, text, columns string, results []result, cells func(result) (string, bool)) {
	fmt.Fprintf(page, "\n## %s\n\n", title)
	if text != "" {
		fmt.Fprintf(page, "%s\n\n", text)
	}
	fmt.Fprintf(page, "| capture | made by | %s |\n|---|---|%s\n", columns, strings.Repeat("---|", strings.Count(columns, "|")+1))
	for _, r := range results {
		if text, ok := cells(r); ok {
			fmt.Fprintf(page, "| %s | %s | %s |\n", r.name, r.madeBy(), text)
		}
	}
}

// onKnownLink lists what was found of an attack, and why it was missed if it was.
func onKnownLink(r result) string {
	if reason, ok := missed[r.name]; ok {
		return cell(r.known) + ". Missed: " + reason
	}
	return cell(r.known)
}

// madeBy returns the command that made the capture, and the manifest's remark.
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
