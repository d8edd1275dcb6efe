package proc

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/ndmon/ndmon/deploy/lab"
)

// Scraper reads a process's Prometheus metrics.
type Scraper struct {
	At      *lab.Namespace
	Address string
}

// Metrics are the metrics of a process at one time, in the text format.
type Metrics string

// Read reads the metrics now.
func (s Scraper) Read(ctx context.Context) (Metrics, error) {
	text, err := s.get(ctx)
	if err != nil {
		return "", fmt.Errorf("read metrics at %s: %w", s.Address, err)
	}
	return Metrics(text), nil
}

func (s Scraper) get(ctx context.Context) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Address+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	client := http.Client{Transport: &http.Transport{DialContext: s.At.DialContext, DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}

// Sum returns the sum of the series of a name that have all the labels. A label is
// written as name="value".
func (m Metrics) Sum(name string, labels ...string) float64 {
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
