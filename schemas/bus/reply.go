package bus

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// replySlot reads the subject of a reply, <inbox>.<epoch>.<slot>.
func replySlot(subject string) (epoch, slot int, ok bool) {
	rest, last := cutLast(subject)
	_, first := cutLast(rest)
	epoch, err1 := strconv.Atoi(first)
	slot, err2 := strconv.Atoi(last)
	return epoch, slot, err1 == nil && err2 == nil && slot >= 0
}

// cutLast cuts around the last dot.
func cutLast(s string) (before, after string) {
	i := strings.LastIndexByte(s, '.')
	return s[:max(i, 0)], s[i+1:]
}

// storedAs returns the sequence number in an acknowledgement, 0 if it has none.
func storedAs(ack []byte) uint64 {
	var a jetstream.PubAck
	if err := json.Unmarshal(ack, &a); err != nil {
		return 0
	}
	return a.Sequence
}

// refusal is a reply that is not an acknowledgement.
type refusal struct {
	text      string
	permanent bool // to send the message again does not help
}

func (r *refusal) Error() string { return r.text }

// refusalOf returns nil for an acknowledgement.
func refusalOf(m *nats.Msg) *refusal {
	if len(m.Data) == 0 {
		if m.Header.Get("Status") == "503" {
			return &refusal{text: "no stream has this subject (is nd-ruled running, which makes the streams, and is JetStream enabled on the NATS server?)"}
		}
		return &refusal{text: "empty reply, status " + strconv.Quote(m.Header.Get("Status"))}
	}
	// An acknowledgement begins with {"stream": and a refusal with {"error":. Other
	// orders of members are read too.
	if bytes.HasPrefix(m.Data, []byte(`{"stream":`)) && !bytes.Contains(m.Data, []byte(`"error"`)) {
		return nil
	}
	var reply struct {
		Error  *jetstream.APIError `json:"error"`
		Stream string              `json:"stream"`
	}
	switch err := json.Unmarshal(m.Data, &reply); {
	case err != nil:
		return &refusal{text: fmt.Sprintf("invalid reply: %v", err)}
	case reply.Error == nil && reply.Stream != "":
		return nil
	case reply.Error == nil:
		return &refusal{text: "reply without a stream"}
	}
	return &refusal{text: reply.Error.Error(), permanent: reply.Error.ErrorCode == errMessageTooLarge}
}

// errMessageTooLarge is the server's JSStreamMessageExceedsMaximumErr.
const errMessageTooLarge jetstream.ErrorCode = 10054
