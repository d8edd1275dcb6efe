package probe

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/ndmon/ndmon/pinger/port"
	"github.com/ndmon/ndmon/schemas"
)

// reporter counts and logs what came of commands and probes, and publishes results.
type reporter struct {
	host    string
	subject string
	publish func(subject string, data []byte) error
	// listened reports whether results have a receiver.
	listened func(subject string) bool
	metrics  *Metrics
	log      *slog.Logger
	failing  atomic.Bool
}

func (r *reporter) debugs() bool { return r.log.Enabled(context.Background(), slog.LevelDebug) }

// quiet reports whether nothing but counters is needed.
func (r *reporter) quiet() bool { return !r.debugs() && !r.listened(r.subject) }

// verdict is the immediate decision on a command.
type verdict struct {
	outcome  outcome
	refused  *refusal      // if it was not carried out
	at       port.Location // of the target, with outcome known
	failures []failure     // of ports that no probe was sent out of
}

// failure says why no probe was sent out of a port.
type failure struct {
	on     *port.Port
	reason schemas.Reason
	why    string
	// cause is logged once for a port, unless it is empty. remedy returns what the user
	// can do. mends: the pinger itself tries to mend it.
	cause  string
	remedy func() string
	mends  bool
}

// decided reports the verdict on a command.
func (r *reporter) decided(cmd *schemas.Relay, v verdict, took time.Duration) {
	if v.refused != nil {
		v.outcome = v.refused.outcome
	}
	r.metrics.commands[v.outcome].Inc()
	for _, f := range v.failures {
		r.failed(cmd.ID, cmd.Target, f)
	}
	if r.quiet() {
		return
	}
	if r.debugs() {
		r.logCommand(cmd, v, took)
	}
	result := schemas.Result{Relay: cmd.ID, Target: cmd.Target}
	switch {
	case v.outcome == known:
		result.Slave, result.Status, result.Ethernet = v.at.On.Name, schemas.Reachable, v.at.MAC
		r.report(result)
	case v.refused != nil && v.refused.published():
		result.Status, result.Reason = v.refused.status()
		result.Error = v.refused.why()
		r.report(result)
	}
}

func (r *reporter) logCommand(cmd *schemas.Relay, v verdict, took time.Duration) {
	attrs := []slog.Attr{
		slog.String("outcome", v.outcome.String()), slog.String("target", cmd.Target.String()),
		slog.String("relay", cmd.ID), slog.String("rule", cmd.Rule), slog.Duration("took", took),
	}
	if sol := cmd.Solicitation; sol != nil {
		attrs = append(attrs, slog.String("solicited_on", sol.Interface), slog.String("requester", sol.Source.String()))
	}
	if v.refused != nil {
		attrs = append(attrs, slog.String("why", v.refused.why()))
	}
	r.log.LogAttrs(context.Background(), slog.LevelDebug, "relay command", attrs...)
}

// published reports whether a result is published: for a readable command that is for
// this host.
func (r *refusal) published() bool { return r.outcome != malformed && r.outcome != otherHost }

// status returns status and reason of the result.
func (r *refusal) status() (schemas.Status, schemas.Reason) {
	switch r.outcome {
	case heldDown:
		return schemas.Suppressed, schemas.HeldDown
	case overBudget:
		return schemas.Suppressed, schemas.OverBudget
	case expired, farAhead:
		return schemas.Failed, schemas.Expired
	case notAnswered:
		return schemas.Failed, schemas.NotSent
	}
	return schemas.Failed, schemas.Refused
}

// failed reports that a target cannot be looked for behind a port.
func (r *reporter) failed(relay string, target netip.Addr, f failure) {
	f.on.Counters.Failed.Inc()
	if r.quiet() {
		return
	}
	r.log.Debug("not probed", "slave", f.on.Name, "target", target, "relay", relay, "reason", f.reason, "why", f.why)
	status := schemas.Failed
	if f.reason == schemas.OverBudget {
		status = schemas.Suppressed
	}
	r.report(schemas.Result{Relay: relay, Target: target, Slave: f.on.Name, Status: status, Reason: f.reason, Error: f.why})
}

// answer is the result of a probe that was answered.
type answer struct {
	rtt     time.Duration // 0 if the answer was not to the probe itself
	mac     *schemas.MAC
	proxied bool
	// undiscovered is why the kernel could not be made to discover the target.
	undiscovered *failure
}

// answered reports a probe that was answered.
func (r *reporter) answered(p *probe, a answer) {
	p.on.Counters.Reachable.Inc()
	if a.rtt > 0 {
		r.metrics.rtt.Observe(a.rtt.Seconds())
	}
	if r.quiet() {
		return
	}
	result := schemas.Result{Relay: p.relay, Target: p.target, Slave: p.on.Name, Status: schemas.Reachable, Ethernet: a.mac, Proxied: a.proxied}
	if a.rtt > 0 {
		result.RTT = a.rtt.Round(time.Microsecond).String()
	}
	if f := a.undiscovered; f != nil {
		result.Reason, result.Error = f.reason, "found, but the kernel cannot discover it: "+f.why
	}
	if r.debugs() {
		attrs := []any{"slave", p.on.Name, "target", p.target, "relay", p.relay, "rtt", a.rtt, "ethernet", a.mac, "proxied", a.proxied}
		if result.Error != "" {
			attrs = append(attrs, "reason", result.Reason, "why", result.Error)
		}
		r.log.Debug("target answered", attrs...)
	}
	r.report(result)
}

// unanswered reports a probe that was not answered.
func (r *reporter) unanswered(p *probe, waited time.Duration) {
	p.on.Counters.Unreachable.Inc()
	if r.quiet() {
		return
	}
	r.log.Debug("target did not answer", "slave", p.on.Name, "target", p.target, "relay", p.relay, "waited", waited)
	r.report(schemas.Result{Relay: p.relay, Target: p.target, Slave: p.on.Name, Status: schemas.Unreachable})
}

// Report publishes a result of a command that another package carries out.
func (p *Prober) Report(result schemas.Result) { p.reporter.report(result) }

// usualResult is more than the length of most results, in bytes.
const usualResult = 512

// report fills in type, id, time and host of a result and publishes it, unless it has
// no command or no receiver.
func (r *reporter) report(result schemas.Result) {
	if result.Relay == "" || !r.listened(r.subject) {
		return
	}
	result.Type = schemas.TypeResult
	result.ID = rand.Text()
	result.Time = time.Now().UTC()
	result.Host = r.host
	err := r.publish(r.subject, result.AppendJSON(make([]byte, 0, usualResult)))
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
