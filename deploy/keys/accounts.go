package keys

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ndmon/ndmon/schemas"
)

// transfer is an export of one account to another: a service, to which the other publishes,
// or a stream, to which it subscribes.
type transfer struct {
	kind string // "service" or "stream"
	right
	to string // the account that imports it
}

// accountsConfig returns the accounts of the server with their users, exports and imports.
// A client reaches nothing that its account does not import, not even by the answer to a
// request: that is what the accounts are for.
func accountsConfig(users []user) []byte {
	roles := rolesOf(users)
	members := map[string][]user{mainAccount: nil}
	if !slices.Contains(roles, plainGuest) {
		members[copyAccount] = nil
	}
	for _, role := range roles {
		members[role.account()] = nil
	}
	for _, u := range users {
		members[u.role.account()] = append(members[u.role.account()], u)
	}
	transfers := transfersOf(roles)
	var b bytes.Buffer
	b.WriteString("accounts {\n")
	for _, name := range slices.Sorted(maps.Keys(members)) {
		fmt.Fprintf(&b, "  %s {\n", quote(name))
		switch name {
		case mainAccount:
			b.WriteString("    jetstream: enabled\n")
		case copyAccount:
			fmt.Fprintf(&b, "    jetstream: { max_streams: 1, max_consumers: %d }\n", maxConsumers)
		}
		writeUserList(&b, members[name])
		writeExports(&b, name, transfers)
		writeImports(&b, name, transfers)
		b.WriteString("  }\n")
	}
	b.WriteString("}\n")
	return b.Bytes()
}

// maxConsumers bounds the consumers that viewers can make.
const maxConsumers = 256

// rolesOf returns the roles of users. For a fleet these are all roles, so that its accounts
// are always the same.
func rolesOf(users []user) []Role {
	var roles []Role
	if slices.ContainsFunc(users, func(u user) bool { return u.role == Ruled }) {
		roles = append(roles, Sensor, Pinger, Edge)
		roles = append(roles, single...)
	}
	for _, u := range users {
		if !slices.Contains(roles, u.role) {
			roles = append(roles, u.role)
		}
	}
	return roles
}

// transfersOf returns what the accounts of roles import.
func transfersOf(roles []Role) []transfer {
	var list []transfer
	if !slices.Contains(roles, plainGuest) {
		list = copyTransfers()
	}
	for _, role := range roles {
		services, streams := role.rights()
		for _, r := range services {
			if t := (transfer{kind: "service", right: r, to: role.account()}); !slices.Contains(list, t) {
				list = append(list, t)
			}
		}
		for _, r := range streams {
			list = append(list, transfer{kind: "stream", right: r, to: role.account()})
		}
	}
	return list
}

// copyTransfers returns the imports by which ruled makes the copy of the alerts, and by
// which the copy receives them.
func copyTransfers() []transfer {
	var list []transfer
	for i, subject := range copyAPI("$JS.API") {
		list = append(list, transfer{"service", right{account: copyAccount, subject: subject, as: copyAPI(schemas.CopyAPI)[i]}, mainAccount})
	}
	const create = "CONSUMER.CREATE." + schemas.StreamAlerts
	for _, request := range []string{create, create + ".*." + schemas.SubjectAlerts} { // without a filter and with it
		list = append(list, transfer{"service", right{account: mainAccount, subject: "$JS.API." + request, as: schemas.OriginAPI + "." + request}, copyAccount})
	}
	return append(list,
		transfer{"stream", right{account: copyAccount, subject: "$JS.FC." + schemas.StreamAlerts + ".>"}, mainAccount},
		transfer{"stream", right{account: mainAccount, subject: schemas.CopyDeliver + ".>"}, copyAccount},
	)
}

