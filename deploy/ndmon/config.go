package ndmon

import (
	"time"

	"github.com/ndmon/ndmon/deploy/alerts"
	"github.com/ndmon/ndmon/deploy/notify"
)

// Config is the configuration of Run.
type Config struct {
	// Masters, Slaves and Interfaces are names, globs or address prefixes.
	Masters, Slaves, Interfaces []string
	// Files are capture files to read instead of interfaces.
	Files []string
	// Rules is a rule file; empty for the built-in rules.
	Rules string
	// Output is the format of the alerts: json or text.
	Output string
	// Filter selects the alerts that are written. All are stored.
	Filter alerts.Filter
	// Listen is the address of the embedded NATS server; empty to serve this process
	// only.
	Listen string
	// TLSCert and TLSKey are files for TLS of the embedded server. Keys is a directory of
	// ndmon keys with its users.
	TLSCert, TLSKey, Keys string
	// Insecure lets the embedded server be reached from other hosts without them.
	Insecure bool
	// NATS is the URL of a server to use instead.
	NATS string
	// Hub, if set, has the URLs of the hub of which the embedded server is a leaf node, and Key is the
	// file of the key of this edge there.
	Hub, Key string
	// Data is the directory of the embedded server; empty for a temporary one.
	Data string
	// Record, if not 0, is how long the embedded server keeps the events, on its disk.
	Record time.Duration
	// Host is the name of this host in events.
	Host string
	// Learn, if not 0, is the time to learn the routers. Nothing else is done then.
	Learn time.Duration
	// Route keeps a route to each host found behind a slave. Proxy answers for it on the
	// other interfaces. DAD denies an address to a host that tests whether it can have it
	// while another host has it.
	Route, Proxy, DAD bool
	// AlertTo are receivers of the alerts.
	AlertTo []*notify.Receiver
	// Web is the address of the page; empty for none.
	Web string
	// RA relays Router Advertisements from the masters to the slaves, and Router
	// Solicitations to the masters. It needs Proxy.
	RA bool
}

// DefaultListen is the default address of the embedded NATS server.
const DefaultListen = "127.0.0.1:4222"

// limits bound what is kept in memory.
type limits struct {
	// buffer bounds each buffer of messages to be stored, that of events and that of
	// alerts, in bytes. neighbours bounds the remembered addresses. 0 is no limit.
	buffer, neighbours int
	// copy makes the server keep a copy of the alerts for readers. In a flood, it costs
	// the memory of the alerts of 10 s, for which the server remembers what was read.
	copy bool
}

// limitsFor returns the bounds for a process that may use this number of bytes of memory,
// 0 for no limit.
func limitsFor(memory int64) limits {
	const (
		neighbour = 300 // bytes
		little    = 400 << 20
	)
	if memory == 0 {
		return limits{copy: true}
	}
	return limits{buffer: int(memory / 16), neighbours: int(memory / 10 / neighbour), copy: memory >= little}
}
