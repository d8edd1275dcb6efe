package model

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/ndmon/ndmon/ruled/state"
	"github.com/ndmon/ndmon/schemas"
)

// Rights are what the key of the page allows besides reading.
type Rights struct {
	// Silence says that it may store silences, Find that it may have pingers look for an address.
	Silence, Find bool

	states bool // it may have ruled store its state
}

// Rights returns them. Before the server says what they are, nothing is allowed.
func (m *Model) Rights() Rights {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.rights
}

// readRights asks the server for the rights of this connection. A server that does not say forbids nothing.
func (m *Model) readRights(ctx context.Context) error {
	may := m.allowed(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rights.Silence = may(strings.TrimSuffix(schemas.SubjectSilences, ">") + "x")
	m.rights.Find = may(schemas.SubjectRelayAll)
	m.rights.states = may(schemas.StateSubject(state.Name(m.Consumer, 0)))
	return nil
}

// allowed returns whether this connection may publish on a subject.
func (m *Model) allowed(ctx context.Context) func(subject string) bool {
	all := func(string) bool { return true }
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	msg, err := m.Conn.NATS().RequestWithContext(ctx, "$SYS.REQ.USER.INFO", nil)
	if err != nil {
		return all
	}
	var info struct {
		Data struct {
			Permissions *struct {
				Publish struct {
					Allow []string `json:"allow"`
					Deny  []string `json:"deny"`
				} `json:"publish"`
			} `json:"permissions"`
		} `json:"data"`
	}
	if json.Unmarshal(msg.Data, &info) != nil || info.Data.Permissions == nil {
		return all
	}
	return func(subject string) bool {
		allowed := len(info.Data.Permissions.Publish.Allow) == 0
		for _, pattern := range info.Data.Permissions.Publish.Allow {
			allowed = allowed || covers(pattern, subject)
		}
		for _, pattern := range info.Data.Permissions.Publish.Deny {
			allowed = allowed && !covers(pattern, subject)
		}
		return allowed
	}
}

// covers reports whether a pattern of NATS covers a subject.
func covers(pattern, subject string) bool {
	have := strings.Split(subject, ".")
	for i, token := range strings.Split(pattern, ".") {
		switch {
		case token == ">":
			return len(have) > i
		case i >= len(have) || token != "*" && token != have[i]:
			return false
		case i == len(have)-1:
			return strings.Count(pattern, ".") == i
		}
	}
	return false
}
