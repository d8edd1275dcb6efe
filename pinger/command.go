package pinger

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"github.com/ndmon/ndmon/schemas"
)

const (
	// maxCommand is the largest command in bytes; one that ruled makes has
	// some 300.
	maxCommand = 4096
	// maxID is the longest id of a command in bytes; it is kept while its
	// echoes wait.
	maxID = 128
	// maxAhead is how far ahead a command may expire. Only a forged one, or a
	// clock that is wrong, reaches further.
	maxAhead = 24 * time.Hour
)

// outcome is what became of a command, and a label of the counter.
type outcome string

const (
	probed     outcome = "probed"      // an echo was tried on every slave
	malformed  outcome = "malformed"   // not a relay command
	otherHost  outcome = "other_host"  // meant for another host
	badTarget  outcome = "bad_target"  // no address that a neighbour could have
	ownAddress outcome = "own_address" // the target is this host
	expired    outcome = "expired"
	farAhead   outcome = "far_ahead" // expires too far ahead
	heldDown   outcome = "held_down" // the target was probed just now
	overRate   outcome = "over_rate"
)

// outcomes lists all of them, so that each counter shows from the start.
var outcomes = [...]outcome{probed, malformed, otherHost, badTarget, ownAddress, expired, farAhead, heldDown, overRate}

// refusal says why a command is not carried out.
type refusal struct {
	outcome outcome
	why     string
}

func refuse(o outcome, format string, args ...any) *refusal {
	return &refusal{outcome: o, why: fmt.Sprintf(format, args...)}
}

// told reports whether a result says so: for what can be read and was meant for
// this host.
func (r *refusal) told() bool { return r.outcome != malformed && r.outcome != otherHost }

// status is the one of the result.
func (r *refusal) status() schemas.Status {
	if r.outcome == heldDown || r.outcome == overRate {
		return schemas.Suppressed
	}
	return schemas.Failed
}

// parseCommand reads a relay command for host and checks all that can be
// checked without knowing the host's state. The command is as far as it could be
// read when it is refused.
func parseCommand(data []byte, host string, now time.Time) (schemas.Relay, *refusal) {
	var cmd schemas.Relay
	if len(data) > maxCommand {
		return cmd, refuse(malformed, "%d bytes, at most %d are read", len(data), maxCommand)
	}
	// What is not as ruled writes it is read again by encoding/json, which is
	// slower and takes more: who wrote it is told what is wrong.
	if cmd.ParseJSON(data) != nil {
		cmd = schemas.Relay{}
		if err := json.Unmarshal(data, &cmd); err != nil {
			return cmd, refuse(malformed, "%v", err)
		}
	}
	switch {
	case cmd.Type != schemas.TypeRelay:
		return cmd, refuse(malformed, "type is %q and not %q", cmd.Type, schemas.TypeRelay)
	case cmd.ID == "" || len(cmd.ID) > maxID:
		return cmd, refuse(malformed, "id has %d bytes, it takes 1 to %d", len(cmd.ID), maxID)
	case cmd.Time.IsZero() || cmd.Expires.IsZero():
		return cmd, refuse(malformed, "time or expires is missing")
	case cmd.Host != host:
		return cmd, refuse(otherHost, "for host %q, this is %q", cmd.Host, host)
	}
	if why := notNeighbour(cmd.Target); why != "" {
		return cmd, refuse(badTarget, "target %v %s", cmd.Target, why)
	}
	if !now.Before(cmd.Expires) {
		return cmd, refuse(expired, "expired %v ago by this host's clock", now.Sub(cmd.Expires).Round(time.Millisecond))
	}
	if ahead := cmd.Expires.Sub(now); ahead > maxAhead {
		return cmd, refuse(farAhead, "expires in %v by this host's clock, at most %v is taken", ahead.Round(time.Second), maxAhead)
	}
	return cmd, nil
}

// notNeighbour says why no echo can look for the address behind a slave, or
// returns "".
func notNeighbour(a netip.Addr) string {
	switch {
	case !a.IsValid():
		return "is missing"
	case !a.Is6() || a.Is4In6():
		return "is not an IPv6 address"
	case a.Zone() != "":
		return "has a zone"
	case a.IsUnspecified():
		return "is the unspecified address"
	case a.IsLoopback():
		return "is the loopback address"
	case a.IsMulticast():
		return "is a multicast address"
	case a.IsLinkLocalUnicast():
		return "is a link-local address, which means another host on every link"
	}
	return ""
}
