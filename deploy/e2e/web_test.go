package e2e

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/ndmon/ndmon/deploy/lab"
)

// The page of ndmon itself, and that of a fleet, which here is a guest at ndmon's server.
func TestPage(t *testing.T) {
	t.Parallel()
	r := lab.NewProxyRouter(t, false).Router
	p := r.Start(builtin("ndmon", "--data", t.TempDir(), "--host", "r1", "-m", lab.Master, "-s", lab.Slave1+","+lab.Slave2, "--route", "--proxy", "--web", "127.0.0.1:8080", "--metrics", "127.0.0.1:9100"))
	p.Stderr.WaitFor("msg=capturing", "interface="+lab.Master)
	p.Stderr.WaitFor("serving the page")
	guest := r.Start(with(program("ndmon", "web", "--listen", "127.0.0.1:8081"), "WEB_METRICS=127.0.0.1:9101"))
	guest.Stderr.WaitFor("serving the page")
	client := http.Client{Transport: &http.Transport{DialContext: r.DialContext}, Timeout: lab.Patience}
	read := func(answer *http.Response, err error) string {
		t.Helper()
		must(t, err)
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		must(t, err)
		return string(body)
	}
	shows := func(address string, texts ...string) {
		t.Helper()
		lab.Eventually(t, address+" shows "+strings.Join(texts, ", "), func() bool {
			body := read(client.Get("http://" + address))
			for _, text := range texts {
				if !strings.Contains(body, text) {
					return false
				}
			}
			return true
		})
	}
	r.Upstream.Ping(lab.Host2Address, often).WaitForReply()
	for _, at := range []string{"127.0.0.1:8080", "127.0.0.1:8081"} {
		shows(at+"/?severity=info", "new-station", "r1/"+lab.Master)
		shows(at+"/fleet", "ndmon", " &gt; "+lab.Slave1+","+lab.Slave2)
		shows(at+"/rules", "new-station", "relay")
		shows(at+"/alerts/1", "ethernet.source")
		shows(at+"/addresses/"+r.Upstream.LinkLocal("eth0").String(), r.Upstream.MAC("eth0").String())
	}
	// While one page is looked at, both are up to date.
	shows("127.0.0.1:8080/neighbours", r.Upstream.MAC("eth0").String())
	shows("127.0.0.1:8081/neighbours", r.Upstream.MAC("eth0").String())
	shows("127.0.0.1:8081/links", "r1/"+lab.Master, "Frames a second")

	read(client.PostForm("http://127.0.0.1:8080/find", url.Values{"address": {lab.Host2Address.String()}}))
	shows("127.0.0.1:8080/find?address="+lab.Host2Address.String(), "r1  "+lab.Slave2)
	if body := read(client.PostForm("http://127.0.0.1:8081/find", url.Values{"address": {lab.Host2Address.String()}})); !strings.Contains(body, "may not ask the pingers") {
		t.Errorf("a guest asks the pingers:\n%s", body)
	}
	for _, health := range []lab.Command{program("ndmon", "health", "--metrics", "127.0.0.1:9100"), with(program("ndmon", "web", "health"), "WEB_METRICS=127.0.0.1:9101")} {
		if h := r.Start(health); h.Wait() != 0 {
			t.Errorf("not healthy: %s%s", h.Stdout, h.Stderr)
		}
	}
	stop(t, guest, p)
}
