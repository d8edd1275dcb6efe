package command

import (
	"context"
	"errors"
	"io"

	"github.com/ndmon/ndmon/deploy/alerts"
	"github.com/ndmon/ndmon/deploy/ndmon"
	"github.com/ndmon/ndmon/deploy/reading"
	"github.com/ndmon/ndmon/deploy/terminal"
	"github.com/prometheus/client_golang/prometheus"
)

// readFiles runs ndmon on capture files. It shows the progress, unless that is nil, and writes a summary to stderr at the end.
func readFiles(ctx context.Context, cfg ndmon.Config, deps ndmon.Deps, registry prometheus.Gatherer, progress *terminal.Progress, stderr io.Writer) error {
	deps.Report = new(reading.Report)
	if progress == nil {
		return summarize(ndmon.Run(ctx, cfg, deps), deps.Report, registry, stderr)
	}
	following, cancel := context.WithCancel(ctx)
	defer cancel()
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		deps.Report.Follow(following, cfg.Files, progress.Show)
	}()
	err := ndmon.Run(ctx, cfg, deps)
	cancel()
	<-followed
	progress.Show("")
	return summarize(err, deps.Report, registry, stderr)
}

// summarize writes the summary of what was read, if anything was, and returns the error of reading it.
func summarize(err error, report *reading.Report, registry prometheus.Gatherer, stderr io.Writer) error {
	if err != nil && report.Packets.Load() == 0 {
		return err
	}
	values, failed := gauges(registry)
	if failed == nil {
		failed = report.Write(stderr, int(values["nd_ruled_links"]), int(values["nd_ruled_stations"]), alerts.LineLength(terminal.Width(stderr)))
	}
	return errors.Join(err, failed)
}

// gauges returns the metrics without labels that are gauges.
func gauges(registry prometheus.Gatherer) (map[string]float64, error) {
	families, err := registry.Gather()
	values := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if m.GetGauge() != nil && len(m.GetLabel()) == 0 {
				values[family.GetName()] = m.GetGauge().GetValue()
			}
		}
	}
	return values, err
}
