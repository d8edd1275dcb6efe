package rulefile

import (
	"github.com/ndmon/ndmon/ruled/link/router"
	"github.com/ndmon/ndmon/ruled/rulefile/internal/markup"
	"github.com/ndmon/ndmon/ruled/rulefile/internal/routers"
	"github.com/ndmon/ndmon/ruled/rules"
)

// Bounds of a rule file.
const (
	// MaxSize is the largest file that Parse accepts, in bytes.
	MaxSize = markup.MaxSize

	maxDescription = 1024 // bytes
	maxHost        = 255  // bytes, as a sensor's name of its host
	maxRelayHosts  = 256
)

// Set is the content of one file.
type Set struct {
	// Rules are in the order of the file.
	Rules []rules.Rule
	// Links has the routers that the file lists, by link: at most 10,000 links, sorted by host, interface and
	// VLAN, each with 1 to 1024 routers. A link whose list of routers is empty in the file is not among them.
	Links []router.Link
	// Notices tell the user of the file about oddities that are no faults, by line.
	Notices []Remark
}

// Remark is about a line of a rule file.
type Remark = markup.Remark

// Faults is the error of a rule file that was refused.
type Faults = markup.Faults

// parser reads a file into a Set.
type parser struct {
	*markup.Reader
	set     *Set
	idLines map[string]int // id to the line of the rule that has it

	ndpmon       bool          // the root is that of a configuration of NDPMon
	wholeLine    int           // of what shows that it is a whole one, or 0
	wroteUnknown bool          // NDPMon wrote the file itself
	probe        routers.Probe // the one that is being read
	routers      routers.List
	idle         struct { // the settings that have no effect here
		names []string
		line  int // of the first
	}
	builtin struct { // which built-in rules the file includes
		all   func() []rules.Rule // all of them; nil while they are read themselves
		line  int                 // of <builtin/>, or 0
		at    int                 // how many rules of the file come before them
		rules []rules.Rule
	}
}

func newParser(name string, data []byte) *parser {
	return &parser{Reader: markup.NewReader(name, data), set: &Set{}, idLines: map[string]int{}, routers: routers.NewList()}
}
