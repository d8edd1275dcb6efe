package schemas

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/ndmon/ndmon/schemas/internal/wire"
)

// Severity is the severity of an alert.
type Severity string

// The severities, in rising order.
const (
	Info     Severity = "info"
	Warning  Severity = "warning"
	Critical Severity = "critical"
)

// Alert is the message nd.alert.v1 on nd.alerts: a rule matched an event. The order of the members
// is fixed, with the most important ones first for people who watch the alerts.
type Alert struct {
	Type string `json:"type" enum:"nd.alert.v1"`
	// Time is the event's time.
	Time      time.Time `json:"time"`
	Severity  Severity  `json:"severity" enum:"info,warning,critical"`
	Host      string    `json:"host"`
	Interface string    `json:"interface"`
	Rule      string    `json:"rule"`
	// Summary describes the event in one line.
	Summary     string `json:"summary"`
	Description string `json:"description"`
	// ID depends only on the rule and the event, so it is the same if the event is
	// delivered again. It is also the Nats-Msg-Id of the message.
	ID string `json:"id"`
	// Event is the event as it was published.
	Event json.RawMessage `json:"event"`
	// Count is the number of matches that the alert reports: one, and those that the threshold of
	// the rule has suppressed since the former alert. It is absent if it is 1.
	Count uint64 `json:"count,omitempty"`
	// Link is Event.Link, which rules use. It is not in Event, because that is what
	// the sensor published.
	Link *Link `json:"link,omitempty"`
}

var alertCodec = wire.NewCodec[Alert]()

// AppendJSON appends the alert as JSON. Event must be JSON; its white space is removed.
func (a *Alert) AppendJSON(b []byte) []byte { return alertCodec.Append(b, a) }

// ParseJSON reads an alert as strictly as Event.ParseJSON. Event is not looked at.
func (a *Alert) ParseJSON(data []byte) error { return alertCodec.Parse(data, a) }

// EveryHost as Relay.Host addresses every pinger, on SubjectRelayAll.
const EveryHost = "*"

// Relay is the message nd.relay.v1: a command to probe a target on the slave
// interfaces of one pinger (nd.relay.<host>) or of all (nd.relay), or to relay a router
// message to them.
type Relay struct {
	Type string `json:"type" enum:"nd.relay.v1"`
	ID   string `json:"id"`
	// Time is when the command was made. Pingers ignore it after Expires.
	Time    time.Time `json:"time"`
	Expires time.Time `json:"expires"`
	// Host is the pinger's, or EveryHost.
	Host string `json:"host"`
	// Target is the address to probe (see CheckTarget) or, with Router, the group that the
	// message goes to: ff02::1 or ff02::2.
	Target netip.Addr `json:"target"`
	// Rule and Event are the ids of the rule and of the event that caused the command.
	Rule  string `json:"rule,omitempty"`
	Event string `json:"event,omitempty"`
	// Solicitation is the one that the command relays, nil if there is none.
	Solicitation *Solicitation `json:"solicitation,omitempty"`
	// Now probes the target even if it was probed just before. Rate limits still apply.
	Now bool `json:"now,omitempty"`
	// Router makes it a command to relay a router message instead of probing a target.
	Router *RouterMessage `json:"router,omitempty"`
}

var relayCodec = wire.NewCodec[Relay]()

// AppendJSON appends the command as JSON.
func (r *Relay) AppendJSON(b []byte) []byte { return relayCodec.Append(b, r) }

// ParseJSON reads a command as strictly as Event.ParseJSON.
func (r *Relay) ParseJSON(data []byte) error { return relayCodec.Parse(data, r) }

// Solicitation is the Neighbor Solicitation that a command relays.
type Solicitation struct {
	// Host and Interface are where it was captured, as plain names.
	Host      string `json:"host"`
	Interface string `json:"interface"`
	Direction string `json:"direction" enum:"in,out"`
	// Source and Ethernet are the IPv6 and the Ethernet address of the requester.
	Source   netip.Addr `json:"source"`
	Ethernet MAC        `json:"ethernet"`
}

// The groups that router messages go to (RFC 4861, section 10).
var (
	AllNodes   = netip.MustParseAddr("ff02::1")
	AllRouters = netip.MustParseAddr("ff02::2")
)

// The values of RouterMessage.Message.
const (
	RouterAdvertisement = "advertisement"
	RouterSolicitation  = "solicitation"
)

