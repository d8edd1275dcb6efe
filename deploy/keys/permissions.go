package keys

import (
	"slices"

	"github.com/ndmon/ndmon/schemas"
)

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
	// Exporter reads all alerts and events without a gap, by the durable consumers
	// schemas.ConsumerExporter.
	Exporter Role = "exporter"
	// Admin may do everything with the streams, System watch and manage the server.
	Admin  Role = "admin"
	System Role = "system"

	// guest is whoever connects to an ndmon of one router without a key: a viewer
	// that also sees the events.
	guest Role = "guest"
	// plainGuest is that where there is no copy of the alerts.
	plainGuest Role = "plain-guest"
)

// single are the roles that a fleet has one user of.
var single = []Role{Ruled, Viewer, Operator, Exporter, Admin, System}

// The accounts that store something, and the server's own. Every other role has an
// account of its own.
const (
	// mainAccount has the streams, and all subjects of the contract.
	mainAccount = "NDMON"
	// copyAccount has a copy of the alerts, and no users. A consumer may deliver to
	// any subject of its account (NATS has no permission for that), so a viewer
	// makes consumers where there is nothing else.
	copyAccount   = "READERS"
	systemAccount = "$SYS"
)

// user is a user of the server.
type user struct {
	role Role
	host string // of a sensor or pinger
	key  string // the public key
}

// account returns the name of a role's account. NATS does not check where the answer
// to a request is sent: a user in the account of the streams could have the server
// write its answers to any subject there. In another account they stay there, wherever
// it sends them. The accounts are the same whatever hosts there are, for a server that
// reloads its configuration does not serve the requests of an account that is new.
func (r Role) account() string {
	switch r {
	case Ruled, Admin:
		return mainAccount
	case System:
		return systemAccount
	case Sensor, Pinger:
		return string(r) + "s"
	}
	return string(r)
}

// right is a subject of another account that one may publish on, or subscribe to.
type right struct {
	account, subject string
	// many says that a request has any number of answers.
	many bool
}

const (
	hostEvents  = "nd.events.*.*.*"
	hostRelays  = "nd.relay.*"
	hostResults = "nd.results.*"
	states      = "nd.state.*"
	inbox       = "_INBOX.>"
	// whoAmI tells users of themselves (nats account info).
	whoAmI = "$SYS.REQ.USER.INFO"
)

// rights returns what the account of a role may ask of others, and what it may hear of
// them. An account that has a part of another's JetStream API needs INFO of it too:
// without, the server lets it have the API of its own, which answers first that there
// is none.
func (r Role) rights() (publish, subscribe []right) {
	switch r {
	case Sensor:
		return of(mainAccount, hostEvents), nil
	case Pinger:
		return nil, append(of(mainAccount, schemas.SubjectRelayAll, hostRelays), of(Operator.account(), schemas.SubjectRelayAll, hostRelays)...)
	case Operator:
		return nil, of(Pinger.account(), hostResults)
	case Viewer:
		return readCopy(), append(of(mainAccount, schemas.SubjectAlerts), of(copyAccount, inbox)...)
	case guest:
		return readCopy(), append(of(mainAccount, schemas.SubjectAlerts, schemas.SubjectEvents), of(copyAccount, inbox)...)
	case plainGuest:
		return of(mainAccount, api("INFO", "STREAM.NAMES", "STREAM.INFO.ND_ALERTS", "STREAM.MSG.GET.ND_ALERTS")...),
			of(mainAccount, schemas.SubjectAlerts, schemas.SubjectEvents)
	case Exporter:
		publish = of(mainAccount, api("INFO", "STREAM.NAMES")...)
		for _, stream := range []string{schemas.StreamAlerts, schemas.StreamEvents} {
			consumer := stream + "." + schemas.ConsumerExporter
			publish = append(publish, of(mainAccount, "$JS.API.STREAM.INFO."+stream, "$JS.API.CONSUMER.INFO."+consumer, "$JS.ACK."+consumer+".>")...)
			publish = append(publish, right{mainAccount, "$JS.API.CONSUMER.MSG.NEXT." + consumer, true})
		}
		return publish, nil
	case Ruled:
		return nil, append(of(Operator.account(), schemas.SubjectRelayAll, hostRelays), of(Pinger.account(), hostResults)...)
	}
	return nil, nil
}

