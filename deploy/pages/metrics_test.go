package pages

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ndmon/ndmon/deploy/notify"
	"github.com/ndmon/ndmon/deploy/uplink"
	"github.com/ndmon/ndmon/deploy/web"
	"github.com/ndmon/ndmon/pinger/advert"
	"github.com/ndmon/ndmon/pinger/conflict"
	"github.com/ndmon/ndmon/pinger/hostroute"
	"github.com/ndmon/ndmon/pinger/port"
	"github.com/ndmon/ndmon/pinger/probe"
	"github.com/ndmon/ndmon/ruled"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/ndmon/ndmon/sensor"
	"github.com/prometheus/client_golang/prometheus"
)

// whatToDo says for each metric what its values tell an operator.
var whatToDo = map[string]string{
	"nd_build_info":                            "Compare versions across the fleet",
	"nd_healthy":                               "0 for a minute: `/health` and the log say why",
	"nd_nats_disconnects_total":                "Rises: look at the network and the server's log",
	"nd_nats_errors_total":                     "`slow_consumer`: the process is too slow. Others: the server refuses something; the log says what. Check the key",
	"nd_nats_reconnects_total":                 "Should follow disconnects",
	"nd_notify_alerts_total":                   "Alert on `dropped`: the receiver was away for longer than the stream keeps alerts. `refused`: the log says why. `invalid`: another program publishes on nd.alerts",
	"nd_notify_retries_total":                  "Rises: the receiver is away or refuses the credentials; the log and the health say why",
	"nd_notify_waiting":                        "Rises: the receiver is away, or too slow. The oldest alerts are dropped when ND_ALERTS is full",
	"nd_pinger_commands_total":                 "The outcomes are explained under [Relaying](relaying.md#why-does-nothing-happen). Alert on `over_budget`: a scan, or raise `PINGER_RATE`",
	"nd_pinger_conflicts_total":                "Rises: hosts on two links use one address; the alerts address-on-two-links and dad-denied name them",
	"nd_pinger_host_route_hints_dropped_total": "Rises: a flood on the slaves, or too many hosts for this machine",
	"nd_pinger_host_routes":                    "Compare with the number of hosts",
	"nd_pinger_host_routes_lost_total":         "Rises: another program removes them, see the log",
	"nd_pinger_host_routes_moved_total":        "Rises fast: a host flaps between slaves, or two hosts use one address",
	"nd_pinger_host_routes_refused_total":      "Rises: a host claims very many addresses, or there are too many hosts",
	"nd_pinger_host_routes_resent_total":       "Compare with the past",
	"nd_pinger_pending":                        "At its limit of 65,536: lower `PINGER_RATE` or `PINGER_TIMEOUT`",
	"nd_pinger_probes_total":                   "Alert on `error`: the slave cannot send; the log says why",
	"nd_pinger_publish_errors_total":           "Rises: NATS is away or refuses results",
	"nd_pinger_router_messages_dropped_total":  "Rises: a flood of Router Advertisements on a master's link, or of commands",
	"nd_pinger_router_messages_total":          "The outcomes are explained under [Relaying](relaying.md#addresses-for-the-hosts). Alert on `loop` and `ambiguous`",
	"nd_pinger_rtt_seconds":                    "Compare with the past",
	"nd_pinger_sent_total":                     "Compare with the past",
	"nd_pinger_slaves":                         "Alert on `unusable`: the log says why",
	"nd_pinger_stray_replies_total":            "Rises fast: replies come after `PINGER_TIMEOUT`, or someone forges them",
	"nd_ruled_alert_latency_seconds":           "Rises: NATS or ruled is slow, or was away. Less than 0 counts as 0: the clocks of the hosts differ",
	"nd_ruled_alerts_repeated_total":           "Rises after a restart; otherwise acknowledgements are lost",
	"nd_ruled_alerts_total":                    "Alert on `critical`",
	"nd_ruled_events_total":                    "Flat while sensors count frames: NATS, or `RULED_EVENTS`",
	"nd_ruled_history_postponed_total":         "Rises: NATS is away, or too slow for what is heard",
	"nd_ruled_history_written_total":           "Shows how much the stations change",
	"nd_ruled_invalid_messages_total":          "Rises: someone publishes batches who is no sensor, or versions differ",
	"nd_ruled_links":                           "Near 4,096: links are forgotten",
	"nd_ruled_links_evicted_total":             "Rises: more than 4,096 links; someone may invent VLANs",
	"nd_ruled_missed_batches_total":            "Alert: ruled is too slow or was away too long; raise `RULED_EVENTS_BYTES`",
	"nd_ruled_neighbours":                      "Near `RULED_NEIGHBOURS`: raise it",
	"nd_ruled_neighbours_evicted_total":        "Rises: a flood, or raise `RULED_NEIGHBOURS`",
	"nd_ruled_newest_event_timestamp_seconds":  "Falls behind on one host: nothing is sent on its links, or its sensor is lost (`nd_ruled_sensors`)",
	"nd_ruled_partitions":                      "Fewer than 16 in all nd-ruled of a fleet: the events of some hosts are not evaluated",
	"nd_ruled_pending_batches":                 "Rises: ruled is too slow, or has to catch up after it was away",
	"nd_ruled_relays_total":                    "Alert on `lost`: NATS was away. `no_target`: the rule should match `nd.ns`",
	"nd_ruled_reloads_total":                   "Alert on `refused`: the rule file or the newest central rules have an error; the log says where, the old rules stay in force",
	"nd_ruled_rules":                           "Compare with `ndmon rules check`",
	"nd_ruled_sensors":                         "Alert on `silent`",
	"nd_ruled_sensors_evicted_total":           "Rises: very many sensors and pingers publish heartbeats; someone may invent them",
	"nd_ruled_stations":                        "Near `RULED_NEIGHBOURS`: raise it",
	"nd_ruled_suppressed_matches_total":        "Rises fast: a flood, or a threshold that is too strict",
	"nd_ruled_thresholds_evicted_total":        "Rises: someone invents tracked values; give the rule a `cap`",
	"nd_ruled_unstored_alerts_total":           "Alert: make room on the disk",
	"nd_ruled_unwritten_alerts_total":          "Alert: what reads the standard output of ndmon is too slow or stuck; the stream ND_ALERTS has the alerts",
	"nd_sensor_dropped_total":                  "Alert: `kernel`: raise `SENSOR_RECEIVE_BUFFER` and net.core.rmem_max, or the machine is too slow. `buffer`: NATS is away or too slow",
	"nd_sensor_events_total":                   "Flat: nothing is captured, or nothing is sent on the link",
	"nd_sensor_frames_total":                   "Flat on an interface: nothing is sent on its link, or the wrong interface is captured",
	"nd_sensor_ignored_frames_total":           "Rises fast: someone sends frames that look like Neighbor Discovery",
	"nd_sensor_interfaces":                     "Alert when it is lower than expected; the log says which interface is missing",
	"nd_uplink_alerts_total":                   "Flat while `nd_ruled_alerts_total` rises: the log says why",
	"nd_uplink_connected":                      "0 for long: the log and the health say why. The edge works on",
	"nd_uplink_waiting":                        "Rises: the hub is away, or too slow. The oldest alerts are dropped when ND_ALERTS of the edge is full",
	"nd_web_requests_total":                    "`401`, `403`: someone without the right token or header, or a form of another site. `5..`: the log says why",
	"nd_web_watchers":                          "At its limit of 1,000: more pages are not updated live",
}

