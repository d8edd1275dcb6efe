package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ndmon/ndmon/deploy/lab"
)

// prometheus is a Prometheus with the rules of deploy/metrics that reads the daemons in its namespace twice a second.
type prometheus struct {
	t      *testing.T
	client http.Client
}

const prometheusAddress = "127.0.0.1:9090"

// startPrometheus starts a Prometheus. The targets are ports, by job.
func startPrometheus(t *testing.T, at *lab.Namespace, targets map[string]string) *prometheus {
	t.Helper()
	path, err := exec.LookPath("prometheus")
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatal(err)
	}
	if err != nil {
		t.Skipf("needs prometheus, of Debian's package prometheus: %v", err)
	}
	rules, err := filepath.Abs("../metrics/alerts.yml")
	must(t, err)
	config := fmt.Sprintf("global: {scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}\nrule_files: [%s]\nscrape_configs:\n", rules)
	for job, port := range targets {
		config += fmt.Sprintf("- {job_name: %s, static_configs: [{targets: [\"127.0.0.1:%s\"]}]}\n", job, port)
	}
	at.Start(lab.Command{Path: path, Args: []string{
		"--config.file=" + write(t, "prometheus.yml", []byte(config)), "--storage.tsdb.path=" + t.TempDir(), "--web.listen-address=" + prometheusAddress,
	}}).Stderr.WaitFor("Server is ready to receive web requests.")
	return &prometheus{t, http.Client{Transport: &http.Transport{DialContext: at.DialContext}, Timeout: lab.Patience}}
}

// get reads an answer of the HTTP API.
func (p *prometheus) get(path string, into any) {
	p.t.Helper()
	answer, err := p.client.Get("http://" + prometheusAddress + "/api/v1/" + path)
	must(p.t, err)
	defer answer.Body.Close()
	var body struct {
		Status, Error string
		Data          json.RawMessage
	}
	must(p.t, json.NewDecoder(answer.Body).Decode(&body))
	if body.Status != "success" {
		p.t.Fatalf("%s: %s", path, body.Error)
	}
	must(p.t, json.Unmarshal(body.Data, into))
}

// series returns how many series an expression has now.
func (p *prometheus) series(expr string) int {
	p.t.Helper()
	var data struct{ Result []any }
	p.get("query?query="+url.QueryEscape(expr), &data)
	return len(data.Result)
}

// lint has promlint look at the metrics of a daemon.
func (p *prometheus) lint(job, port string) {
	p.t.Helper()
	answer, err := p.client.Get("http://127.0.0.1:" + port + "/metrics")
	must(p.t, err)
	defer answer.Body.Close()
	check := exec.Command("promtool", "check", "metrics")
	check.Stdin = answer.Body
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		p.t.Errorf("promtool check metrics of %s: %v\n%s", job, err, out)
	}
}

// rules returns the expressions of the rules, once all have been evaluated without an error.
func (p *prometheus) rules() (all []string) {
	p.t.Helper()
	lab.Eventually(p.t, "all rules are evaluated", func() bool {
		var data struct {
			Groups []struct {
				Rules []struct{ Name, Query, Health, LastError string }
			}
		}
		p.get("rules", &data)
		all = nil
		for _, g := range data.Groups {
			for _, r := range g.Rules {
				if r.Health == "err" {
					p.t.Fatalf("%s: %s", r.Name, r.LastError)
				}
				if r.Health != "ok" {
					return false
				}
				all = append(all, r.Query)
			}
		}
		return len(all) > 0
	})
	return all
}

// dashboard returns the expressions of Grafana's dashboard, with values in place of its variables.
func dashboard(t *testing.T) (all []string) {
	t.Helper()
	board := parse[struct {
		Panels []struct {
			Targets []struct{ Expr string }
		}
	}](t, readFile(t, "../metrics/grafana/ndmon.json"))
	variables := strings.NewReplacer("$__rate_interval", "1m", "$__range", "6h", "$instance", ".*")
	for _, panel := range board.Panels {
		for _, target := range panel.Targets {
			all = append(all, variables.Replace(target.Expr))
		}
	}
	return all
}

// A Prometheus evaluates all rules and all queries of the dashboard with what the daemons serve. Each selector in them
// has a series, so that no name, label or value is wrong. No rule raises an alert about a fleet that works.
func TestPrometheus(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	startBroker(t, r.Namespace)
	nats := "NATS_URL=" + localNATS
	startRuled(r.Namespace, nats, "RULED_METRICS=127.0.0.1:9102")
	sensor := startSensor(r, nats, "SENSOR_MASTERS="+lab.Master, "SENSOR_METRICS=127.0.0.1:9101")
	r.Start(with(program("nd-pinger"), nats, "PINGER_HOST=r1", "PINGER_SLAVES="+lab.Slave1+","+lab.Slave2, "PINGER_METRICS=127.0.0.1:9103")).Stderr.WaitFor("pinger ready")
	r.Start(with(program("ndmon", "web", "--listen", "127.0.0.1:8080"), nats, "WEB_METRICS=127.0.0.1:9105")).Stderr.WaitFor("serving the page")
	ports := map[string]string{"nd-sensor": "9101", "nd-ruled": "9102", "nd-pinger": "9103", "ndmon-web": "9105"}
	p := startPrometheus(t, r.Namespace, ports)

	r.Solicit(lab.Host2Address)
	r.Upstream.Wire("eth0").Send(numbered(1))
	_, err := p.client.Get("http://127.0.0.1:8080/")
	must(t, err)
	for _, expr := range []string{
		`nd_ruled_alerts_total{rule="ra-lifetime-zero", severity="info", host="r1"} == 1`, `nd_ruled_alert_latency_seconds_count == 1`,
		`time() - nd_ruled_newest_event_timestamp_seconds{host="r1"} < 60`, `nd_pinger_slaves{state="usable"} == 2`, `sum(nd_ruled_partitions) == 16`,
		`nd_pinger_probes_total{slave="s2", outcome="reachable"} > 0`, `nd_web_requests_total`,
	} {
		lab.Eventually(t, expr, func() bool { return p.series(expr) == 1 })
	}

	asked := map[string]bool{}
	for _, expr := range append(p.rules(), dashboard(t)...) {
		p.series(expr)
		for _, selector := range regexp.MustCompile(`\bnd_\w+(\{[^}]*\})?`).FindAllString(expr, -1) {
			elsewhere := strings.HasPrefix(selector, "nd_uplink_") || strings.HasPrefix(selector, "nd_nats_errors_total")
			if !asked[selector] && !elsewhere && p.series(selector) == 0 {
				t.Errorf("%s has no series, in %s", selector, expr)
			}
			asked[selector] = true
		}
	}
	if len(asked) < 40 {
		t.Errorf("only %d selectors", len(asked))
	}
	for job, port := range ports {
		p.lint(job, port)
	}
	lab.Eventually(t, "no rule raises an alert", func() bool { return p.series("ALERTS") == 0 })
	sensor.Kill()
	lab.Eventually(t, "the sensor does not answer", func() bool { return p.series(`ALERTS{alertname="NdDown", job="nd-sensor"}`) == 1 })
}
