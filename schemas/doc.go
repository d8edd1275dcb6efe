// Package schemas is the contract between ndmon's processes: the messages they
// exchange, the fields that rules can ask about, the NATS subjects and streams.
//
// The Go types in this package are the one source of that contract. Their json
// tags name the members of the messages, and because a rule field is a path in
// the event, they name the rule fields too; the doc tag of a member describes
// it and makes it a field. The table of fields (Fields), the JSON codec of
// events (Event.AppendJSON, Event.ParseJSON) and the JSON Schemas
// (JSONSchema) are all derived from the types, so a new field is added here
// and nowhere else.
package schemas
