package pinger

import (
	"crypto/rand"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/ndmon/ndmon/schemas"
)

// reporter publishes results.
type reporter struct {
	host    string
	subject string
	bus     Bus
	metrics *metrics
	log     *slog.Logger
	failing atomic.Bool
}

// usualResult is more than the bytes of most results.
const usualResult = 512

// report publishes a result, whose type, id, time and host it fills in, unless no
// command asked for it.
func (r *reporter) report(result schemas.Result) {
	if result.Relay == "" {
		return
	}
	result.Type = schemas.TypeResult
	result.ID = rand.Text()
	result.Time = time.Now().UTC()
	result.Host = r.host
	err := r.bus.Publish(r.subject, result.AppendJSON(make([]byte, 0, usualResult)))
	if err != nil {
		r.metrics.publishErrors.Inc()
	}
	if failing := err != nil; r.failing.Swap(failing) == failing {
		return
	}
	if err != nil {
		r.log.Warn("results cannot be published; further ones are only counted", "subject", r.subject, "error", err)
	} else {
		r.log.Info("results are published again", "subject", r.subject)
	}
}

// refused reports a command that was refused or suppressed as a whole.
func (r *reporter) refused(relay string, target netip.Addr, why *refusal) {
	status, reason := why.status()
	r.report(schemas.Result{Relay: relay, Target: target, Status: status, Reason: reason, Error: why.why})
}

// known reports where a target is that did not have to be looked for.
func (r *reporter) known(relay string, target netip.Addr, at sighting) {
	r.report(schemas.Result{Relay: relay, Target: target, Slave: at.on.name, Status: schemas.Reachable, Ethernet: at.mac})
}

// failed reports that a target cannot be looked for behind a slave.
func (r *reporter) failed(relay string, target netip.Addr, f failure) {
	status := schemas.Failed
	if f.reason == schemas.OverBudget {
		status = schemas.Suppressed
	}
	r.report(schemas.Result{Relay: relay, Target: target, Slave: f.slave.name, Status: status, Reason: f.reason, Error: f.why})
}

// answered reports a probe that was answered.
func (r *reporter) answered(p *probe, a answer) {
	result := schemas.Result{Relay: p.relay, Target: p.target, Slave: p.slave.name, Status: schemas.Reachable,
		Ethernet: a.mac, Proxied: a.proxied, Reason: a.reason, Error: a.why}
	if a.rtt > 0 {
		result.RTT = a.rtt.Round(time.Microsecond).String()
	}
	r.report(result)
}

// unanswered reports a probe that was not.
func (r *reporter) unanswered(p *probe) {
	r.report(schemas.Result{Relay: p.relay, Target: p.target, Slave: p.slave.name, Status: schemas.Unreachable})
}
