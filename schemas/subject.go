package schemas

import (
	"fmt"
	"strconv"
	"strings"
)

// The subjects and the streams that store them.
const (
	// SubjectEvents covers every event.
	SubjectEvents = "nd.events.>"
	// SubjectAlerts is the subject of every alert.
	SubjectAlerts = "nd.alerts"

	// SubjectRelayAll is that of the relay commands for every host.
	SubjectRelayAll = "nd.relay"
	// SubjectResults covers every result.
	SubjectResults = "nd.results.>"

	// StreamEvents stores SubjectEvents, StreamAlerts SubjectAlerts.
	StreamEvents = "ND_EVENTS"
	StreamAlerts = "ND_ALERTS"

	// SubjectDeleted covers what the server says of a stream that is deleted.
	SubjectDeleted = "$JS.EVENT.ADVISORY.STREAM.DELETED.*"

	// ConsumerExporter is the name of the durable consumers of both streams that a
	// program which passes on what they store reads by.
	ConsumerExporter = "exporter"

	// CopyAPI is the prefix of the JetStream API in the account that has a copy of
	// StreamAlerts for readers, in a server with the keys of ndmon keys; OriginAPI
	// that of the streams' account as the copy's has it. The copy is delivered under
	// CopyDeliver.
	CopyAPI     = "READERS.API"
	OriginAPI   = "NDMON.API"
	CopyDeliver = "READERS.COPY"

	// BucketState is the object store of what ruled knows of the links.
	BucketState = "ND_STATE"
)

// EventSubject returns the subject of the events of a kind on a host's
// interface, both given as plain names.
func EventSubject(host, iface string, kind Kind) string {
	return "nd.events." + EscapeToken(host) + "." + EscapeToken(iface) + "." + string(kind)
}

// RelaySubject returns the subject of the relay commands for a host.
func RelaySubject(host string) string { return "nd.relay." + EscapeToken(host) }

// StateSubject returns the subject on which the ruled with a consumer's name is
// asked to store its state now. The answer is "stored", or what is wrong.
func StateSubject(consumer string) string { return "nd.state." + EscapeToken(consumer) }

// ResultSubject returns the subject of a host's results.
func ResultSubject(host string) string { return "nd.results." + EscapeToken(host) }

// EscapeToken makes one subject token of any name: letters, digits, '-' and '_'
// stay, every other byte becomes '=' and two hexadecimal digits, and the empty
// name becomes "=". UnescapeToken takes it back.
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

// UnescapeToken returns the name that EscapeToken made token of. It refuses
// what EscapeToken does not make.
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
