package keys

import (
	"cmp"
	"slices"
	"strings"

	"github.com/ndmon/ndmon/schemas"
)

// Role is the role of a user of the fleet's NATS server.
type Role string

// The roles. A sensor, a pinger and an edge belong to a host; a fleet has one user of each
// other role.
const (
	// Sensor publishes its own host's events.
	Sensor Role = "sensor"
	// Pinger receives its own host's relay commands, and publishes their results and the
	// addresses on two links, which are events of its host.
	Pinger Role = "pinger"
	// Edge is the leaf node of an ndmon that evaluates its own events: it stores its alerts,
	// answers requests for its results and its status, and reads the central rules.
	Edge Role = "edge"
	// Ruled evaluates the events of all hosts. It makes the streams, and stores its state.
	Ruled Role = "ruled"
	// Viewer reads alerts and nothing else.
	Viewer Role = "viewer"
	// Operator sends relay commands and reads their results.
	Operator Role = "operator"
	// Web reads what the page shows, asks pingers for an address, and stores silences.
	Web Role = "web"
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
var single = []Role{Ruled, Viewer, Operator, Web, Exporter, Admin, System}

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
	host string // of a sensor, pinger or edge
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
	case Sensor, Pinger, Edge:
		return string(r) + "s"
	}
	return string(r)
}

// right is a subject of another account that an account may publish on or subscribe to.
type right struct {
	account, subject string
	// many means that a request may have more than one answer.
	many bool
	// as is the subject in the account that has the right, if it differs.
	as string
}

const (
	hostEvents  = "nd.events.*.*.*"
	hostBatches = "nd.batches.*.*"
	hostRelays  = "nd.relay.*"
	hostResults = "nd.results.*"
	hostFences  = "nd.fences.*"
	// hostHeartbeats are those of a host, without an interface.
	hostHeartbeats = "nd.batches.*.="
	// hostHistory is the history of a host, without its prefix.
	hostHistory = "*.*.*.*.*.*.*.*.*."
	getHistory  = "$JS.API.DIRECT.GET.ND_HISTORY"
	getStations = "$JS.API.DIRECT.GET.ND_STATIONS"
	states      = "nd.state.*"
	services    = "$SRV.>"
	ruleSets    = "$KV.ND_RULES.rules"
	getRules    = "$JS.API.DIRECT.GET.KV_ND_RULES"
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
		return of(mainAccount, hostBatches, hostEvents), relays()
	case Edge:
		return []right{
				{account: mainAccount, subject: schemas.SubjectAlerts, as: schemas.UplinkAlerts},
				{account: mainAccount, subject: schemas.SubjectHistory, as: schemas.UplinkHistory + ">"},
				{account: mainAccount, subject: hostFences, as: anyHost(schemas.UplinkFenceSubject)},
				{account: mainAccount, subject: "$JS.API.DIRECT.GET.ND_ALERTS." + hostFences, as: anyHost(schemas.UplinkPositionSubject)},
				{account: mainAccount, subject: getRules + "." + ruleSets, as: schemas.UplinkRules},
				{account: mainAccount, subject: hostHeartbeats, as: anyHost(schemas.UplinkHeartbeatSubject)},
			}, append(relays(),
				right{account: mainAccount, subject: ruleSets, as: schemas.UplinkRulesChanged})
	case Operator:
		return slices.Concat(readServices(), readRules(), readHistory(), of(mainAccount, ruleSets)),
			append(of(Pinger.account(), hostResults), of(Edge.account(), schemas.SubjectResults)...)
	case Web:
		publish = slices.Concat(readServices(), readRules(), readHistory(), readPage(), of(mainAccount, "$JS.API.STREAM.INFO.ND_ALERTS", schemas.SubjectSilences, states))
		return publish, append(of(Pinger.account(), hostResults), of(Edge.account(), schemas.SubjectResults)...)
	case Viewer:
		return slices.Concat(readCopy(), readServices(), readRules(), readHistory()), append(of(copyAccount, inbox), right{account: mainAccount, subject: schemas.SubjectStored, as: schemas.SubjectAlerts})
	case guest:
		return slices.Concat(readCopy(), readServices(), readRules(), readHistory(), readPage()), append(of(mainAccount, schemas.SubjectAlerts, schemas.SubjectEvents), of(copyAccount, inbox)...)
	case plainGuest:
		return slices.Concat(of(mainAccount, api("INFO", "STREAM.NAMES", "STREAM.INFO.ND_ALERTS", "STREAM.MSG.GET.ND_ALERTS")...), readServices(), readRules(), readHistory(), readPage()),
			of(mainAccount, schemas.SubjectAlerts, schemas.SubjectEvents)
	case Exporter:
		publish = of(mainAccount, api("INFO", "STREAM.NAMES")...)
		for _, stream := range []string{schemas.StreamAlerts, schemas.StreamEvents} {
			consumer := stream + "." + schemas.ConsumerExporter
			publish = append(publish, of(mainAccount, "$JS.API.STREAM.INFO."+stream, "$JS.API.CONSUMER.INFO."+consumer, "$JS.ACK."+consumer+".>")...)
			publish = append(publish, right{account: mainAccount, subject: "$JS.API.CONSUMER.MSG.NEXT." + consumer, many: true})
		}
		return publish, nil
	case Ruled:
		for _, r := range []Role{Sensor, Pinger, Edge} {
			publish = append(publish, right{account: r.account(), subject: services, many: true})
		}
		return publish, slices.Concat(relays()[2:], of(Pinger.account(), hostResults),
			of(Edge.account(), schemas.SubjectResults, schemas.SubjectEvents))
	}
	return nil, nil
}

