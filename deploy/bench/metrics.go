//go:build linux

package bench

import (
	"bufio"
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
	at      *lab.Namespace
	address string
}

// metrics are what one reading gave, in the text format.
type metrics string

func (s scraper) read(ctx context.Context) (metrics, error) {
	text, err := s.get(ctx)
	if err != nil {
		return "", fmt.Errorf("read metrics at %s: %w", s.address, err)
	}
	return metrics(text), nil
}

// get dials by itself: an http.Transport may go on dialling when the context
// has ended and the namespace is gone.
func (s scraper) get(ctx context.Context) ([]byte, error) {
	conn, err := s.at.DialContext(ctx, "tcp", s.address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	req, err := http.NewRequest(http.MethodGet, "http://"+s.address+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	req.Close = true
	if err := req.Write(conn); err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
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
