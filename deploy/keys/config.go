package keys

import (
	"bytes"
	"errors"
	"fmt"
	"time"
)

// Server is the configuration of the server besides its users. Its paths are paths on the
// server.
type Server struct {
	// Data is the directory of what the server stores.
	Data string
	// Cert and Key, if set, are files for TLS.
	Cert, Key string
	// CA, if set, is a file with the authorities of client certificates. Clients must have
	// one then.
	CA string
}

func (s Server) check() error {
	switch {
	case s.Data == "":
		return errors.New("--data: is empty: use a directory")
	case (s.Cert == "") != (s.Key == ""):
		return errors.New("--tls-cert, --tls-key: need each other")
	case s.CA != "" && s.Cert == "":
		return errors.New("--tls-ca: needs --tls-cert and --tls-key; it is for client certificates")
	}
	for _, path := range []string{s.Data, s.Cert, s.Key, s.CA} {
		if !printable(path) {
			return fmt.Errorf("%q is not a path of printable characters", path)
		}
	}
	return nil
}

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
