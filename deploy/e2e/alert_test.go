package e2e

import (
	"encoding/json"
	"testing"

	"github.com/ndmon/ndmon/deploy/lab"
)

// alert is the message nd.alert.v1 of the contract, as a program reads it that does
// not use the types of schemas.
type alert struct {
	Type, Time, Severity, Host, Interface, Rule, Summary, Description, ID string

	Event event
}

// event likewise is nd.event.v1, as far as the tests look at it.
type event struct {
	Type, ID, Time, Host, Interface, Direction string

	Master   bool
	Ethernet *struct {
		Source, Destination string
		VLAN                *int
	}
	ND *struct {
		RA *struct{ ReachableTimer, Lifetime int }
		NA *struct{ TargetAddress string }
	}
	Lost   *struct{ Kernel, Buffer uint64 }
	Sensor *struct{ Started string } // of a heartbeat
	Frame  []byte
}

// result is nd.result.v1.
type result struct {
	Type, ID, Time, Host, Relay, Target, Slave, Status, RTT, Ethernet, Reason, Error string

	Proxied bool
}

// command is nd.relay.v1.
type command struct {
	Type    string `json:"type"`
	ID      string `json:"id"`
	Time    string `json:"time"`
	Expires string `json:"expires"`
	Host    string `json:"host"`
	Target  string `json:"target"`
	Rule    string `json:"rule"`
	Event   string `json:"event"`
	// Solicitation is the reason for the command. Now requires a probe in any case.
	Solicitation *solicitation `json:"solicitation,omitempty"`
	Now          bool          `json:"now,omitempty"`
}

// solicitation describes the requester of a command.
type solicitation struct {
	Host      string `json:"host"`
	Interface string `json:"interface"`
	Direction string `json:"direction"`
	Source    string `json:"source"`
	Ethernet  string `json:"ethernet"`
}

func parseAlert(t *testing.T, data []byte) alert {
	t.Helper()
	a := parse[alert](t, data)
	if a.Type != "nd.alert.v1" || a.Event.Type != "nd.event.v1" {
		t.Fatalf("this is no alert: %s", data)
	}
	return a
}

func parse[T any](t *testing.T, data []byte) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("message is no JSON: %v\n%s", err, data)
	}
	return v
}

// marshal returns a message as JSON.
func marshal(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // a mistake in the test
	}
	return data
}

// printed returns the alerts that a program has printed so far, in the format
// json.
func printed(t *testing.T, p *lab.Process) []alert {
	t.Helper()
	var list []alert
	for _, line := range p.Stdout.Lines() {
		list = append(list, parseAlert(t, []byte(line)))
	}
	return list
}

// perRule counts alerts by the id of their rule.
func perRule(list []alert) map[string]int {
	count := map[string]int{}
	for _, a := range list {
		count[a.Rule]++
	}
	return count
}
