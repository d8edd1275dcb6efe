package pages

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"testing"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// promlint has nothing to say about the names and helps of the metrics.
func TestMetricsLint(t *testing.T) {
	if _, err := exec.LookPath("promtool"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("this needs promtool, of the package prometheus")
	}
	served := httptest.NewRecorder()
	promhttp.HandlerFor(register(t), promhttp.HandlerOpts{}).ServeHTTP(served, httptest.NewRequest("GET", "/metrics", nil))
	lint := exec.Command("promtool", "check", "metrics")
	lint.Stdin = served.Body
	if out, err := lint.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}
