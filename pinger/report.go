package pinger

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
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

// report publishes a result, whose type, id, time and host it fills in.
func (r *reporter) report(result schemas.Result) {
	result.Type = schemas.TypeResult
	result.ID = fmt.Sprintf("%016x%016x", rand.Uint64(), rand.Uint64())
	result.Time = time.Now().UTC()
	result.Host = r.host
	data, err := json.Marshal(&result)
	if err == nil {
		err = r.bus.Publish(r.subject, data)
	}
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
	r.report(schemas.Result{Relay: relay, Target: target, Status: why.status(), Error: why.why})
}

// failed reports that no echo could leave by a slave.
func (r *reporter) failed(relay string, target netip.Addr, slave, why string) {
	r.report(schemas.Result{Relay: relay, Target: target, Slave: slave, Status: schemas.Failed, Error: why})
}

// answered reports a probe that was answered. Without a round-trip time it was
// the solicitation that was answered and not the echo.
func (r *reporter) answered(p *probe, rtt time.Duration, n neighbour) {
	result := schemas.Result{Relay: p.relay, Target: p.target, Slave: p.slave.name, Status: schemas.Reachable, Ethernet: n.mac}
	if rtt > 0 {
		result.RTT = rtt.Round(time.Microsecond).String()
	}
	r.report(result)
}

// unanswered reports a probe that was not.
func (r *reporter) unanswered(p *probe) {
	r.report(schemas.Result{Relay: p.relay, Target: p.target, Slave: p.slave.name, Status: schemas.Unreachable})
}
