package keys

import (
	"bytes"
	"fmt"
	"time"
)

// SyncInterval is the interval at which JetStream flushes its files to the disk. With the
// server's default, a power failure loses the alerts of two minutes.
const SyncInterval = 2 * time.Second

// serverConfig returns the server's configuration without its users.
func serverConfig(s Server) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `# NATS server of an ndmon fleet. ndmon keys init made it once: you may change it.

server_name: "ndmon"
listen: "[::]:4222"

jetstream {
  # The directory of events, alerts and the state of nd-ruled.
  store_dir: %s
  # A power failure loses what was stored in this time.
  sync_interval: "%v"
}

# The accounts and their users. ndmon keys add and remove rewrite this file; the server
# reads it again when it reloads its configuration.
include %s
`, quote(s.Data), SyncInterval, quote(UsersFile))
	if s.Cert == "" {
		return b.Bytes()
	}
	fmt.Fprintf(&b, "\ntls {\n  cert_file: %s\n  key_file: %s\n", quote(s.Cert), quote(s.Key))
	if s.CA != "" {
		fmt.Fprintf(&b, "  # Clients must have a certificate of one of these authorities.\n  ca_file: %s\n  verify: true\n", quote(s.CA))
	}
	fmt.Fprint(&b, "}\n")
	return b.Bytes()
}

// usersConfig returns the list of accounts and users.
func usersConfig(users []user) []byte {
	return append([]byte("# ndmon keys makes this file from the seeds in this directory: changes are lost.\n"), accountsConfig(users)...)
}
