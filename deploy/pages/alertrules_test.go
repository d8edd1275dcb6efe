package pages

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// writeAlertRules writes the alert rules of Prometheus in deploy/metrics as a table.
func writeAlertRules(t *testing.T, to io.Writer) {
	t.Helper()
	data, err := os.ReadFile(root + "/deploy/metrics/alerts.yml")
	must(t, err)
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert, For          string
				Labels, Annotations map[string]string
			}
		}
	}
	must(t, yaml.Unmarshal(data, &file))
	fmt.Fprint(to, `
## Alert rules

[deploy/metrics/alerts.yml](../deploy/metrics/alerts.yml) has these alert rules for Prometheus. Capital letters stand for labels, N for the value.

| rule | severity | after | meaning | what to do |
|---|---|---|---|---|
`)
	label, value := regexp.MustCompile(`\{\{ \$labels\.(\w+) \}\}`), regexp.MustCompile(`\{\{ \$value[^}]*\}\}`)
	plain := func(s string) string {
		return value.ReplaceAllString(label.ReplaceAllStringFunc(s, func(l string) string { return strings.ToUpper(label.FindStringSubmatch(l)[1]) }), "N")
	}
	for _, group := range file.Groups {
		for _, r := range group.Rules {
			fmt.Fprintf(to, "| `%s` | %s | %s | %s | %s |\n", r.Alert, r.Labels["severity"], r.For, plain(r.Annotations["summary"]), plain(r.Annotations["description"]))
		}
	}
}
