//go:build linux

package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/ndmon/ndmon/deploy/lab"
)

// scraper reads a process's Prometheus metrics.
type scraper struct {
	client http.Client
	url    string
}

func newScraper(n *lab.Namespace, address string) *scraper {
	return &scraper{
		client: http.Client{Transport: &http.Transport{DialContext: n.DialContext, DisableKeepAlives: true}},
		url:    "http://" + address + "/metrics",
	}
}

// metrics are what one reading gave, in the text format.
type metrics string

func (s *scraper) read(ctx context.Context) (metrics, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return "", err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return "", fmt.Errorf("read metrics: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", fmt.Errorf("read metrics: %w", err)
	}
	return metrics(text), nil
}

// sum adds up the series of a name that have all the labels, each written as
// in name="value".
func (m metrics) sum(name string, labels ...string) float64 {
	sum := 0.0
series:
	for line := range strings.Lines(string(m)) {
		rest, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), name)
		if !ok || !strings.HasPrefix(rest, "{") && !strings.HasPrefix(rest, " ") {
			continue
		}
		for _, label := range labels {
			if !strings.Contains(rest, "{"+label) && !strings.Contains(rest, ","+label) {
				continue series
			}
		}
		if v, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64); err == nil {
			sum += v
		}
	}
	return sum
}
