package rules

import (
	_ "embed"
	"fmt"
)

//go:embed builtin.xml
var builtinXML []byte

// BuiltinXML returns the file of the built-in rules, for somebody who wants to
// write their own after it.
func BuiltinXML() []byte { return append([]byte(nil), builtinXML...) }

// Builtin returns the rules that are used when there is no rule file: what
// leaves a master is relayed, and what is wrong in a frame raises an alert.
func Builtin() *Set {
	set, err := Parse("builtin.xml", builtinXML)
	if err != nil {
		panic(fmt.Sprintf("rules: the built-in rules are faulty, which the tests rule out: %v", err))
	}
	return set
}
