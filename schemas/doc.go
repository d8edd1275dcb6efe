// Package schemas is the contract between ndmon's processes: the messages that they exchange, the
// fields of rules, and the NATS subjects and streams. It has no behaviour of its own.
//
// The Go types are the only source of the contract. The json tag of a member is its name in the
// message and, because a rule field is a path in the event, in rules too. The tag doc describes a
// member and makes it a field, and the tag bit of a flag has its bit in the frame. The table of
// fields (Fields), the tables of flags (AllFlags), the JSON codec and the JSON Schemas (folder
// jsonschema) are derived from the types, so a new field or flag is one line here.
package schemas
