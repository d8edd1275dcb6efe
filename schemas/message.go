package schemas

import (
	"encoding/json"
	"net/netip"
	"time"
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
	Type string `json:"type"`
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

// Relay is the message nd.relay.v1 on nd.relay.<host>: a command to that host's
// pinger to look for a target behind its slaves.
type Relay struct {
	// Type is TypeRelay.
	Type string `json:"type"`
	ID   string `json:"id"`
	// Time is when the command was given, Expires when it loses its worth.
	Time    time.Time `json:"time"`
	Expires time.Time `json:"expires"`
	Host    string    `json:"host"`
	// Target is the address to look for.
	Target netip.Addr `json:"target"`
	// Rule is the id of the rule, Event that of the event that gave the command.
	Rule  string `json:"rule,omitempty"`
	Event string `json:"event,omitempty"`
}

// Status says what came of a relay command on one slave.
type Status string

// The statuses.
const (
	// Reachable: the target answered.
	Reachable Status = "reachable"
	// Unreachable: it did not answer in time.
	Unreachable Status = "unreachable"
	// Suppressed: no echo was sent, because of the hold-down or the budget.
	Suppressed Status = "suppressed"
	// Failed: the echo could not be sent, or the command was refused.
	Failed Status = "error"
)

// Result is the message nd.result.v1 on nd.results.<host>: what came of a relay
// command on one slave.
type Result struct {
	// Type is TypeResult.
	Type string    `json:"type"`
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
	// RTT is the round-trip time of the echo, as time.Duration writes it. It is
	// absent where a reachable target answered the kernel's solicitation but not
	// the echo.
	RTT string `json:"rtt,omitempty"`
	// Ethernet is the neighbour's address in the kernel's table.
	Ethernet *MAC `json:"ethernet,omitempty"`
	// Error says why, for Suppressed and Failed.
	Error string `json:"error,omitempty"`
}
