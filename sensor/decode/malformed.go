package decode

import "fmt"

// maxFaults is how many faults of a message are described.
const maxFaults = 3

// malformed describes the faults of a message in words.
type malformed struct {
	text  string
	count int
	// pvd is the position of the PvD option whose options are being decoded, or 0.
	pvd int
}

// add adds a fault.
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

// addOption adds a fault of an option. A message may have thousands of bad options, so those
// that are not described are only counted.
func (m *malformed) addOption(option uint8, at, size int, fault string) {
	if m.count >= maxFaults {
		m.count++
		return
	}
	m.add("option %d%s at byte %d, %d bytes long: %s", option, optionName(option), at, size, fault)
}

// String returns the first faults and the number of all others.
func (m *malformed) String() string {
	if m.count <= maxFaults {
		return m.text
	}
	return fmt.Sprintf("%s; and %d more", m.text, m.count-maxFaults)
}
