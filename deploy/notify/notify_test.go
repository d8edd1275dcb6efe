package notify

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus/bustest"
)

// A Notifier that is stopped and started again while its receiver is away goes on where it was.
func TestRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "absent", "alerts")
	f := newFixture(t, 1<<30)
	f.store(2) // before there is a receiver, which does not get them
	h := newHook(t)
	stop := f.start("file:"+path, h.URL+"#name=hook")
	f.store(3)
	lab.Eventually(t, "one receiver has them, the other one is away", func() bool {
		err := f.health.Err()
		return len(h.taken()) == 3 && err != nil && strings.Contains(err.Error(), "receiver file:"+path+": ") && !strings.Contains(err.Error(), "hook")
	})
	stop()
	f.store(3)
	must(t, os.Mkdir(filepath.Dir(path), 0o700))
	stop = f.start("file:"+path, h.URL+"#name=hook")
	want := []string{id(2), id(3), id(4), id(5), id(6), id(7)}
	lab.Eventually(t, "both have all", func() bool {
		return cmp.Equal(want, found(t, path, `"id":"`)) && cmp.Equal(want, h.ids()) && f.health.Err() == nil
	})
	if _, err := New(t.Context(), Config{Receivers: parsed(t, "file:"+path), Directory: f.state, Conn: f.connect("second"), Log: nil, Registry: f.metrics, Health: f.health}); err == nil || !strings.Contains(err.Error(), "another process delivers to this receiver") {
		t.Errorf("a second Notifier: %v", err)
	}
	stop()
}

// Alerts that the stream drops while a receiver is away are counted, and the others delivered.
func TestDropped(t *testing.T) {
	h := newHook(t)
	f := newFixture(t, 256<<10)
	away := true
	h.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if away {
			http.Error(w, "", http.StatusBadGateway)
			return
		}
		h.ServeHTTP(w, r)
	})
	stop := f.start(h.URL + "#name=hook")
	f.store(1)
	lab.Eventually(t, "the receiver is away", func() bool { return f.health.Err() != nil })
	stop()
	f.store(1000)
	stream, err := f.js.Stream(t.Context(), schemas.StreamAlerts)
	must(t, err)
	kept := int(stream.CachedInfo().State.Msgs)
	away = false
	f.start(h.URL + "#name=hook")
	lab.Eventually(t, "the rest is delivered", func() bool { return len(h.taken()) == kept })
	if dropped := f.metric("nd_notify_alerts_total", "hook", "dropped"); int(dropped) != 1001-kept {
		t.Errorf("%v are dropped of 1001, and %d kept", dropped, kept)
	}
	if !strings.Contains(f.log.String(), "the stream dropped alerts before the receiver took them") {
		t.Errorf("that is not logged:\n%s", f.log)
	}
}

// A stream that is deleted and made again is delivered from its start, and a server that restarts changes nothing.
func TestStreamIsMadeAgain(t *testing.T) {
	h := newHook(t)
	f := newFixture(t, 1<<20)
	stop := f.start(h.URL)
	f.store(3)
	f.complete(h.ids)
	must(t, f.js.DeleteStream(t.Context(), schemas.StreamAlerts))
	f.makeStream(1 << 20)
	f.store(2)
	f.complete(h.ids)

	dir, port := filepath.Dir(f.server.StoreDir()), f.server.Addr().(*net.TCPAddr).Port
	bustest.Stop(f.server)
	f.server = bustest.Start(t, dir, port)
	lab.Eventually(t, "the publisher is connected", func() bool { return f.js.Conn().IsConnected() })
	f.store(2)
	f.complete(h.ids)
	stop()
}

