package ndmon

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/prometheus/client_golang/prometheus"
)

func TestServer(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "folder")
	s, err := startServer("127.0.0.1:0", dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	conn, err := bus.Connect(bus.Config{URL: s.ClientURL()}, bus.Options{Name: "test", Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	if !conn.Connected() {
		t.Error("cannot connect over TCP")
	}
	if err := conn.Drain(context.Background()); err != nil {
		t.Error(err)
	}
	if _, err := startServer("127.0.0.1:0", dir, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "--data") {
		t.Errorf("a second server in the folder: %v", err)
	}
}

func TestServerPortTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = startServer(l.Addr().String(), t.TempDir(), slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "--listen") || !strings.Contains(err.Error(), "--nats") {
		t.Errorf("error %v", err)
	}
	if _, err = startServer("192.0.2.1:1", t.TempDir(), slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "--listen") {
		t.Errorf("an address that is not ours: %v", err)
	}
}

func TestServerInProcessIsTemporary(t *testing.T) {
	s, err := startServer("", "", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	dir := s.StoreDir()
	if _, err := os.Stat(dir); err != nil {
		t.Error(err)
	}
	s.stop()
	if _, err := os.Stat(filepath.Dir(dir)); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", filepath.Dir(dir), err)
	}
}
