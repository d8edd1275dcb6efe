package schemas

import (
	"fmt"
	"strconv"
	"strings"
)

// The subjects and the streams that store them.
const (
	// SubjectEvents covers every event, for those who listen.
	SubjectEvents = PrefixEvents + ">"
	PrefixEvents  = "nd.events."
	// SubjectBatches covers every batch of events: JSON, an event in each line.
	SubjectBatches = PrefixBatches + ">"
	PrefixBatches  = "nd.batches."
	// SubjectAlerts is the subject of every alert.
	SubjectAlerts = "nd.alerts"

	// SubjectRelayAll is the subject of the relay commands for every host.
	SubjectRelayAll = "nd.relay"
	// SubjectResults covers every result.
	SubjectResults = "nd.results.>"

	// StreamEvents stores SubjectBatches, StreamAlerts SubjectAlerts.
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
