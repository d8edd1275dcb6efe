package probe

import "fmt"

// outcome is what became of a command, and a label of the counter.
type outcome string

const (
	probed             outcome = "probed"     // the target is looked for behind every slave
	known              outcome = "known"      // location already known
	malformed          outcome = "malformed"  // not a relay command
	otherHost          outcome = "other_host" // for another host
	otherLink          outcome = "other_link" // solicited on no interface of the relay, or on its only slave
	badTarget          outcome = "bad_target" // no address that a neighbour can have
	ownAddress         outcome = "own_address"
	duplicateDetection outcome = "duplicate_address_detection"
	expired            outcome = "expired"
	farAhead           outcome = "far_ahead" // expires too far ahead
	heldDown           outcome = "held_down" // the target was probed recently
	overBudget         outcome = "over_budget"
	notAnswered        outcome = "not_answered" // location known, but the requester could not be told
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
