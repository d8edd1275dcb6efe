package schemas

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type object = map[string]any

// channel is a row of the AsyncAPI document. Its operations are those of ndmon's programs.
type channel struct {
	name, address string
	// messages are values of the member "type", or "batch".
	messages      []string
	send, receive string // who does, empty for no one of them
	reply         string // the message that answers, if any
	internal      bool
	title, stored string
}

// channels returns a row for each subject.
func channels() []channel {
	binding := PrefixHistory + strings.Repeat("{group}.", 8) + "{ethernet}.{host}.{interface}.{vlan}.{first}"
	for i := range 8 {
		binding = strings.Replace(binding, "{group}", "{address"+strconv.Itoa(i+1)+"}", 1)
	}
	const silence = prefixSilences + "{rule}.{host}.{interface}.{vlan}.{station}"
	return []channel{
		{name: "events", address: braces(EventSubject("HOST", "INTERFACE", "KIND")), messages: []string{TypeEvent}, send: "nd-sensor, nd-pinger", title: "Events, as they happen"},
		{name: "batches", address: braces(BatchSubject("HOST", "INTERFACE")), messages: []string{"batch"}, send: "nd-sensor, nd-pinger", stored: StreamEvents, title: "The same events, to be stored"},
		{name: "storedBatches", address: braces(BatchSubject("HOST", "INTERFACE")) + ".{partition}", messages: []string{"batch"}, receive: "nd-ruled", title: "Batches as the stream stores them, with the partition of their host"},
		{name: "alerts", address: SubjectAlerts, messages: []string{TypeAlert}, send: "nd-ruled", stored: StreamAlerts, title: "Alerts"},
		{name: "relay", address: braces(RelaySubject("HOST")), messages: []string{TypeRelay}, send: "nd-ruled, ndmon find", receive: "nd-pinger", title: "Relay commands for a host"},
		{name: "relayAll", address: SubjectRelayAll, messages: []string{TypeRelay}, send: "nd-ruled, ndmon find", receive: "nd-pinger", title: "Relay commands for every host"},
		{name: "results", address: braces(ResultSubject("HOST")), messages: []string{TypeResult}, send: "nd-pinger", title: "Results of relay commands"},
		{name: "history", address: binding, messages: []string{TypeBinding}, send: "nd-ruled", stored: StreamHistory, title: "Which station used which address, when and where"},
		{name: "stations", address: prefixStations + "{ethernet}" + strings.Replace(strings.TrimPrefix(binding, strings.TrimSuffix(PrefixHistory, ".")), ".{ethernet}", "", 1), messages: []string{TypeBinding}, stored: StreamStations, title: "The same bindings by station, a copy that the server makes"},
		{name: "silences", address: silence, messages: []string{TypeSilence}, send: "ndmon web", stored: "KV_" + BucketSilences, title: "Alerts that a user acknowledged or silenced"},
		{name: "status", address: braces(StatusSubject("SERVICE", "HOST")), receive: "every daemon", reply: TypeStatus, title: "Requests for the status of a daemon"},

		{name: "storedAlerts", address: SubjectStored, messages: []string{TypeAlert}, internal: true, title: "Alerts that are stored, for the accounts of readers"},
		{name: "fences", address: prefixFences + "{publisher}", internal: true, title: "Which publisher of alerts may store them"},
		{name: "state", address: braces(StateSubject("CONSUMER")), internal: true, title: "Requests to store the state of an nd-ruled now"},
		{name: "uplinkAlerts", address: UplinkAlerts, messages: []string{TypeAlert}, internal: true, title: "Alerts of an edge, for its hub"},
		{name: "uplinkHistory", address: UplinkHistory + strings.TrimPrefix(binding, PrefixHistory), messages: []string{TypeBinding}, internal: true, title: "History of an edge, for its hub"},
		{name: "uplinkHeartbeats", address: braces(UplinkHeartbeatSubject("HOST")), messages: []string{"batch"}, internal: true, title: "Heartbeats of an edge, for its hub"},
		{name: "uplinkFences", address: braces(UplinkFenceSubject("HOST")), internal: true, title: "Up to where an edge has forwarded its alerts"},
		{name: "uplinkPosition", address: braces(UplinkPositionSubject("HOST")), internal: true, title: "Requests for that"},
		{name: "uplinkRules", address: UplinkRules, internal: true, title: "Requests for the newest central rules"},
		{name: "uplinkRulesChanged", address: UplinkRulesChanged, internal: true, title: "The central rules, when they change"},
	}
}

// parameters describes the tokens of subjects.
func parameters() map[string]string {
	all := map[string]string{
		"host":      "name of the host; a byte that is no letter, digit, - or _ is = and two hexadecimal digits",
		"interface": "name of the interface, written as the host is; = for heartbeats",
		"kind":      "rs, ra, ns, na, rd or other",
		"partition": "partition of the host, 0 to " + strconv.Itoa(Partitions-1),
		"ethernet":  "Ethernet address, such as 02:00:00:00:00:01",
		"vlan":      "VLAN, 7-100 for VLAN 100 in VLAN 7, - for none",
		"first":     "when the station was first heard with the address, in milliseconds since 1970",
		"rule":      "id of the rule, written as the host is",
		"station":   "Ethernet address without colons, - for all stations",
		"service":   "nd-sensor, nd-pinger, nd-ruled or ndmon",
		"publisher": "name of the publisher",
		"consumer":  "name of the consumer",
	}
	for i := range 8 {
		all["address"+strconv.Itoa(i+1)] = "group " + strconv.Itoa(i+1) + " of the IPv6 address, four hexadecimal digits"
	}
	return all
}

