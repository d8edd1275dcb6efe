package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Env has what every program works with.
type Env struct {
	Log      *slog.Logger
	Registry *prometheus.Registry
	// Health is served with the metrics.
	Health *Health
	// Memory is the number of bytes of memory that the process may use, 0 for no limit.
	Memory int64
}

// NewRegistry returns a registry with the metrics of the process, the Go runtime and the
// build.
func NewRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	v, commit := build()
	info := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "nd_build_info", Help: "Always 1; the labels describe the build of this program.",
		ConstLabels: prometheus.Labels{"version": v, "revision": commit, "goversion": runtime.Version()},
	}, func() float64 { return 1 })
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), info)
	return r
}

// ServeMetrics serves the registry and the health over HTTP until the context ends. With
// an empty address it serves nothing.
func ServeMetrics(ctx context.Context, addr string, env Env) error {
	if addr == "" {
		return nil
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("needs an address such as 127.0.0.1:9100: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(env.Registry, promhttp.HandlerOpts{}))
	mux.Handle(healthPath, env.Health)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { srv.Close() })
	go func() {
		if err := srv.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			env.Log.Error("metrics are no longer served", "error", err)
		}
	}()
	env.Log.Info("serving metrics", "url", "http://"+listener.Addr().String()+"/metrics")
	return nil
}