// A stream that does not exist yet is delivered from its start, and messages that are no alerts are left out.
func TestNoStreamYet(t *testing.T) {
	h := newHook(t)
	f := newFixture(t, 1<<20)
	must(t, f.js.DeleteStream(t.Context(), schemas.StreamAlerts))
	f.start(h.URL + "#name=hook&severity=warning&rule=rogue-*,dad-*&host=r1")
	lab.Eventually(t, "it waits for the stream", func() bool {
		err := f.health.Err()
		return err != nil && strings.Contains(err.Error(), "nd-ruled has not made the stream")
	})
	f.makeStream(1 << 20)
	for _, message := range []string{"garbage", `{"type":"nd.alert.v2"}`} {
		_, err := f.js.Publish(t.Context(), schemas.SubjectAlerts, []byte(message))
		must(t, err)
	}
	for _, change := range []func(*schemas.Alert){
		func(a *schemas.Alert) { a.Severity = schemas.Info }, func(a *schemas.Alert) { a.Rule = "new-station" }, func(a *schemas.Alert) { a.Host = "r2" },
	} {
		a := made(99)
		change(a)
		_, err := f.js.Publish(t.Context(), schemas.SubjectAlerts, a.AppendJSON(nil))
		must(t, err)
	}
	f.store(2)
	f.complete(h.ids)
	if invalid := f.metric("nd_notify_alerts_total", "hook", "invalid"); invalid != 2 {
		t.Errorf("%v messages are invalid", invalid)
	}
}

// Every faulty receiver is refused with what is wrong.
func TestParse(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	for value, want := range map[string]string{
		"nonsense":                             `--to: "nonsense": is not a receiver: use ` + Syntax,
		"mail+smtp://host":                     `--to: "mail+smtp://host": mail+smtp is not a kind of receiver: use ` + Syntax,
		"syslog+http://host":                   `--to: "syslog+http://host": syslog+http is not a kind of receiver: use ` + Syntax,
		"http://a b":                           `--to: "http://a b": is not a URL: invalid character " " in host name`,
		"exec:":                                `--to: "exec:": needs the path of a program`,
		"exec:true":                            `--to: "exec:true": "true" is not an absolute path`,
		"exec:/nonexistent":                    `--to: "exec:/nonexistent": exec: "/nonexistent": stat /nonexistent: no such file or directory`,
		"file:alerts":                          `--to: "file:alerts": "alerts" is not an absolute path`,
		"file:/dev/full":                       `--to: "file:/dev/full": /dev/full is not a regular file`,
		"syslog+udp://h#facility=x":            `--to: "syslog+udp://h#facility=x": facility: "x" is not a facility: use daemon, user, local0 to local7, or another one of RFC 5424`,
		"syslog+udp://h#sev=info":              `--to: "syslog+udp://h#sev=info": unknown parameter "sev": use facility, host, name, rule, severity`,
		"http://h#severity=x":                  `--to: "http://h#severity=x": severity: "x" is not a severity: use info, warning or critical`,
		"http://h#batch=0":                     `--to: "http://h#batch=0": batch: "0" is not a number from 1 to 256`,
		"http://h#batch":                       `--to: "http://h#batch": parameter "batch" is not NAME=VALUE, with %26 for &, %23 for # and %25 for %`,
		"http://h#header=x":                    `--to: "http://h#header=x": header: is not NAME: VALUE`,
		"alertmanager+http://h#resolve=1":      `--to: "alertmanager+http://h#resolve=1": resolve: "1" is not a duration of at least 1s, such as 15m`,
		"https://h#ca=/nonexistent":            `--to: "https://h#ca=/nonexistent": ca: open /nonexistent: no such file or directory`,
		"http://h#ca=/x":                       `--to: "http://h#ca=/x": unknown parameter "ca": use batch, header, host, name, rule, severity, template`,
		"http://h#template=" + file("t", "{{"): `--to: "http://h#template=` + dir + `/t": template: ` + dir + `/t: template: :1: unclosed action`,
		"@" + file("list", "# chats\n\nslack+https://h/a\nslack+https://h/b\n"): `--to: ` + dir + `/list:4: another receiver is named slack+https://h: give one of them a name with #name=`,
		"@/nonexistent": "--to: open /nonexistent: no such file or directory",
	} {
		list, err := Parse("--to", []string{value})
		if err == nil || err.Error() != want {
			t.Errorf("%s:\n got %v, %v\nwant %s", value, list, err, want)
		}
	}
	names := ""
	for _, r := range parsed(t, "https://user:pass@h:8443/secret?key=secret", "exec:/bin/true a b", "file:/tmp/x", "syslog+tls://[2001:db8::1]", "slack+https://h/secret#name=ops") {
		names += r.name + " "
	}
	if want := "https://h:8443 exec:/bin/true file:/tmp/x syslog+tls://[2001:db8::1] ops "; names != want {
		t.Errorf("names %s, want %s", names, want)
	}
}
