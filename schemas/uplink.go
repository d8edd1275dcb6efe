package schemas

// The subjects by which an edge reaches its hub. The account of the edges on the hub maps them to
// those of the hub, so that what an edge publishes on its own subjects does not cross by itself.
const (
	// UplinkAlerts stores an alert in StreamAlerts of the hub, as SubjectAlerts does there.
	UplinkAlerts = "nd.uplink.alerts"
	// UplinkHistory is PrefixHistory for what an edge stores in the hub's StreamHistory.
	UplinkHistory = "nd.uplink.history."
	// UplinkRules is a request for the newest central rules: the answer is that of a direct get.
	UplinkRules = "nd.uplink.rules"
	// UplinkRulesChanged receives the central rules when they change.
	UplinkRulesChanged = "nd.uplink.rules.changed"
)

// UplinkFenceSubject returns the subject on which an edge stores its position, in the hub's
// StreamAlerts.
func UplinkFenceSubject(host string) string { return "nd.uplink.fences." + EscapeToken(host) }

// UplinkPositionSubject returns the subject of a request for the position of an edge: the answer
// is that of a direct get of what UplinkFenceSubject stored.
func UplinkPositionSubject(host string) string { return "nd.uplink.position." + EscapeToken(host) }

// UplinkHeartbeatSubject returns the subject of an edge's heartbeats, which the hub stores as
// batches of that host.
func UplinkHeartbeatSubject(host string) string { return "nd.uplink.heartbeats." + EscapeToken(host) }
