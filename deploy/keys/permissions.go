package keys

import "github.com/ndmon/ndmon/schemas"

// Role is what a user of the fleet's NATS server is there for.
type Role string

// The roles. A sensor and a pinger belong to a host, the others are there once.
const (
	// Sensor publishes its own host's events.
	Sensor Role = "sensor"
	// Pinger takes its own host's relay commands and publishes their results.
	Pinger Role = "pinger"
	// Ruled evaluates the events of all hosts. It makes the streams, and keeps its
	// state in them.
	Ruled Role = "ruled"
	// Viewer reads alerts and nothing else.
	Viewer Role = "viewer"
	// Operator sends relay commands and reads their results.
	Operator Role = "operator"
)

// user is somebody who may connect to the server.
type user struct {
	role Role
	host string // of a sensor or pinger
	key  string // the public key
}

// Subjects of the commands for single hosts, and of the requests to store states.
const (
	relays = "nd.relay.*"
	states = "nd.state.*"
)

// permissions are the subjects that a user may publish on and subscribe to.
// Whoever asks the server for something needs an inbox for the answer: each user
// has its own, see bus.Connect.
func (u user) permissions() (publish, subscribe []string) {
	inbox := "_INBOX." + u.key + ".>"
	switch u.role {
	case Sensor:
		return []string{"nd.events." + schemas.EscapeToken(u.host) + ".*.*"}, []string{inbox}
	case Pinger:
		return []string{schemas.ResultSubject(u.host)}, []string{schemas.RelaySubject(u.host), schemas.SubjectRelayAll}
	case Ruled:
		return ruledPublishes(inbox), []string{schemas.SubjectEvents, states, inbox}
	case Viewer:
		// Not by a consumer, as streams are mostly read: who may make one may have
		// it deliver to any subject.
		return api("STREAM.INFO.ND_ALERTS", "STREAM.MSG.GET.ND_ALERTS"), []string{schemas.SubjectAlerts, inbox}
	case Operator:
		return []string{schemas.SubjectRelayAll, relays}, []string{schemas.SubjectResults, inbox}
	}
	return nil, nil
}

// ruledPublishes also has what nd-ruled neighbors needs, which asks the running
// nd-ruled for its state with the same key.
func ruledPublishes(inbox string) []string {
	return append([]string{schemas.SubjectAlerts, schemas.SubjectRelayAll, relays, states, inbox,
		"$JS.ACK.ND_EVENTS.>", "$O.ND_STATE.>", "$JS.FC.OBJ_ND_STATE.>"},
		api(
			"STREAM.INFO.ND_EVENTS", "STREAM.CREATE.ND_EVENTS",
			"CONSUMER.CREATE.ND_EVENTS.>", "CONSUMER.RESET.ND_EVENTS.*", "CONSUMER.MSG.NEXT.ND_EVENTS.*", "CONSUMER.DELETE.ND_EVENTS.*",
			"STREAM.INFO.ND_ALERTS", "STREAM.CREATE.ND_ALERTS",
			"CONSUMER.CREATE.ND_ALERTS.>", "CONSUMER.MSG.NEXT.ND_ALERTS.*", "CONSUMER.DELETE.ND_ALERTS.*",
			"STREAM.INFO.OBJ_ND_STATE", "STREAM.CREATE.OBJ_ND_STATE", "STREAM.UPDATE.OBJ_ND_STATE", "STREAM.PURGE.OBJ_ND_STATE",
			"DIRECT.GET.OBJ_ND_STATE.>", "CONSUMER.CREATE.OBJ_ND_STATE.>", "CONSUMER.DELETE.OBJ_ND_STATE.*",
		)...)
}

func api(subjects ...string) []string {
	for i := range subjects {
		subjects[i] = "$JS.API." + subjects[i]
	}
	return subjects
}
