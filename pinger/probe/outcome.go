package probe

import "fmt"

// outcome says how a command was dealt with.
type outcome uint8

const (
	probed    outcome = iota // the target is looked for behind every slave
	known                    // location already known
	malformed                // not a relay command
	otherHost                // for another host
	otherLink                // solicited on no interface of the relay, or on its only slave
	badTarget                // no address that a neighbour can have
	ownAddress
	duplicateDetection
	expired
	farAhead      // expires too far ahead
	heldDown      // the target was probed recently
	overBudget    // or too many probes wait
	routerMessage // handed over to package advert
	routersOff    // router messages are not relayed
	notAnswered   // location known, but no answer could be sent to the requester
	outcomes      // the number of them
)

// String returns the value of the counter's label.
func (o outcome) String() string {
	return [outcomes]string{"probed", "known", "malformed", "other_host", "other_link", "bad_target", "own_address",
		"duplicate_address_detection", "expired", "far_ahead", "held_down", "over_budget", "router_message", "routers_off", "not_answered"}[o]
}

// refusal says why a command is not carried out, in words that are put together only
// for a reader.
type refusal struct {
	outcome outcome
	format  string
	args    []any
}

func refuse(o outcome, format string, args ...any) *refusal {
	return &refusal{o, format, args}
}

func (r *refusal) why() string { return fmt.Sprintf(r.format, r.args...) }
