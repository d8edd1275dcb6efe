package keys

import (
	"slices"

	"github.com/ndmon/ndmon/schemas"
)

// Role is the role of a user of the fleet's NATS server.
type Role string

// The roles. A sensor and a pinger belong to a host; a fleet has one user of each other
// role.
const (
	// Sensor publishes its own host's events.
	Sensor Role = "sensor"
	// Pinger receives its own host's relay commands and publishes their results.
	Pinger Role = "pinger"
	// Ruled evaluates the events of all hosts. It makes the streams, and stores its state.
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

	// guest is a client without a key of the embedded server: a viewer that also reads
	// the events.
	guest Role = "guest"
	// plainGuest is a guest of a server without a copy of the alerts.
	plainGuest Role = "plain-guest"
)

// single are the roles of which a fleet has one user.
var single = []Role{Ruled, Viewer, Operator, Exporter, Admin, System}

// The accounts with streams, and the server's own. Every other role has an account of its
// own.
const (
	// mainAccount has the streams, and all subjects of the contract.
	mainAccount = "NDMON"
	// copyAccount has a copy of the alerts, and no users. A consumer may deliver to any
	// subject of its account (NATS has no permission for that), so viewers make their
	// consumers in an account with nothing else.
	copyAccount   = "READERS"
	systemAccount = "$SYS"
)

// user is a user of the server.
type user struct {
	role Role
	host string // of a sensor or pinger
	key  string // the public key
}

// account returns the name of a role's account. NATS does not check to which subject the
// answer to a request is sent: a user in the account of the streams could make the server
// answer to any subject there. From another account, the answers stay in that account. The
// accounts do not depend on the hosts, because a server that reloads its configuration does
// not serve the requests of a new account.
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

// right is a subject of another account that an account may publish on or subscribe to.
type right struct {
	account, subject string
	// many means that a request may have more than one answer.
	many bool
}

const (
	hostEvents  = "nd.events.*.*.*"
	hostBatches = "nd.batches.*.*"
	hostRelays  = "nd.relay.*"
	hostResults = "nd.results.*"
	states      = "nd.state.*"
	inbox       = "_INBOX.>"
	// whoAmI returns a user's own account (nats account info).
	whoAmI = "$SYS.REQ.USER.INFO"
)

// rights returns what the account of a role may publish to others, and subscribe to from
// them. An account that imports a part of another's JetStream API must import INFO too:
// otherwise the account's own API answers first, that JetStream is not enabled.
func (r Role) rights() (publish, subscribe []right) {
	switch r {
	case Sensor:
		return of(mainAccount, hostBatches, hostEvents), nil
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

// readCopy returns the rights to read the copy of the alerts. The names of streams are those
// of the main account: clients look up the stream of nd.alerts, and a copy has no subjects.
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
	rights := make([]right, len(subjects))
	for i, s := range subjects {
		rights[i] = right{account: account, subject: s}
	}
	return rights
}

// permissions returns the subjects that a user may publish on and subscribe to, or nil and
// nil for a user with all rights in its account.
func (u user) permissions() (publish, subscribe []string) {
	// Users that share an account have separate inboxes, see bus.Connect.
	own := "_INBOX." + u.key + ".>"
	switch u.role {
	case Admin, System:
		return nil, nil
	case Sensor:
		token := schemas.EscapeToken(u.host)
		return []string{schemas.PrefixBatches + token + ".*", schemas.PrefixEvents + token + ".*.*"}, []string{own}
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

// ruledPublishes returns the subjects on which ruled publishes, including those of
// nd-ruled neighbors, which uses the same key to request the state.
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

// copyAPI returns the subjects of the requests by which ruled makes the copy of the alerts.
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
