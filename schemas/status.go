package schemas

import (
	"time"

	"github.com/ndmon/ndmon/schemas/internal/wire"
)

// TypeStatus is the value of the member "type" of a DaemonStatus.
const TypeStatus = "nd.status.v1"

// The services of the daemons on NATS.
const (
	ServiceSensor = "nd-sensor"
	ServicePinger = "nd-pinger"
	ServiceRuled  = "nd-ruled"
	ServiceNdmon  = "ndmon"
)

// StatusSubject returns the subject on which the service of a host answers with its status.
func StatusSubject(service, host string) string {
	return "$SRV.STATUS." + service + "." + EscapeToken(host)
}

// DaemonStatus is the message nd.status.v1: how a daemon is. It is the answer of its service on
// StatusSubject, and the data of that endpoint in the answer to $SRV.STATS.
type DaemonStatus struct {
	Type string `json:"type" enum:"nd.status.v1"`
	ID   string `json:"id"`
	// Time is when the daemon answers, by the clock of its host.
	Time    time.Time `json:"time"`
	Host    string    `json:"host"`
	Part    string    `json:"part" enum:"nd-sensor,nd-pinger,nd-ruled,ndmon"`
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	State   string    `json:"state" enum:"ok,degraded"`
	// Faults are the reasons why it is degraded, in words.
	Faults []string `json:"faults,omitempty"`
	// Interfaces are those that are captured, Slaves those that are usable.
	Interfaces []string `json:"interfaces,omitempty"`
	Slaves     []string `json:"slaves,omitempty"`
	// Frames counts the frames of Neighbor Discovery on each of these interfaces, since its capture began.
	Frames []InterfaceFrames `json:"frames,omitempty"`
	// Newest is the time of the newest event: captured or, by nd-ruled, evaluated.
	Newest *time.Time `json:"newest,omitempty"`
	// Lost counts the frames that were lost since the start, the last of them at LastLost.
	Lost     uint64     `json:"lost,omitempty"`
	LastLost *time.Time `json:"lastlost,omitempty"`
	// Rules are those that nd-ruled or ndmon evaluates.
	Rules *RulesStatus `json:"rules,omitempty"`
	// Partitions are those of the stream of events that nd-ruled evaluates.
	Partitions []uint32 `json:"partitions,omitempty"`
	// Silent are parts of other hosts that nd-ruled no longer hears, at most MaxSilent.
	Silent []SilentPart `json:"silent,omitempty"`
}

// InterfaceFrames counts frames of an interface.
type InterfaceFrames struct {
	Interface string `json:"interface"`
	Frames    uint64 `json:"frames"`
}

// MaxSilent bounds DaemonStatus.Silent.
const MaxSilent = 1000

// RulesStatus says which rules are in force.
type RulesStatus struct {
	// Source is "built-in", "bucket", or the path of a file.
	Source string `json:"source"`
	// Revision is that of the bucket of rules.
	Revision uint64 `json:"revision,omitempty"`
	// Refused says which newer rules are not in force, and why.
	Refused string `json:"refused,omitempty"`
}

// SilentPart is a sensor or a pinger that has published heartbeats and no longer does.
type SilentPart struct {
	Host string `json:"host"`
	Part string `json:"part" enum:"sensor,pinger"`
	// Heard is when it was heard last. Stopped says that it ended in order then.
	Heard   time.Time `json:"heard"`
	Stopped bool      `json:"stopped,omitempty"`
}

var statusCodec = wire.NewCodec[DaemonStatus]()

// AppendJSON appends the status as JSON.
func (s *DaemonStatus) AppendJSON(b []byte) []byte { return statusCodec.Append(b, s) }

// ParseJSON reads a status as strictly as Event.ParseJSON.
func (s *DaemonStatus) ParseJSON(data []byte) error { return statusCodec.Parse(data, s) }
