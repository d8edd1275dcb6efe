package web

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/ndmon/ndmon/deploy/keys"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/bus/bustest"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/prometheus/client_golang/prometheus"
)

// startKeys starts a server with keys, which has something on each page.
func startKeys(t *testing.T, local keys.Local) (url string) {
	t.Helper()
	config, seed, err := local.Config()
	must(t, err)
	o := &natsserver.Options{Port: -1, JetStream: true, StoreDir: t.TempDir()}
	must(t, o.ProcessConfigString(config))
	s := bustest.StartWith(t, o)
	conn, err := bus.Connect(bus.Config{URL: s.ClientURL(), NKey: seed}, bus.Options{Name: "admin", Log: quiet(), Registry: prometheus.NewRegistry()})
	must(t, err)
	t.Cleanup(conn.NATS().Close)
	js := conn.JetStream()
	_, err = bus.EnsureStreams(t.Context(), js, bus.StreamConfig{NoEvents: true, AlertsBytes: 1 << 20, AlertsAge: time.Hour, HistoryBytes: 1 << 20, HistoryAge: time.Hour})
	must(t, err)
	storeAlerts(t, js, 3, warning)
	storeState(t, js, 3)
	storeHistory(t, js)
	return s.ClientURL()
}

// With each key, the page shows everything, and is refused nothing. Only its own may write.
func TestRights(t *testing.T) {
	fleet := t.TempDir()
	fleetKeys := filepath.Join(fleet, "keys")
	must(t, keys.Init(fleetKeys, keys.Hosts{Thin: []string{"r1"}}, keys.Server{Data: keys.DefaultData}, keys.Client{URL: keys.DefaultURL}, false))
	for _, tc := range []struct {
		name  string
		local keys.Local
		key   string
		write bool
	}{
		{"the key of the page", keys.Local{Directory: t.TempDir(), Keys: fleetKeys}, filepath.Join(fleetKeys, "web.nk"), true},
		{"a guest", keys.Local{Directory: t.TempDir()}, "", false},
		{"a guest without a copy of the alerts", keys.Local{Directory: t.TempDir(), NoCopy: true}, "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			url := startKeys(t, tc.local)
			conn, err := bus.Connect(bus.Config{URL: url, NKey: tc.key}, bus.Options{Name: "page", Log: quiet(), Registry: prometheus.NewRegistry()})
			must(t, err)
			t.Cleanup(conn.NATS().Close)
			lab.Eventually(t, "connected", conn.Connected)
			site := startOn(t, url, nil, conn)
			m := site.s.model
			lab.Eventually(t, "the page has what is stored", func() bool {
				list, _ := m.Alerts()
				return len(list) == 3 && len(m.Links()) == 1 && m.Rights().Silence == tc.write
			})
			m.Watch()
			for _, path := range paths() {
				if answer, body := site.get(path); answer.StatusCode != 200 {
					t.Errorf("%s: %s\n%s", path, answer.Status, body)
				}
			}
			form := "rule=a&host=r1&interface=eth0&for=1h&reason=x&kind=silenced"
			answer, body := site.post("/silence", form)
			if want := map[bool]int{true: 303, false: 403}[tc.write]; answer.StatusCode != want {
				t.Errorf("a silence: %s\n%s", answer.Status, body)
			}
			answer, body = site.post("/find", "address=2001:db8::42")
			if want := map[bool]int{true: 303, false: 403}[tc.write]; answer.StatusCode != want {
				t.Errorf("find: %s\n%s", answer.Status, body)
			}
			lab.Eventually(t, "the answer to find", func() bool {
				_, body := site.get("/find?address=2001:db8::42")
				return strings.Contains(body, "no pinger is connected") == tc.write
			})
			if _, body := site.get("/group?rule=a"); strings.Contains(body, "may only read") == tc.write {
				t.Errorf("the forms of a group:\n%s", body)
			}
			if err := conn.Health(); err != nil {
				t.Error(err)
			}
			for _, fault := range m.Faults() {
				if !strings.Contains(fault, "no daemon of ndmon") {
					t.Error(fault)
				}
			}
		})
	}
}

// A silence that is stored ends by itself in the bucket too.
func TestSilenceHasTTL(t *testing.T) {
	t.Parallel()
	url, js := startNATS(t)
	site := startSite(t, url, js)
	now := time.Now().UTC()
	must(t, site.s.model.Silence(t.Context(), schemas.Silence{
		Type: schemas.TypeSilence, Kind: schemas.Silenced, Time: now, Until: now.Add(time.Second), Rule: "a", Host: "r1", Interface: "eth0", Who: "ann", Reason: "x",
	}))
	bucket, err := js.KeyValue(t.Context(), schemas.BucketSilences)
	must(t, err)
	key := (&schemas.Silence{Rule: "a", Host: "r1", Interface: "eth0"}).Key()
	if _, err := bucket.Get(t.Context(), key); err != nil {
		t.Error(err)
	}
	lab.Eventually(t, "the silence is deleted", func() bool { _, err := bucket.Get(t.Context(), key); return err != nil })
}

// The command line says which option is wrong, and stops.
func TestUsage(t *testing.T) {
	t.Setenv("NATS_URL", "nats://127.0.0.1:1")
	for args, want := range map[string]string{
		"--listen :0":                  "--listen: other hosts reach :0: that needs WEB_TOKEN_FILE or WEB_USER_HEADER",
		"--listen x":                   `--listen: "x" is not an address`,
		"--user-header a:b":            "--user-header: ",
		"--token-file /none":           "--token-file: open /none",
		"--listen 127.0.0.1:0 --other": "unknown option",
		"argument":                     `unknown command "argument"`,
	} {
		var out, errors strings.Builder
		if status := process.Execute(Command(), strings.Fields(args), &out, &errors); status != process.ExitUsage || !strings.Contains(errors.String(), want) {
			t.Errorf("%s: exit status %d, %s", args, status, errors.String())
		}
	}
}