// readCopy is everything that reads the copy of the alerts. The names of streams
// are those of the account that it is a copy of: a copy takes no subject, and
// clients look for the stream of nd.alerts.
func readCopy() []right {
	return slices.Concat(
		of(mainAccount, "$JS.API.STREAM.NAMES"),
		of(copyAccount, api("INFO", "STREAM.LIST", "STREAM.INFO.ND_ALERTS", "STREAM.MSG.GET.ND_ALERTS",
			"CONSUMER.CREATE.ND_ALERTS", "CONSUMER.CREATE.ND_ALERTS.>", "CONSUMER.INFO.ND_ALERTS.*", "CONSUMER.DELETE.ND_ALERTS.*",
			"CONSUMER.LIST.ND_ALERTS", "CONSUMER.NAMES.ND_ALERTS")...),
		[]right{{copyAccount, "$JS.API.CONSUMER.MSG.NEXT.ND_ALERTS.*", true}},
		of(copyAccount, "$JS.ACK.ND_ALERTS.>", "$JS.FC.ND_ALERTS.>"))
}

func of(account string, subjects ...string) []right {
	list := make([]right, len(subjects))
	for i, s := range subjects {
		list[i] = right{account: account, subject: s}
	}
	return list
}

// permissions are the subjects that a user may publish on and subscribe to; both nil
// for one that may do everything in its account.
func (u user) permissions() (publish, subscribe []string) {
	// Where users share an account, each gets answers to an inbox of its own, see
	// bus.Connect.
	own := "_INBOX." + u.key + ".>"
	switch u.role {
	case Admin, System:
		return nil, nil
	case Sensor:
		return []string{"nd.events." + schemas.EscapeToken(u.host) + ".*.*"}, []string{own}
	case Pinger:
		return []string{schemas.ResultSubject(u.host)}, []string{schemas.RelaySubject(u.host), schemas.SubjectRelayAll, own}
	case Operator:
		return []string{schemas.SubjectRelayAll, hostRelays, whoAmI}, []string{schemas.SubjectResults, inbox}
	case Ruled:
		return ruledPublishes(own), []string{schemas.SubjectEvents, states, schemas.SubjectDeleted, own}
	}
	services, streams := u.role.rights()
	for _, r := range services {
		publish = append(publish, r.subject)
	}
	publish = append(publish, whoAmI)
	for _, r := range streams {
		subscribe = append(subscribe, r.subject)
	}
	if !slices.Contains(subscribe, inbox) {
		subscribe = append(subscribe, inbox)
	}
	return publish, subscribe
}

// ruledPublishes also has what nd-ruled neighbors needs, which asks the running
// nd-ruled for its state with the same key.
func ruledPublishes(own string) []string {
	return slices.Concat(
		[]string{schemas.SubjectAlerts, schemas.SubjectRelayAll, hostRelays, states, own,
			"$JS.ACK.ND_EVENTS.>", "$O.ND_STATE.>", "$JS.FC.OBJ_ND_STATE.>"},
		api(
			"INFO",
			"STREAM.INFO.ND_EVENTS", "STREAM.CREATE.ND_EVENTS", "STREAM.UPDATE.ND_EVENTS",
			"CONSUMER.CREATE.ND_EVENTS.>", "CONSUMER.RESET.ND_EVENTS.*", "CONSUMER.MSG.NEXT.ND_EVENTS.*", "CONSUMER.DELETE.ND_EVENTS.*",
			"STREAM.INFO.ND_ALERTS", "STREAM.CREATE.ND_ALERTS", "STREAM.UPDATE.ND_ALERTS",
			"CONSUMER.CREATE.ND_ALERTS.>", "CONSUMER.MSG.NEXT.ND_ALERTS.*", "CONSUMER.DELETE.ND_ALERTS.*",
			"STREAM.INFO.OBJ_ND_STATE", "STREAM.CREATE.OBJ_ND_STATE", "STREAM.UPDATE.OBJ_ND_STATE", "STREAM.PURGE.OBJ_ND_STATE",
			"DIRECT.GET.OBJ_ND_STATE.>", "CONSUMER.CREATE.OBJ_ND_STATE.>", "CONSUMER.DELETE.OBJ_ND_STATE.*",
		),
		copyAPI(schemas.CopyAPI))
}

// copyAPI are the requests by which ruled makes the copy of the alerts.
func copyAPI(prefix string) []string {
	var subjects []string
	for _, request := range []string{"STREAM.INFO.ND_ALERTS", "STREAM.CREATE.ND_ALERTS", "STREAM.DELETE.ND_ALERTS"} {
		subjects = append(subjects, prefix+"."+request)
	}
	return subjects
}

func api(subjects ...string) []string {
	for i := range subjects {
		subjects[i] = "$JS.API." + subjects[i]
	}
	return subjects
}
