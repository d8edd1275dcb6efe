package pinger

import (
	"encoding/json"
	"fmt"
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
	probed             outcome = "probed"     // the target is looked for behind every slave
	known              outcome = "known"      // where the target is was known
	malformed          outcome = "malformed"  // not a relay command
	otherHost          outcome = "other_host" // meant for another host
	otherLink          outcome = "other_link" // asked on no interface of the relay, or on its only slave
	badTarget          outcome = "bad_target" // no address that a neighbour could have
	ownAddress         outcome = "own_address"
	duplicateDetection outcome = "duplicate_address_detection"
	expired            outcome = "expired"
	farAhead           outcome = "far_ahead" // expires too far ahead
	heldDown           outcome = "held_down" // the target was probed just now
	overBudget         outcome = "over_budget"
	notAnswered        outcome = "not_answered" // known, but who asks could not be told
)

// outcomes lists all of them, so that each is counted from 0 on.
var outcomes = [...]outcome{probed, known, malformed, otherHost, otherLink, badTarget, ownAddress, duplicateDetection,
	expired, farAhead, heldDown, overBudget, notAnswered}

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

// status and reason are those of the result.
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

// parseCommand reads a relay command. It is as far as it could be read when it is
// refused.
func parseCommand(data []byte) (schemas.Relay, *refusal) {
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
	return cmd, nil
}

// checkCommand refuses a command for all that can be seen without knowing the
// host's state.
func checkCommand(cmd *schemas.Relay, host string, now time.Time) *refusal {
	switch {
	case cmd.Type != schemas.TypeRelay:
		return refuse(malformed, "type is %q and not %q", cmd.Type, schemas.TypeRelay)
	case cmd.ID == "" || len(cmd.ID) > maxID:
		return refuse(malformed, "id has %d bytes, it takes 1 to %d", len(cmd.ID), maxID)
	case cmd.Time.IsZero() || cmd.Expires.IsZero():
		return refuse(malformed, "time or expires is missing")
	case cmd.Host != host && cmd.Host != schemas.EveryHost:
		return refuse(otherHost, "for host %q, this is %q", cmd.Host, host)
	}
	if err := schemas.CheckTarget(cmd.Target); err != nil {
		return refuse(badTarget, "target: %v", err)
	}
	if !now.Before(cmd.Expires) {
		return refuse(expired, "expired %v ago by this host's clock", now.Sub(cmd.Expires).Round(time.Millisecond))
	}
	if ahead := cmd.Expires.Sub(now); ahead > maxAhead {
		return refuse(farAhead, "expires in %v by this host's clock, at most %v is taken", ahead.Round(time.Second), maxAhead)
	}
	return nil
}
