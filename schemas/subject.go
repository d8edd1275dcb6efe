package schemas

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
)

// The subjects and the streams that store them.
const (
	// SubjectEvents covers every event, for those who listen.
	SubjectEvents = PrefixEvents + ">"
	PrefixEvents  = "nd.events."
	// SubjectBatches covers every batch of events: JSON, an event in each line. StreamEvents stores a
	// batch on BatchesTo, its subject with the partition of its host behind it.
	SubjectBatches = PrefixBatches + ">"
	PrefixBatches  = "nd.batches."
	BatchesFrom    = PrefixBatches + "*.*"
	BatchesTo      = PrefixBatches + "{{wildcard(1)}}.{{wildcard(2)}}.{{partition(16,1)}}"
	// Partitions is the number of partitions of the events, the 16 of BatchesTo.
	Partitions = 16
	// SubjectAlerts is the subject of every alert. The server publishes an alert on SubjectStored
	// once it is stored. On a server with the keys of ndmon keys, readers receive that as
	// SubjectAlerts: nats-server does not pass the alert of an edge on to them directly, and would
	// pass on one that an edge sends twice.
	SubjectAlerts = "nd.alerts"
	SubjectStored = "nd.stored.alerts"

	// SubjectRelayAll is the subject of the relay commands for every host.
	SubjectRelayAll = "nd.relay"
	// SubjectResults covers every result.
	SubjectResults = "nd.results.>"

	// SubjectFences covers the fences, see FenceSubject.
	SubjectFences = prefixFences + "*"
	prefixFences  = "nd.fences."

	// StreamEvents stores SubjectBatches, StreamAlerts SubjectAlerts and SubjectFences.
	StreamEvents = "ND_EVENTS"
	StreamAlerts = "ND_ALERTS"

	// SubjectDeleted covers the server's advisories about deleted streams.
	SubjectDeleted = "$JS.EVENT.ADVISORY.STREAM.DELETED.*"

	// ConsumerExporter is the name of the durable consumers of both streams for a
	// program that exports the messages.
	ConsumerExporter = "exporter"

	// A server with the keys of ndmon keys has a copy of StreamAlerts in an account for readers.
	// CopyAPI is the prefix of the JetStream API of that account, and OriginAPI that of the account
	// of the original streams, as the readers' account imports it. The copy receives its messages
	// on subjects with the prefix CopyDeliver.
	CopyAPI     = "READERS.API"
	OriginAPI   = "NDMON.API"
	CopyDeliver = "READERS.COPY"

	// BucketState is the object store of the state of ruled.
	BucketState = "ND_STATE"
	// BucketRuled is the key-value store by which several ruled share the partitions, BucketRules that
	// of the central rules.
	BucketRuled = "ND_RULED"
	BucketRules = "ND_RULES"
)

// EventSubject returns the subject of the events of a kind on a host's
// interface, both given as plain names.
func EventSubject(host, iface string, kind Kind) string {
	return PrefixEvents + EscapeToken(host) + "." + EscapeToken(iface) + "." + string(kind)
}

// BatchSubject returns the subject of the batches of a host's interface, both
// given as plain names.
func BatchSubject(host, iface string) string {
	return PrefixBatches + EscapeToken(host) + "." + EscapeToken(iface)
}

// Partition returns the partition of a host's events, below Partitions, as the server computes it for
// BatchesTo (nats-server's subject transform: FNV-1a of the token, modulo the number).
func Partition(host string) int {
	h := fnv.New32a()
	h.Write([]byte(EscapeToken(host)))
	return int(h.Sum32() % Partitions)
}

// FenceSubject returns the subject of the fence of a publisher of alerts. It is stored in the stream of
// alerts: the server refuses an alert that names another fence than the last one there.
func FenceSubject(publisher string) string { return prefixFences + EscapeToken(publisher) }

// RelaySubject returns the subject of the relay commands for a host.
func RelaySubject(host string) string { return "nd.relay." + EscapeToken(host) }

// StateSubject returns the subject of requests to store the state of the ruled
// with a consumer's name now. The reply is "stored", or an error.
func StateSubject(consumer string) string { return "nd.state." + EscapeToken(consumer) }

// ResultSubject returns the subject of a host's results.
func ResultSubject(host string) string { return "nd.results." + EscapeToken(host) }

// EscapeToken returns a name as one subject token: letters, digits, '-' and '_'
// stay, every other byte becomes '=' and two hexadecimal digits, and the empty
// name becomes "=". UnescapeToken is the inverse.
func EscapeToken(name string) string {
	if name == "" {
		return "="
	}
	var b strings.Builder
	for i := range len(name) {
		if c := name[i]; plainInToken(c) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "=%02X", c)
		}
	}
	return b.String()
}

// UnescapeToken returns the name of a token. It refuses a token that EscapeToken does not return.
func UnescapeToken(token string) (string, error) {
	if token == "=" {
		return "", nil
	}
	var b strings.Builder
	for i := 0; i < len(token); i++ {
		switch c := token[i]; {
		case plainInToken(c):
			b.WriteByte(c)
		case c == '=' && i+2 < len(token):
			n, err := strconv.ParseUint(token[i+1:i+3], 16, 8)
			if err != nil || EscapeToken(string([]byte{byte(n)})) != token[i:i+3] {
				return "", fmt.Errorf("subject token %q: %q is not an escape", token, token[i:i+3])
			}
			b.WriteByte(byte(n))
			i += 2
		default:
			return "", fmt.Errorf("subject token %q: %q is not allowed in it", token, c)
		}
	}
	if b.Len() == 0 {
		return "", fmt.Errorf("subject token is empty")
	}
	return b.String(), nil
}

func plainInToken(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}
