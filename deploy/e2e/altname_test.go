package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ndmon/ndmon/deploy/lab"
)

// Masters and slaves by alternative names, which may be longer than the kernel's names of
// interfaces. Results, routes and the log have the kernel's names.
func TestAlternativeNames(t *testing.T) {
	t.Parallel()
	r := lab.NewProxyRouter(t, false).Router
	long := "wan-" + strings.Repeat("x", 123)
	for name, alternative := range map[string]string{lab.Master: long, lab.Slave1: "lan-a", lab.Slave2: "lan-behind-the-second-port"} {
		must(t, r.Netlink.LinkAddAltName(r.Link(name), alternative))
	}
	p := r.Start(builtin("ndmon", "--data", t.TempDir(), "--host", "r1", "-m", long, "-s", "lan-a,lan-behind-*", "--route", "--proxy"))
	p.Stderr.WaitFor("msg=capturing", "interface="+lab.Master, "master=true")
	p.Stderr.WaitFor("pinger ready")
	r.Upstream.Ping(lab.Host2Address, often).WaitForReply()
	hasHostRoute(t, r, lab.Slave2)
	rules := strings.Join(r.Rules(byUs), "\n")
	if !strings.Contains(rules, lab.Slave1) || !strings.Contains(rules, lab.Slave2) {
		t.Errorf("the slaves have no rules of their own: %s", rules)
	}
	found := r.Start(program("ndmon", "find", lab.Host2Address.String(), "--wait", "1m"))
	if status := found.Wait(); status != 0 || !strings.Contains("\n"+found.Stdout.String(), "\nr1  s2  ") {
		t.Errorf("find: exit status %d, %q, %s", status, found.Stdout, found.Stderr)
	}

	// A target that was solicited behind slave 1 is looked for elsewhere.
	nc := connect(t, r.Namespace, localNATS)
	results := collect(t, nc, "nd.results.r1")
	now := time.Now().UTC()
	publish(t, nc, "nd.relay.r1", fmt.Appendf(nil, `{"type":"nd.relay.v1","id":"me","time":"%s","expires":"%s","host":"r1","target":"%s",`+
		`"solicitation":{"host":"r1","interface":"lan-a","direction":"in","source":"%s","ethernet":"%s"}}`,
		now.Format(time.RFC3339), now.Add(time.Minute).Format(time.RFC3339), lab.UnusedAddress, r.Host1.LinkLocal("eth0"), r.Host1.MAC("eth0")))
	var behind []string
	for len(behind) < 2 {
		if got := parse[result](t, next(t, results, "the results").Data); got.Relay == "me" {
			behind = append(behind, got.Slave)
		}
	}
	slices.Sort(behind)
	equal(t, "looked for behind", []string{lab.Master, lab.Slave2}, behind)
	stop(t, p)
	clean(t, r)
}