// RouterMessage identifies a Router Advertisement that a master received and that the
// slaves' hosts may have, or a Router Solicitation that a slave received. The command does
// not carry the message: a pinger relays only what it has received itself.
type RouterMessage struct {
	// Host and Interface are where it was captured, as plain names.
	Host      string `json:"host"`
	Interface string `json:"interface"`
	Message   string `json:"message" enum:"advertisement,solicitation"`
	// Source and Ethernet are the IPv6 and the Ethernet address of the sender.
	Source   netip.Addr `json:"source"`
	Ethernet MAC        `json:"ethernet"`
	// Checksum is the ICMPv6 checksum of the message, which distinguishes it from others
	// of the sender.
	Checksum uint16 `json:"checksum"`
}

// Group returns the group that the message goes to.
func (m *RouterMessage) Group() netip.Addr {
	if m.Message == RouterSolicitation {
		return AllRouters
	}
	return AllNodes
}

// Status is the outcome of a relay command on one slave.
type Status string

// The values of Status.
const (
	Reachable   Status = "reachable"   // the target answered
	Unreachable Status = "unreachable" // the target did not answer in time
	Relayed     Status = "relayed"     // the router message was sent, or answered
	Suppressed  Status = "suppressed"  // not probed or relayed, because of the hold-down or a limit
	Failed      Status = "error"       // nothing could be sent, or the command was refused
)

// Reason is the reason for a Status, for programs.
type Reason string

// The values of Reason. The first two belong to Suppressed, the others to Failed.
const (
	HeldDown   Reason = "held_down"   // the target was probed just before, or is being probed; the router message was sent just before
	OverBudget Reason = "over_budget" // the rate limit is reached, or the neighbour table is too full
	NoRoute    Reason = "no_route"    // no route leads to the target through the slave
	SlaveDown  Reason = "slave_down"  // the slave does not exist, is down or cannot send
	NotSent    Reason = "not_sent"    // the kernel refused the probe
	Expired    Reason = "expired"     // the command arrived too late, or expires too far ahead
	Refused    Reason = "refused"     // the target cannot be probed, or the router message not relayed
)

// Result is the message nd.result.v1 on nd.results.<host>: the outcome of a relay
// command on one slave.
type Result struct {
	Type string    `json:"type" enum:"nd.result.v1"`
	ID   string    `json:"id"`
	Time time.Time `json:"time"`
	Host string    `json:"host"`
	// Relay is the id of the command, and Target is its target.
	Relay  string     `json:"relay"`
	Target netip.Addr `json:"target"`
	// Slave is the interface. It is empty if the command was refused or suppressed
	// for all slaves, and the configured pattern if no interface matches that.
	Slave  string `json:"slave"`
	Status Status `json:"status" enum:"reachable,unreachable,relayed,suppressed,error"`
	// RTT is the time from the probe to its answer, in the format of time.Duration.
	// The probe is a solicitation, or an echo request if only that can be sent. RTT
	// is absent if the location of the target was already known, or if the target
	// answered the kernel's solicitation but not the echo request.
	RTT string `json:"rtt,omitempty"`
	// Ethernet is the target's address on the link.
	Ethernet *MAC `json:"ethernet,omitempty"`
	// Proxied is true if the answer has no override flag (RFC 4861, section 7.2.8):
	// a proxy, such as another relay, answered for the target, or the target is an
	// anycast address.
	Proxied bool `json:"proxied,omitempty"`
	// Reason and Error are the reason for programs and for people: of Suppressed and Failed, and of
	// a Reachable target that could not be entered into the kernel's tables.
	Reason Reason `json:"reason,omitempty" enum:"held_down,over_budget,no_route,slave_down,not_sent,expired,refused"`
	Error  string `json:"error,omitempty"`
}

var resultCodec = wire.NewCodec[Result]()

// AppendJSON appends the result as JSON.
func (r *Result) AppendJSON(b []byte) []byte { return resultCodec.Append(b, r) }

// CheckTarget returns an error for an address that cannot be the target of a
// relay command. A target must be a unicast address that is valid on every link.
func CheckTarget(a netip.Addr) error {
	switch {
	case !a.IsValid():
		return errors.New("the address is missing")
	case !a.Is6() || a.Is4In6():
		return fmt.Errorf("%v is not an IPv6 address", a)
	case a.IsLinkLocalUnicast():
		return fmt.Errorf("%v is a link-local address, which means another host on every link", a)
	case a.Zone() != "":
		return fmt.Errorf("%v has a zone", a)
	case a.IsUnspecified():
		return fmt.Errorf("%v is the unspecified address", a)
	case a.IsLoopback():
		return fmt.Errorf("%v is the loopback address", a)
	case a.IsMulticast():
		return fmt.Errorf("%v is a multicast address", a)
	}
	return nil
}
