package decode

import (
	"fmt"
)

// maxFaults is how many faults of a message are put into words.
const maxFaults = 3

// malformed collects what is wrong with a message, in words for a person.
type malformed struct {
	text  string
	count int
	// pvd is where the PvD option stands whose options are decoded, 0 for those of
	// the message.
	pvd int
}

// add notes a fault.
func (m *malformed) add(format string, args ...any) {
	m.count++
	if m.count > maxFaults {
		return
	}
	if m.count > 1 {
		m.text += "; "
	}
	if m.pvd > 0 {
		m.text += fmt.Sprintf("in the PvD option at byte %d, ", m.pvd)
	}
	m.text += fmt.Sprintf(format, args...)
}

// addOption notes what is wrong with an option. A message may have thousands
// that are, so only those that are put into words cost anything.
func (m *malformed) addOption(option uint8, at, size int, fault string) {
	if m.count >= maxFaults {
		m.count++
		return
	}
	m.add("option %d%s at byte %d, %d bytes long: %s", option, optionName(option), at, size, fault)
}

// String returns the first faults, and how many there are beside them.
func (m *malformed) String() string {
	if m.count <= maxFaults {
		return m.text
	}
	return fmt.Sprintf("%s; and %d more", m.text, m.count-maxFaults)
}