// relays returns the rights to receive relay commands: from ruled, operators and pages.
func relays() []right {
	return slices.Concat(of(mainAccount, schemas.SubjectRelayAll, hostRelays), of(Operator.account(), schemas.SubjectRelayAll, hostRelays), of(Web.account(), schemas.SubjectRelayAll))
}

// anyHost returns the subjects of all hosts, given the function that returns that of one.
func anyHost(subject func(host string) string) string {
	return strings.TrimSuffix(subject(""), schemas.EscapeToken("")) + "*"
}

// readServices returns the right to request the status of all daemons: the main account imports
// those of the others.
func readServices() []right {
	return []right{{account: mainAccount, subject: services, many: true}}
}

// readRules returns the rights to read the central rules.
func readRules() []right {
	return of(mainAccount, api("INFO", "STREAM.INFO.KV_ND_RULES", "DIRECT.GET.KV_ND_RULES", "DIRECT.GET.KV_ND_RULES.>")...)
}

// readHistory returns the rights to read the history of addresses. A direct get makes no consumer.
func readHistory() []right {
	return append(of(mainAccount, api("STREAM.INFO.ND_HISTORY")...), right{account: mainAccount, subject: getHistory, many: true}, right{account: mainAccount, subject: getStations, many: true})
}

// readPage returns the rights to read what the page shows besides, by direct gets: alerts, silences, the neighbours.
func readPage() []right {
	const state, silences = "OBJ_" + schemas.BucketState, "KV_" + schemas.BucketSilences
	rights := of(mainAccount, api("STREAM.INFO."+state, "STREAM.INFO."+silences, "DIRECT.GET."+state+".>")...)
	for _, stream := range []string{schemas.StreamAlerts, state, silences} {
		rights = append(rights, right{account: mainAccount, subject: "$JS.API.DIRECT.GET." + stream, many: true})
	}
	return rights
}

// readCopy returns the rights to read the copy of the alerts. The names of streams are those
// of the main account: clients look up the stream of nd.alerts, and a copy has no subjects.
func readCopy() []right {
	return slices.Concat(
		of(mainAccount, "$JS.API.STREAM.NAMES"),
		of(copyAccount, api("INFO", "STREAM.LIST", "STREAM.INFO.ND_ALERTS", "STREAM.MSG.GET.ND_ALERTS",
			"CONSUMER.CREATE.ND_ALERTS", "CONSUMER.CREATE.ND_ALERTS.>", "CONSUMER.INFO.ND_ALERTS.*", "CONSUMER.DELETE.ND_ALERTS.*",
			"CONSUMER.LIST.ND_ALERTS", "CONSUMER.NAMES.ND_ALERTS")...),
		[]right{{account: copyAccount, subject: "$JS.API.CONSUMER.MSG.NEXT.ND_ALERTS.*", many: true}},
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
		return []string{schemas.PrefixBatches + token + ".*", schemas.PrefixEvents + token + ".*.*"}, append(service(schemas.ServiceSensor, token), own)
	case Pinger:
		token := schemas.EscapeToken(u.host)
		return []string{schemas.ResultSubject(u.host), schemas.PrefixBatches + token + ".*", schemas.PrefixEvents + token + ".*." + string(schemas.KindOther)},
			append(service(schemas.ServicePinger, token), schemas.RelaySubject(u.host), schemas.SubjectRelayAll, own)
	case Edge:
		token := schemas.EscapeToken(u.host)
		return []string{
				schemas.UplinkAlerts, schemas.UplinkFenceSubject(u.host), schemas.UplinkPositionSubject(u.host), schemas.UplinkRules,
				schemas.UplinkHeartbeatSubject(u.host), schemas.ResultSubject(u.host), schemas.UplinkHistory + hostHistory + token + ".>",
				// The server compares this with the interest of others, and only a pattern that ends in > matches nd.events.>.
				schemas.PrefixEvents + token + ".>",
				// The server's subjects for answers of services, which are random. It lets a leaf node publish on them in any case,
				// but asks for the answers only with this permission.
				"_R_.>",
			},
			append(service(schemas.ServiceNdmon, token), schemas.RelaySubject(u.host), schemas.SubjectRelayAll, schemas.UplinkRulesChanged, own)
	case Ruled:
		return ruledPublishes(own), append(service(schemas.ServiceRuled, "*"), schemas.SubjectEvents, states, schemas.SubjectDeleted, ruleSets, own)
	}
	services, streams := u.role.rights()
	for _, r := range services {
		publish = append(publish, cmp.Or(r.as, r.subject))
	}
	publish = append(publish, whoAmI)
	switch u.role {
	case Operator:
		return append(publish, schemas.SubjectRelayAll, hostRelays), []string{schemas.SubjectResults, inbox}
	case Web:
		return append(publish, schemas.SubjectRelayAll), []string{schemas.SubjectResults, inbox}
	}
	for _, r := range streams {
		subscribe = append(subscribe, cmp.Or(r.as, r.subject))
	}
	if !slices.Contains(subscribe, inbox) {
		subscribe = append(subscribe, inbox)
	}
	return publish, subscribe
}

