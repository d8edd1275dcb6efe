package advert

import (
	"github.com/ndmon/ndmon/schemas"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// outcome says what came of a router message on one slave, or of a command.
type outcome uint8

const (
	relayed     outcome = iota // sent to the hosts behind a slave
	answered                   // a host's solicitation was answered
	solicited                  // a host's solicitation was passed on to the masters only
	heldDown                   // the same was sent just before
	overBudget                 // too many messages, or too many routers
	loop                       // another proxy advertises on the slave's link
	proxied                    // another proxy's, and the link has a router of its own
	ambiguous                  // two messages that the command cannot tell apart
	notReceived                // the pinger did not receive it before the command expired
	otherLink                  // received on no interface of the relay, or by another host
	unusable                   // the slave has no link-local address, or no Ethernet
	slaveDown                  // the slave is out of use
	tooBig                     // larger than the slave's MTU
	notSent                    // the kernel did not accept it
	outcomes                   // the number of them
)

var names = [outcomes]struct {
	label  string
	status schemas.Status
	reason schemas.Reason
	why    string
}{
	relayed:     {"relayed", schemas.Relayed, "", ""},
	answered:    {"answered", schemas.Relayed, "", ""},
	solicited:   {"solicited", schemas.Relayed, "", ""},
	heldDown:    {"held_down", schemas.Suppressed, schemas.HeldDown, "the same was sent less than 3 s ago"},
	overBudget:  {"over_budget", schemas.Suppressed, schemas.OverBudget, "there are too many router messages"},
	loop:        {"loop", schemas.Failed, schemas.Refused, "another proxy advertised on the link of this slave in the last 60 minutes"},
	proxied:     {"proxied", schemas.Failed, schemas.Refused, "it comes from another proxy, and the master's link has a router of its own"},
	ambiguous:   {"ambiguous", schemas.Failed, schemas.Refused, "two different advertisements of the router have the same checksum"},
	notReceived: {"not_received", schemas.Failed, schemas.Expired, "the pinger did not receive this advertisement itself"},
	otherLink:   {"other_link", schemas.Failed, schemas.Refused, "an advertisement must be received on a master of this host, and a solicitation on a slave"},
	unusable:    {"unusable", schemas.Failed, schemas.Refused, "the slave has no link-local address, or no Ethernet frames"},
	slaveDown:   {"slave_down", schemas.Failed, schemas.SlaveDown, "the slave is out of use"},
	tooBig:      {"too_big", schemas.Failed, schemas.NotSent, "it is larger than the MTU of the slave"},
	notSent:     {"not_sent", schemas.Failed, schemas.NotSent, "the kernel did not accept it"},
}

// Metrics count what came of router messages.
type Metrics struct {
	messages [outcomes]prometheus.Counter
	dropped  prometheus.Counter
}

// NewMetrics registers the metrics. It panics if they are registered already.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	auto := promauto.With(registry)
	messages := auto.NewCounterVec(prometheus.CounterOpts{
		Name: "nd_pinger_router_messages_total",
		Help: "Router Advertisements by outcome on each slave, and Router Solicitations by outcome.",
	}, []string{"outcome"})
	m := &Metrics{dropped: auto.NewCounter(prometheus.CounterOpts{
		Name: "nd_pinger_router_messages_dropped_total",
		Help: "Router Advertisements received on masters, and commands to relay them, that were dropped because too many waited for each other.",
	})}
	for o := range outcomes { // so that each is counted from 0 on
		m.messages[o] = messages.WithLabelValues(names[o].label)
	}
	return m
}
