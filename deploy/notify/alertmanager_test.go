package notify

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/deploy/lab"
)

// alertmanagerProcess is Debian's Alertmanager on loopback.
type alertmanagerProcess struct {
	*lab.Process
	t       *testing.T
	command lab.Command
	address string
}

func startAlertmanager(t *testing.T) *alertmanagerProcess {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "alertmanager.yml")
	must(t, os.WriteFile(config, []byte("route: { receiver: none }\nreceivers: [ { name: none } ]\n"), 0o600))
	a := &alertmanagerProcess{t: t, address: fmt.Sprintf("127.0.0.1:%d", freePort(t))}
	a.command = lab.Command{Path: debian(t, "prometheus-alertmanager"), Args: []string{
		"--config.file=" + config, "--storage.path=" + dir, "--web.listen-address=" + a.address, "--cluster.listen-address=", "--log.level=warn",
	}}
	a.start()
	return a
}

func (a *alertmanagerProcess) start() {
	a.t.Helper()
	a.Process = lab.Start(a.t, a.command)
	lab.Eventually(a.t, "Alertmanager answers", func() bool { return a.active() != nil })
}

// active returns the alerts that Alertmanager has, nil if it does not answer.
func (a *alertmanagerProcess) active() map[string]alertmanagerAlert {
	answer, err := http.Get("http://" + a.address + "/api/v2/alerts")
	if err != nil {
		return nil
	}
	defer answer.Body.Close()
	var list []alertmanagerAlert
	if answer.StatusCode != http.StatusOK || json.NewDecoder(answer.Body).Decode(&list) != nil {
		return nil
	}
	found := map[string]alertmanagerAlert{}
	for _, alert := range list {
		key := fmt.Sprint(alert.Labels)
		if _, twice := found[key]; twice {
			a.t.Errorf("Alertmanager has %s twice", key)
		}
		found[key] = alert
	}
	return found
}

// has reports whether Alertmanager has the newest alert of each of the interfaces that the alerts up to a number are about.
func (a *alertmanagerProcess) has(n int) bool {
	want := map[string]bool{}
	for i := max(0, n-1000); i < n; i++ {
		want[id(i)] = true
	}
	got := map[string]bool{}
	for _, alert := range a.active() {
		got[alert.Annotations["id"]] = true
	}
	return maps.Equal(want, got)
}

// Alertmanager has every alert once after it was away, also those that it has forgotten when it was restarted.
func TestAlertmanagerAway(t *testing.T) {
	a, f := startAlertmanager(t), newFixture(t, 1<<30)
	f.start("alertmanager+http://" + a.address + "#name=receiver")
	stop := f.flow(rate)
	f.away(func() { a.Kill() }, a.start)
	stop()
	lab.Eventually(t, "it has all alerts", func() bool { return a.has(int(f.stored.Load())) })

	a.Stop()
	f.store(1) // finds that it is away
	lab.Eventually(t, "the alert waits", func() bool { return f.health.Err() != nil })
	a.start()
	lab.Eventually(t, "it has all alerts again", func() bool { return a.has(int(f.stored.Load())) })
}

// An alert is resolved when its rule was quiet for a time.
func TestAlertmanagerResolves(t *testing.T) {
	a, f := startAlertmanager(t), newFixture(t, 1<<30)
	f.start("alertmanager+http://" + a.address + "#resolve=2s")
	f.store(1)
	var got alertmanagerAlert
	lab.Eventually(t, "the alert is active", func() bool {
		for _, got = range a.active() {
		}
		return got.Labels != nil
	})
	want := map[string]string{"alertname": "rogue-ra", "severity": "warning", "host": "r1", "interface": "eth0", "station": "02:00:00:00:00:01"}
	if diff := cmp.Diff(want, got.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	want = map[string]string{"id": id(0), "summary": `RA fe80::1 > ff02::1 "x" [y] \z`, "description": "a router that is not one of the link"}
	if diff := cmp.Diff(want, got.Annotations); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
	lab.Eventually(t, "the alert is resolved", func() bool { return len(a.active()) == 0 })
}

// In a flood of invented stations, the alerts that are sent again stay bounded, and so do those that Alertmanager has.
func TestAlertmanagerFlood(t *testing.T) {
	m := &alertmanager{active: map[string]*alertmanagerAlert{}, resolve: resolveAfter}
	without := 0
	for i := range 3 * maxActive {
		a := &alert{Alert: *made(0)}
		a.Event = fmt.Appendf(nil, `{"ethernet":{"source":"02:00:00:00:%02x:%02x"}}`, i>>8, i&0xff)
		if c := m.convert(a, time.Now()); c.Labels["station"] == "" {
			without++
		}
	}
	if len(m.active) != maxActive+1 || without != 2*maxActive {
		t.Errorf("%d alerts are active, %d have no station", len(m.active), without)
	}
}
