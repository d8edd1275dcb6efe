package keys

import (
	"bytes"
	"fmt"
	"time"
)

// SyncInterval is how long JetStream may hold what it has stored before it is on
// the disk for sure. With the server's default, a power failure loses the alerts of
// two minutes.
const SyncInterval = 2 * time.Second

// serverConfig is the server's configuration but for its users.
func serverConfig(s Server) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `# NATS server of an ndmon fleet. Made once by ndmon keys init: it is yours to change.

server_name: "ndmon"
listen: "[::]:4222"

jetstream {
  # Where events, alerts and the state of nd-ruled are kept.
  store_dir: %s
  # What a power failure may take.
  sync_interval: "%v"
}

# The accounts and their users. ndmon keys writes this file when hosts come and go;
# the server takes the change when it reloads its configuration.
include %s
`, quote(s.Data), SyncInterval, quote(UsersFile))
	if s.Cert == "" {
		return b.Bytes()
	}
	fmt.Fprintf(&b, "\ntls {\n  cert_file: %s\n  key_file: %s\n", quote(s.Cert), quote(s.Key))
	if s.CA != "" {
		fmt.Fprintf(&b, "  # Clients have to show a certificate that one of these has signed.\n  ca_file: %s\n  verify: true\n", quote(s.CA))
	}
	fmt.Fprint(&b, "}\n")
	return b.Bytes()
}

// usersConfig is the list of accounts and users.
func usersConfig(users []user) []byte {
	return append([]byte("# Made by ndmon keys from the seeds in this folder: what is changed here is lost.\n"), accountsConfig(users)...)
}
