// Package metrics tests what this folder has for Prometheus and Grafana.
package metrics

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func parse(t *testing.T, path string, into any) {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	if filepath.Ext(path) == ".json" {
		must(t, json.Unmarshal(data, into))
		return
	}
	must(t, yaml.Unmarshal(data, into))
}

// promtool runs promtool of the package prometheus.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	if _, err := exec.LookPath("promtool"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("this needs promtool, of the package prometheus")
	}
	if out, err := exec.Command("promtool", args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestPrometheus(t *testing.T) {
	promtool(t, "check", "config", "prometheus.yml")
	promtool(t, "test", "rules", "alerts_test.yml")
}

// What docs/operating.md says for one router is a configuration, with the alert rules next to it.
func TestPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/operating.md")
	must(t, err)
	block := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindSubmatch(page)
	if block == nil {
		t.Fatal("the page has no configuration")
	}
	dir := t.TempDir()
	rules, err := os.ReadFile("alerts.yml")
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "alerts.yml"), rules, 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "prometheus.yml"), block[1], 0o600))
	promtool(t, "check", "config", filepath.Join(dir, "prometheus.yml"))
}

type rule struct{ Alert, Expr string }

func alertRules(t *testing.T) (all []rule) {
	var file struct{ Groups []struct{ Rules []rule } }
	parse(t, "alerts.yml", &file)
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

// Each alert rule fires in a test.
func TestEachRuleFires(t *testing.T) {
	var file struct {
		Tests []struct {
			Cases []struct {
				Name string `yaml:"alertname"`
				Want []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	parse(t, "alerts_test.yml", &file)
	fires := map[string]bool{}
	for _, test := range file.Tests {
		for _, c := range test.Cases {
			fires[c.Name] = fires[c.Name] || len(c.Want) > 0
		}
	}
	for _, r := range alertRules(t) {
		if !fires[r.Alert] {
			t.Errorf("%s fires in no test", r.Alert)
		}
		delete(fires, r.Alert)
	}
	if len(fires) > 0 {
		t.Errorf("tests of rules that do not exist: %v", fires)
	}
}

// queries returns the expressions of the rules and of the dashboard, with values in place of Grafana's variables.
func queries(t *testing.T) (all []string) {
	for _, r := range alertRules(t) {
		all = append(all, r.Expr)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	parse(t, "grafana/ndmon.json", &dashboard)
	variables := strings.NewReplacer("$__rate_interval", "1m", "$__range", "6h", "$instance", ".*")
	for _, p := range dashboard.Panels {
		for _, q := range p.Targets {
			all = append(all, variables.Replace(q.Expr))
		}
	}
	return all
}

// Each expression is PromQL, and names only metrics and labels that docs/metrics.md lists, which is generated from the
// daemons' registries. The test TestPrometheus of deploy/e2e has a Prometheus evaluate them.
func TestQueries(t *testing.T) {
	page, err := os.ReadFile("../../docs/metrics.md")
	must(t, err)
	labels := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(nd_\\w+)` \\| (\\w+) \\| ([^|]*) \\|").FindAllStringSubmatch(string(page), -1) {
		labels[row[1]] = row[3] + "`job`, `instance`"
		if row[2] == "histogram" {
			labels[row[1]+"_bucket"] = labels[row[1]] + ", `le`"
		}
	}
	selector := regexp.MustCompile(`\b(nd_\w+)(?:\{([^}]*)\})?`)
	label := regexp.MustCompile(`(\w+)(?:=|!=|=~|!~)"`)
	var file strings.Builder
	file.WriteString("groups:\n- name: queries\n  rules:\n")
	for _, q := range queries(t) {
		fmt.Fprintf(&file, "  - {record: q, labels: {n: %q}, expr: %q}\n", fmt.Sprint(file.Len()), q)
		for _, s := range selector.FindAllStringSubmatch(q, -1) {
			if labels[s[1]] == "" {
				t.Errorf("%s: there is no metric %s", q, s[1])
			}
			for _, l := range label.FindAllStringSubmatch(s[2], -1) {
				if !strings.Contains(labels[s[1]], "`"+l[1]+"`") {
					t.Errorf("%s: the metric %s has no label %s", q, s[1], l[1])
				}
			}
		}
	}
	rules := filepath.Join(t.TempDir(), "queries.yml")
	must(t, os.WriteFile(rules, []byte(file.String()), 0o600))
	promtool(t, "check", "rules", rules)
}

// Prometheus reads each daemon of docker-compose.yml, which serves its metrics on the network that both share.
func TestTargets(t *testing.T) {
	var compose struct {
		Services map[string]struct{ Environment map[string]string }
	}
	parse(t, "../../docker-compose.yml", &compose)
	var served, read []string
	for name, s := range compose.Services {
		for variable, address := range s.Environment {
			if strings.HasSuffix(variable, "_METRICS") {
				if strings.HasPrefix(address, ":") { // in a namespace of its own
					address = name + address
				}
				served = append(served, address)
			}
		}
	}
	var prometheus struct {
		Jobs []struct {
			Static []struct{ Targets []string } `yaml:"static_configs"`
			DNS    []struct {
				Names []string
				Port  int
			} `yaml:"dns_sd_configs"`
		} `yaml:"scrape_configs"`
	}
	parse(t, "prometheus.yml", &prometheus)
	for _, j := range prometheus.Jobs {
		for _, s := range j.Static {
			read = append(read, s.Targets...)
		}
		for _, d := range j.DNS {
			for _, name := range d.Names {
				read = append(read, fmt.Sprintf("%s:%d", name, d.Port))
			}
		}
	}
	slices.Sort(served)
	slices.Sort(read)
	if diff := cmp.Diff(served, read); diff != "" {
		t.Errorf("targets (-served +read):\n%s", diff)
	}
}
