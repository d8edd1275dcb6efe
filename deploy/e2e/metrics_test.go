package e2e

import (
	"io"
	"net/http"
	"regexp"
	"strconv"
	"testing"

	"github.com/ndmon/ndmon/deploy/lab"
)

// metric reads one figure of those that a process serves, such as
// nd_ruled_rules, with its labels if it has some.
func metric(t *testing.T, from *lab.Namespace, address, name string) float64 {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DialContext: from.DialContext, DisableKeepAlives: true}, Timeout: lab.Patience}
	answer, err := client.Get("http://" + address + "/metrics")
	if err != nil {
		t.Fatalf("read metrics: %v", err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatalf("read metrics: %v", err)
	}
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindSubmatch(body)
	if m == nil {
		t.Fatalf("there is no metric %s", name)
	}
	value, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return value
}
