package schemas

import (
	"encoding/json"
	"net/netip"
	"time"

	"github.com/ndmon/ndmon/schemas/internal/wire"
)

// Severity grades an alert.
type Severity string

// The severities, in rising order.
const (
	Info     Severity = "info"
	Warning  Severity = "warning"
	Critical Severity = "critical"
)

// Alert is the message nd.alert.v1 on nd.alerts: a rule matched an event. The
// members keep this order, so that somebody who tails the alerts reads the
// point first.
type Alert struct {
	// Type is TypeAlert.
	Type string `json:"type" enum:"nd.alert.v1"`
	// Time is the event's time.
	Time     time.Time `json:"time"`
	Severity Severity  `json:"severity" enum:"info,warning,critical"`
	// Host and Interface are the event's.
	Host      string `json:"host"`
	Interface string `json:"interface"`
	// Rule is the rule's id.
	Rule string `json:"rule"`
	// Summary says in one line what happened.
	Summary string `json:"summary"`
	// Description is the rule's.
	Description string `json:"description"`
	// ID is the same for the same rule and event, however often the event is
	// delivered; it is the message's Nats-Msg-Id too.
	ID string `json:"id"`
	// Event is the whole event, as it was published.
	Event json.RawMessage `json:"event"`
	// Count is how many matches of the rule the alert stands for, itself and
	// those that its threshold has suppressed since the alert before it. It is
	// absent where that is 1.
	Count uint64 `json:"count,omitempty"`
	// Link is what ruled knows of the link that bears on the event. It is here and
	// not in the event, as the fields of rules have it, so that the event is what
	// the sensor has published.
	Link *Link `json:"link,omitempty"`
}

var alertCodec = wire.NewCodec[Alert]()

// AppendJSON appends the alert as JSON. Event must be JSON; its white space is
// removed.
func (a *Alert) AppendJSON(b []byte) []byte { return alertCodec.Append(b, a) }

// EveryHost in Relay.Host is a command to every pinger, on SubjectRelayAll.
const EveryHost = "*"

// Relay is the message nd.relay.v1 on nd.relay.<host>: a command to that host's
// pinger to look for a target behind its slaves; or on nd.relay, to all pingers.
type Relay struct {
	// Type is TypeRelay.
	Type string `json:"type" enum:"nd.relay.v1"`
	ID   string `json:"id"`
	// Time is when the command was given, Expires when it loses its worth.
	Time    time.Time `json:"time"`
	Expires time.Time `json:"expires"`
	// Host is the pinger's, or EveryHost.
	Host string `json:"host"`
	// Target is the address to look for.
	Target netip.Addr `json:"target"`
	// Rule is the id of the rule, Event that of the event that gave the command.
	Rule  string `json:"rule,omitempty"`
	Event string `json:"event,omitempty"`
	// Solicitation is what asked for the target; nil when nobody did on the wire.
	Solicitation *Solicitation `json:"solicitation,omitempty"`
	// Now has the target probed although it was just now. Budgets still hold.
	Now bool `json:"now,omitempty"`
}

var relayCodec = wire.NewCodec[Relay]()

// AppendJSON appends the command as JSON.
func (r *Relay) AppendJSON(b []byte) []byte { return relayCodec.Append(b, r) }

// ParseJSON reads a command as strictly as Event.ParseJSON.
func (r *Relay) ParseJSON(data []byte) error { return relayCodec.Parse(data, r) }

// Solicitation is the Neighbor Solicitation that a relay command stands for.
type Solicitation struct {
	// Host and Interface say where it was captured, as plain names.
	Host      string `json:"host"`
	Interface string `json:"interface"`
	// Direction is In or Out.
	Direction string `json:"direction" enum:"in,out"`
	// Source and Ethernet are its IPv6 and its Ethernet source: who asks.
	Source   netip.Addr `json:"source"`
	Ethernet MAC        `json:"ethernet"`
}

// Status says what came of a relay command on one slave.
type Status string

// The statuses.
const (
	// Reachable: the target answered.
	Reachable Status = "reachable"
	// Unreachable: it did not answer in time.
	Unreachable Status = "unreachable"
	// Suppressed: it was not looked for, because of the hold-down or the budget.
	Suppressed Status = "suppressed"
	// Failed: it could not be looked for, or the command was refused.
	Failed Status = "error"
)

// Reason says why a result is what it is, for programs.
type Reason string

// The reasons. The first two are those of Suppressed, the others of Failed.
const (
	// HeldDown: the target was probed just now, or is being probed.
	HeldDown Reason = "held_down"
	// OverBudget: the probes of a second are used up, or the neighbour table is
	// too full.
	OverBudget Reason = "over_budget"
	// NoRoute: no route through the slave leads to the target.
	NoRoute Reason = "no_route"
	// SlaveDown: the slave does not exist, is down or cannot send.
	SlaveDown Reason = "slave_down"
	// NotSent: the kernel refused the probe.
	NotSent Reason = "not_sent"
	// Expired: the command came too late, or expires too far ahead.
	Expired Reason = "expired"
	// Refused: the target is none that can be looked for.
	Refused Reason = "refused"
)

// Result is the message nd.result.v1 on nd.results.<host>: what came of a relay
// command on one slave.
type Result struct {
	// Type is TypeResult.
	Type string    `json:"type" enum:"nd.result.v1"`
	ID   string    `json:"id"`
	Time time.Time `json:"time"`
	Host string    `json:"host"`
	// Relay is the command's id, Target its target.
	Relay  string     `json:"relay"`
	Target netip.Addr `json:"target"`
	// Slave is the interface; it is empty in a result for a command that was
	// refused or suppressed as a whole, and the configured pattern where no
	// interface fits that.
	Slave  string `json:"slave"`
	Status Status `json:"status" enum:"reachable,unreachable,suppressed,error"`
	// RTT is the time from the probe to its answer, as time.Duration writes it: of
	// the solicitation, or of the echo where only an echo can be sent. It is absent
	// where the target was known already, and where it did not answer the echo but
	// the kernel's solicitation.
	RTT string `json:"rtt,omitempty"`
	// Ethernet is the target's address on the link.
	Ethernet *MAC `json:"ethernet,omitempty"`
	// Proxied is true where somebody answered for the target: the override flag
	// was clear (RFC 4861, section 7.2.8), as another relay has it. The target
	// lives elsewhere, or is an anycast address.
	Proxied bool `json:"proxied,omitempty"`
	// Reason and Error say why, to programs and to people: for Suppressed and
	// Failed, and where a target is Reachable and the kernel could not be told of
	// it.
	Reason Reason `json:"reason,omitempty" enum:"held_down,over_budget,no_route,slave_down,not_sent,expired,refused"`
	Error  string `json:"error,omitempty"`
}

var resultCodec = wire.NewCodec[Result]()

// AppendJSON appends the result as JSON.
func (r *Result) AppendJSON(b []byte) []byte { return resultCodec.Append(b, r) }
