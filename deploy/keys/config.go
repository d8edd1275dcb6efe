package keys

import (
	"bytes"
	"fmt"
	"strings"
)

// serverConfig is the server's configuration but for its users.
func serverConfig(s Server) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `# NATS server of an ndmon fleet. Made once by ndmon keys init: it is yours to change.

listen: "[::]:4222"

jetstream {
  # Where events, alerts and the state of nd-ruled are kept.
  store_dir: %s
}

accounts {
  NDMON {
    jetstream: enabled
    # ndmon keys writes these anew when hosts come and go.
    include %s
  }
}
`, quote(s.Data), quote(UsersFile))
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

// usersConfig is the list of users, with what each may do.
func usersConfig(users []user) []byte {
	var b bytes.Buffer
	fmt.Fprint(&b, "# Made by ndmon keys from the seeds beside it: what is changed here is lost.\nusers: [\n")
	for _, u := range users {
		publish, subscribe := u.permissions()
		fmt.Fprintf(&b, "  # %s\n  {\n    nkey: %s\n    permissions: {\n      publish: %s\n      subscribe: %s\n    }\n  }\n",
			strings.TrimSpace(string(u.role)+" "+u.host), u.key, list(publish), list(subscribe))
	}
	fmt.Fprint(&b, "]\n")
	return b.Bytes()
}

// list writes a subject a line.
func list(subjects []string) string {
	var b strings.Builder
	for _, s := range subjects {
		fmt.Fprintf(&b, "\n        %s", quote(s))
	}
	return "[" + b.String() + "\n      ]"
}

// quote writes a string of printable characters as nats-server reads it.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