var (
	capitals  = regexp.MustCompile(`\b[A-Z]{4,}\b`)
	parameter = regexp.MustCompile(`\{(\w+)\}`)
)

// braces returns a subject with its tokens in capitals as parameters.
func braces(subject string) string {
	return capitals.ReplaceAllStringFunc(subject, func(s string) string {
		if s == "STATUS" {
			return s
		}
		return "{" + strings.ToLower(s) + "}"
	})
}

func ref(path string) object { return object{"$ref": path} }

// messageName returns the name of the component of a message, such as alert.
func messageName(message string) string {
	return strings.TrimSuffix(strings.TrimPrefix(message, "nd."), ".v1")
}

func asyncAPI() object {
	messages := object{"batch": object{
		"name": "batch", "title": "Events of one interface, each on a line of its own", "contentType": "application/x-ndjson",
		"payload": object{"type": "string", "description": "each line is a message " + TypeEvent},
	}}
	for messageType := range messageSchemas() {
		messages[messageName(messageType)] = object{"name": messageType, "payload": ref("./jsonschema/" + messageType + ".json")}
	}
	all, operations := object{}, object{}
	for _, c := range channels() {
		doc := object{"address": c.address, "title": c.title}
		if c.stored != "" {
			doc["description"] = "Stored in the stream " + c.stored + "."
		}
		if c.internal {
			doc["tags"] = []object{{"name": "internal", "description": "Between ndmon's own programs; it may change."}}
		}
		params := object{}
		for _, found := range parameter.FindAllStringSubmatch(c.address, -1) {
			params[found[1]] = ref("#/components/parameters/" + found[1])
		}
		if len(params) > 0 {
			doc["parameters"] = params
		}
		known := object{}
		for _, m := range c.messages {
			known[messageName(m)] = ref("#/components/messages/" + messageName(m))
		}
		if len(known) > 0 {
			doc["messages"] = known
		}
		all[c.name] = doc
		for action, who := range map[string]string{"send": c.send, "receive": c.receive} {
			if who == "" {
				continue
			}
			operation := object{"action": action, "channel": ref("#/channels/" + c.name), "summary": who}
			if c.reply != "" {
				name := messageName(c.reply)
				all["reply"] = object{"address": nil, "title": "The reply subject of a request", "messages": object{name: ref("#/components/messages/" + name)}}
				operation["reply"] = object{"channel": ref("#/channels/reply")}
			}
			operations[action+strings.ToUpper(c.name[:1])+c.name[1:]] = operation
		}
	}
	described := object{}
	for name, description := range parameters() {
		described[name] = object{"description": description}
	}
	return object{
		"asyncapi": "3.0.0",
		"info": object{
			"title": "ndmon", "version": "1",
			"description":  "Messages of ndmon's daemons on NATS. The operations are those of the programs in their summary.",
			"license":      object{"name": "MIT"},
			"externalDocs": object{"url": "https://github.com/ndmon/ndmon/blob/main/docs/messages.md"},
		},
		"defaultContentType": "application/json",
		"channels":           all,
		"operations":         operations,
		"components":         object{"messages": messages, "parameters": described},
	}
}

func TestAsyncAPIIsThatOfTheSubjects(t *testing.T) {
	got, err := json.MarshalIndent(asyncAPI(), "", "  ")
	check(t, err)
	got = append(got, '\n')
	if *update {
		check(t, os.WriteFile("asyncapi.json", got, 0o644))
	}
	want, err := os.ReadFile("asyncapi.json")
	check(t, err)
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("asyncapi.json is old, run go test -update (-file +subjects):\n%s", diff)
	}
	var doc object
	check(t, json.Unmarshal(got, &doc))
	checkRefs(t, doc, doc)
}

// checkRefs checks that each $ref in a part of the document leads somewhere.
func checkRefs(t *testing.T, doc object, part any) {
	t.Helper()
	switch part := part.(type) {
	case []any:
		for _, p := range part {
			checkRefs(t, doc, p)
		}
	case object:
		for name, p := range part {
			to, isString := p.(string)
			path, inside := strings.CutPrefix(to, "#/")
			switch {
			case name != "$ref" || !isString:
				checkRefs(t, doc, p)
			case inside:
				var at any = doc
				for step := range strings.SplitSeq(path, "/") {
					at = at.(object)[step]
				}
				if at == nil {
					t.Errorf("$ref %s leads nowhere", to)
				}
			default:
				if _, err := os.Stat(to); err != nil {
					t.Errorf("$ref: %v", err)
				}
			}
		}
	}
}

// Each subject that the package has in a text is that of a channel, or what some begin with.
func TestEverySubjectIsInAsyncAPI(t *testing.T) {
	files, err := filepath.Glob("*.go")
	check(t, err)
	found := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		syntax, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		check(t, err)
		ast.Inspect(syntax, func(n ast.Node) bool {
			literal, ok := n.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(literal.Value)
			check(t, err)
			if !strings.HasPrefix(text, "nd.") || messageSchemas()[text] != nil {
				return true
			}
			found++
			if !slices.ContainsFunc(channels(), func(c channel) bool { return strings.HasPrefix(c.address, strings.TrimSuffix(text, ">")) }) {
				t.Errorf("%s: no channel has the subject %s", file, text)
			}
			return true
		})
	}
	if found < 15 {
		t.Errorf("only %d subjects were found", found)
	}
}