// connections returns the types of connections of a role with permissions. The key of an edge
// is for leaf nodes alone, and no other is: a leaf node may publish answers to requests that it
// did not receive, and clients of another server could use its connection.
func (r Role) connections() string {
	switch r {
	case Edge:
		return `, allowed_connection_types: ["LEAFNODE", "LEAFNODE_WS"]`
	case guest, plainGuest:
		return ""
	}
	return `, allowed_connection_types: ["STANDARD", "WEBSOCKET"]`
}

// responses returns the permission of a role to answer requests for the status of its service.
// A leaf node needs none.
func (r Role) responses() string {
	switch r {
	case Sensor, Pinger, Ruled:
		return "\n          allow_responses: true"
	}
	return ""
}

func writeUserList(b *bytes.Buffer, users []user) {
	if len(users) == 0 {
		return
	}
	b.WriteString("    users: [\n")
	for _, u := range users {
		fmt.Fprintf(b, "      # %s\n      { nkey: %s", strings.TrimSpace(string(u.role)+" "+u.host), u.key)
		if publish, subscribe := u.permissions(); publish != nil || subscribe != nil {
			fmt.Fprintf(b, "%s\n        permissions: {\n          publish: %s\n          subscribe: %s%s\n        }\n     ",
				u.role.connections(), list(publish), list(subscribe), u.role.responses())
		}
		b.WriteString(" }\n")
	}
	b.WriteString("    ]\n")
}

// writeExports writes the exports of an account, each subject with the accounts that import
// it.
func writeExports(b *bytes.Buffer, account string, transfers []transfer) {
	type export struct{ kind, subject string }
	to, many := map[export][]string{}, map[export]bool{}
	var order []export
	for _, t := range transfers {
		if t.account != account {
			continue
		}
		e := export{t.kind, t.subject}
		if to[e] == nil {
			order = append(order, e)
		}
		to[e] = append(to[e], quote(t.to))
		many[e] = many[e] || t.many
	}
	if len(order) == 0 {
		return
	}
	b.WriteString("    exports: [\n")
	for _, e := range order {
		responses := ""
		if many[e] {
			responses = ", response_type: stream"
		}
		fmt.Fprintf(b, "      { %s: %s, accounts: [%s]%s }\n", e.kind, quote(e.subject), strings.Join(slices.Compact(slices.Sorted(slices.Values(to[e]))), ", "), responses)
	}
	b.WriteString("    ]\n")
}

// writeImports writes the imports of an account. A mapping sends the account's own messages
// on an imported subject elsewhere, so that no client in it can forge a message of the
// other account, not even by the answer to a request.
func writeImports(b *bytes.Buffer, account string, transfers []transfer) {
	var imports, mappings []string
	for _, t := range transfers {
		if t.to != account {
			continue
		}
		as := ""
		if t.as != "" {
			as = ", to: " + quote(t.as)
		}
		imports = append(imports, fmt.Sprintf("{ %s: { account: %s, subject: %s }%s }", t.kind, quote(t.account), quote(t.subject), as))
		if t.kind == "stream" && account != mainAccount && account != copyAccount && t.subject != inbox {
			subject := cmp.Or(t.as, t.subject)
			mapping := quote(subject) + ": " + quote("own."+strings.Replace(subject, "*", "$1", 1))
			if !slices.Contains(mappings, mapping) {
				mappings = append(mappings, mapping)
			}
		}
	}
	for _, section := range []struct {
		name, open, close string
		lines             []string
	}{{"imports", "[", "]", imports}, {"mappings", "{", "}", mappings}} {
		if len(section.lines) > 0 {
			fmt.Fprintf(b, "    %s: %s\n      %s\n    %s\n", section.name, section.open, strings.Join(section.lines, "\n      "), section.close)
		}
	}
}

// list writes one subject per line.
func list(subjects []string) string {
	var b strings.Builder
	for _, s := range subjects {
		fmt.Fprintf(&b, "\n            %s", quote(s))
	}
	return "[" + b.String() + "\n          ]"
}

// quote writes a string of printable characters in the syntax of nats-server.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// printable reports whether a string has printable characters only.
func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}