// register has all daemons register their metrics. Sensor and ruled begin to run with a
// context that has ended; a pinger would change the kernel even then.
func register(t *testing.T) *prometheus.Registry {
	t.Helper()
	r := process.NewRegistry()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	log := slog.New(slog.DiscardHandler)
	conn, err := bus.Connect(bus.Config{URL: "nats://127.0.0.1:1"}, bus.Options{Name: "NAME", Log: log, Registry: r})
	must(t, err)
	t.Cleanup(conn.NATS().Close)
	var capture sensor.Config
	var rules ruled.Config
	for prefix, config := range map[string]any{"SENSOR": &capture, "RULED": &rules} {
		must(t, process.Environment(prefix, config))
	}
	capture.ReadFiles = []string{root + "/sensor/testdata/corpus/linux-dad_ok.pcap"}
	publisher := bus.NewPublisher(conn, bus.PublisherConfig{InFlight: 1, Buffer: 1 << 20, AckTimeout: bus.DefaultAckTimeout}, log)
	for _, err := range []error{
		sensor.Run(ctx, capture, sensor.Deps{Log: log, Registry: r, Publisher: publisher}),
		ruled.Run(ctx, rules, ruled.Deps{Log: log, Registry: r, Conn: conn}),
	} {
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	port.NewMetrics(r)
	probe.NewMetrics(r)
	hostroute.NewMetrics(r)
	conflict.NewMetrics(r)
	advert.NewMetrics(r)
	uplink.NewMetrics(r)
	notify.NewMetrics(r, "NAME")
	web.NewMetrics(r)
	must(t, process.ServeMetrics(ctx, "127.0.0.1:0", process.Env{Log: log, Registry: r, Health: new(process.Health)}))
	return r
}

// metric is a row of the page.
type metric struct{ name, kind, labels, help string }

var description = regexp.MustCompile(`^Desc\{fqName: "(nd_\w+)", help: ("(?:[^"\\]|\\.)*"), unit: "[^"]*", constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)

// metrics returns all metrics of the daemons by their names. Without a series, a
// vector is not gathered; those are counters and gauges.
func metrics(t *testing.T) []metric {
	t.Helper()
	r := register(t)
	kinds := map[string]string{}
	families, err := r.Gather()
	must(t, err)
	for _, f := range families {
		kinds[f.GetName()] = strings.ToLower(f.GetType().String())
	}
	descs := make(chan *prometheus.Desc)
	go func() {
		r.Describe(descs)
		close(descs)
	}()
	var all []metric
	for d := range descs {
		parts := description.FindStringSubmatch(d.String())
		if parts == nil {
			continue // not ours
		}
		m := metric{name: parts[1], kind: "gauge"}
		m.help, _ = strconv.Unquote(parts[2])
		if kind, ok := kinds[m.name]; ok {
			m.kind = kind
		} else if strings.HasSuffix(m.name, "_total") {
			m.kind = "counter"
		}
		constant := regexp.MustCompile(`="(?:[^"\\]|\\.)*"`).ReplaceAllString(parts[3], "")
		for name := range strings.SplitSeq(constant+","+parts[4], ",") {
			if name != "" {
				m.labels += ", `" + name + "`"
			}
		}
		m.labels = strings.TrimPrefix(m.labels, ", ")
		if !slices.Contains(all, m) {
			all = append(all, m)
		}
	}
	slices.SortFunc(all, func(a, b metric) int { return strings.Compare(a.name, b.name) })
	return all
}

