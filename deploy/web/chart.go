package web

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/go-analyze/charts"
	"github.com/ndmon/ndmon/deploy/web/model"
)

// chart is a chart on a page: the address of its image, without the theme, and what it shows in words. The address is empty if
// there is nothing to draw.
type chart struct{ Source, Text string }

const (
	// minutes is how many minutes the chart of the alerts has.
	minutes = 60
	// chartEach is how often a chart on an open page is drawn again.
	chartEach = 30 * time.Second

	chartWidth, chartHeight = 640, 160
	// maxRate bounds what is drawn: a counter may be forged.
	maxRate = 1e9
)

// perMinute counts the alerts of the last minutes by their severity: info, warning, critical. The last minute is not over.
func perMinute(list []*model.Alert, now time.Time) [][]float64 {
	counts := [][]float64{make([]float64, minutes), make([]float64, minutes), make([]float64, minutes)}
	start := now.Truncate(time.Minute).Add(-(minutes - 1) * time.Minute)
	for _, a := range list {
		if at := a.Time.Sub(start); at >= 0 && at < minutes*time.Minute {
			counts[rank(a.Severity)][at/time.Minute]++
		}
	}
	return counts
}

// alertsOf returns the chart of alerts.
func (s *server) alertsOf(list []*model.Alert) chart {
	counts := perMinute(list, s.now())
	text := fmt.Sprintf("Alerts a minute in the last %d minutes", minutes)
	for i, name := range []string{"info", "warning", "critical"} {
		sum := 0.0
		for _, n := range counts[i] {
			sum += n
		}
		text += fmt.Sprintf(", %s: %.0f, at most %.0f in one", name, sum, slices.Max(counts[i]))
	}
	return chart{fmt.Sprintf("/charts/alerts.svg?at=%d", s.now().Truncate(chartEach).Unix()), text}
}

// framesOf returns the chart of the frames on an interface.
func (s *server) framesOf(host, iface string) chart {
	rates := s.model.Rate(host, iface)
	if len(rates) == 0 {
		return chart{}
	}
	q := url.Values{"host": {host}, "interface": {iface}, "at": {fmt.Sprint(s.now().Truncate(chartEach).Unix())}}
	return chart{"/charts/frames.svg?" + q.Encode(), fmt.Sprintf("Frames a second: %.1f now, at most %.1f in the last 10 minutes", rates[len(rates)-1], slices.Max(rates))}
}

func (s *server) alertsChart(w http.ResponseWriter, r *http.Request) {
	list, _ := s.model.Alerts()
	labels := make([]string, minutes)
	for i := range labels {
		labels[i] = s.now().Add(time.Duration(i+1-minutes) * time.Minute).Format("15:04")
	}
	s.draw(w, r, perMinute(list, s.now()), []string{"info", "warning", "critical"}, labels)
}

func (s *server) framesChart(w http.ResponseWriter, r *http.Request) {
	rates := slices.Clone(s.model.Rate(r.URL.Query().Get("host"), r.URL.Query().Get("interface")))
	if len(rates) == 0 {
		s.fail(w, r, errNotFound)
		return
	}
	labels := make([]string, len(rates))
	for i := range rates {
		rates[i] = min(rates[i], maxRate)
		labels[i] = s.now().Add(time.Duration(i+1-len(rates)) * 10 * time.Second).Format("15:04")
	}
	s.draw(w, r, [][]float64{rates}, []string{"frames a second"}, labels)
}

// draw answers with a chart of lines, as an image for the theme in the query.
func (s *server) draw(w http.ResponseWriter, r *http.Request, values [][]float64, names, labels []string) {
	dark := r.URL.Query().Get("theme") == "dark"
	// The colours of info, warning and critical are those of the style sheet.
	option := charts.ThemeOption{
		AxisStrokeColor: charts.ColorFromHex("#767676"), AxisSplitLineColor: charts.ColorFromHex("#dddddd"),
		BackgroundColor: charts.ColorTransparent, TextColor: charts.ColorFromHex("#333333"),
		SeriesColors: []charts.Color{charts.ColorFromHex("#0b5cad"), charts.ColorFromHex("#8a5300"), charts.ColorFromHex("#b3001e")},
	}
	if dark {
		option.IsDarkMode = true
		option.AxisStrokeColor, option.AxisSplitLineColor, option.TextColor = charts.ColorFromHex("#8a8f98"), charts.ColorFromHex("#333840"), charts.ColorFromHex("#dddddd")
		option.SeriesColors = []charts.Color{charts.ColorFromHex("#7ab8ff"), charts.ColorFromHex("#f0b050"), charts.ColorFromHex("#ff8a8a")}
	}
	theme := charts.MakeTheme(option)
	o := charts.NewLineChartOptionWithData(values)
	o.Theme, o.XAxis.Labels, o.LineStrokeWidth = theme, labels, 2
	o.Symbol = charts.Symbol{Shape: charts.SymbolNone}
	if len(names) > 1 {
		o.Legend = charts.LegendOption{SeriesNames: names}
	}
	p := charts.NewPainter(charts.PainterOptions{OutputFormat: charts.ChartOutputSVG, Width: chartWidth, Height: chartHeight, Theme: theme})
	err := p.LineChart(o)
	var image []byte
	if err == nil {
		image, err = p.Bytes()
	}
	if err != nil {
		s.fail(w, r, fmt.Errorf("draw the chart: %w", err))
		return
	}
	w.Header().Set("Content-Type", "image/svg+xml")
	// It is shown as an image, whose own policy allows the styles in it and nothing else.
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox")
	w.Header().Set("Cache-Control", "private, max-age=60")
	w.Write(image)
}