// service returns the subjects of the requests that the service of a daemon answers: those to
// all, those to a name or an id, and those for the status of its own host. A pattern whose last
// token is * would let a client subscribe to > there.
func service(name, host string) []string {
	return []string{
		"$SRV.PING", "$SRV.INFO", "$SRV.STATS", "$SRV.*." + name,
		"$SRV.PING." + name + ".*", "$SRV.INFO." + name + ".*", "$SRV.STATS." + name + ".*",
		"$SRV.STATUS." + name + "." + host,
	}
}

// ruledPublishes returns the subjects on which ruled publishes, including those of
// nd-ruled neighbors, which uses the same key to request the state.
func ruledPublishes(own string) []string {
	return slices.Concat(
		[]string{schemas.SubjectAlerts, hostFences, schemas.SubjectHistory, schemas.SubjectRelayAll, hostRelays, states, own,
			"$JS.ACK.ND_EVENTS.>", "$O.ND_STATE.>", "$JS.FC.OBJ_ND_STATE.>", "$KV.ND_RULED.>", "$JS.FC.KV_ND_RULED.>"},
		api(
			"INFO",
			"STREAM.INFO.ND_EVENTS", "STREAM.CREATE.ND_EVENTS", "STREAM.UPDATE.ND_EVENTS",
			"CONSUMER.CREATE.ND_EVENTS.>", "CONSUMER.RESET.ND_EVENTS.*", "CONSUMER.MSG.NEXT.ND_EVENTS.*", "CONSUMER.DELETE.ND_EVENTS.*",
			"STREAM.INFO.ND_ALERTS", "STREAM.CREATE.ND_ALERTS", "STREAM.UPDATE.ND_ALERTS",
			"CONSUMER.CREATE.ND_ALERTS.>", "CONSUMER.MSG.NEXT.ND_ALERTS.*", "CONSUMER.DELETE.ND_ALERTS.*",
			"STREAM.INFO.ND_HISTORY", "STREAM.CREATE.ND_HISTORY", "STREAM.UPDATE.ND_HISTORY",
			"STREAM.INFO.ND_STATIONS", "STREAM.CREATE.ND_STATIONS", "STREAM.UPDATE.ND_STATIONS",
			"STREAM.INFO.OBJ_ND_STATE", "STREAM.CREATE.OBJ_ND_STATE", "STREAM.UPDATE.OBJ_ND_STATE", "STREAM.PURGE.OBJ_ND_STATE",
			"DIRECT.GET.OBJ_ND_STATE", "DIRECT.GET.OBJ_ND_STATE.>", "CONSUMER.CREATE.OBJ_ND_STATE.>", "CONSUMER.DELETE.OBJ_ND_STATE.*",
			"DIRECT.GET.ND_ALERTS", "DIRECT.GET.ND_ALERTS.>", "CONSUMER.INFO.ND_EVENTS.*",
			"STREAM.INFO.KV_ND_RULED", "STREAM.CREATE.KV_ND_RULED", "STREAM.UPDATE.KV_ND_RULED",
			"DIRECT.GET.KV_ND_RULED", "DIRECT.GET.KV_ND_RULED.>", "CONSUMER.CREATE.KV_ND_RULED.>", "CONSUMER.DELETE.KV_ND_RULED.*",
			"STREAM.INFO.KV_ND_RULES", "STREAM.CREATE.KV_ND_RULES", "STREAM.UPDATE.KV_ND_RULES",
			"DIRECT.GET.KV_ND_RULES", "DIRECT.GET.KV_ND_RULES.>",
			"STREAM.INFO.KV_ND_SILENCES", "STREAM.CREATE.KV_ND_SILENCES", "STREAM.UPDATE.KV_ND_SILENCES",
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