// Each metric is on the page with what to do about it, and each that a page names exists.
func TestMetricsPage(t *testing.T) {
	var page strings.Builder
	page.WriteString(`# Metrics

Prometheus metrics are served on the address in ` + "`SENSOR_METRICS`, `RULED_METRICS` or `PINGER_METRICS`, and on `ndmon --metrics`" + `, which
has those of all its parts. Besides these, each process has the usual metrics ` + "`go_*` and `process_*`" + `. [Operating](operating.md#metrics) says
how to use them with Prometheus and Grafana. This page is generated from the daemons' registries and from the [alert rules](#alert-rules).

| metric | type | labels | meaning | what to do |
|---|---|---|---|---|
`)
	all := metrics(t)
	for _, m := range all {
		do, ok := whatToDo[m.name]
		if !ok {
			t.Errorf("whatToDo has nothing for %s", m.name)
		}
		fmt.Fprintf(&page, "| `%s` | %s | %s | %s | %s |\n", m.name, m.kind, m.labels, m.help, do)
	}
	for name := range whatToDo {
		if !slices.ContainsFunc(all, func(m metric) bool { return m.name == name }) {
			t.Errorf("whatToDo has %s, which is no metric", name)
		}
	}
	writeAlertRules(t, &page)
	Golden(t, "../../docs/metrics.md", page.String())
	for path, page := range pages(t) {
		for _, name := range regexp.MustCompile(`\bnd_(sensor|ruled|pinger|nats|build|healthy|uplink|web)[a-z_]*`).FindAllString(page, -1) {
			if !slices.ContainsFunc(all, func(m metric) bool { return m.name == name }) && !strings.HasSuffix(path, "CHANGELOG.md") {
				t.Errorf("%s names %s, which is no metric", path, name)
			}
		}
	}
}
