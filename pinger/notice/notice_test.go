package notice

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// A host that claims many addresses does not fill the log.
func TestLinesAreBounded(t *testing.T) {
	var log bytes.Buffer
	now := time.Unix(1000, 0)
	l := New(slog.New(slog.NewTextHandler(&log, nil)), func() time.Time { return now })
	for range 10 * Most {
		l.Info("target found")
	}
	if got := strings.Count(log.String(), "\n"); got != Most+1 {
		t.Errorf("%d lines in a second, want %d and one that says that there are more", got, Most)
	}
	log.Reset()
	now = now.Add(time.Second)
	if l.Info("target found"); !strings.Contains(log.String(), "target found") {
		t.Errorf("a second later: %q", log.String())
	}
}
