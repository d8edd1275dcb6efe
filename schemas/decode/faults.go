package decode

import "fmt"

// maxFaults is how many faults of a message are put into words.
const maxFaults = 3

// faults collects what is wrong with a message.
type faults struct {
	text  string
	count int
}

// add notes a fault, worded for a person.
func (f *faults) add(format string, args ...any) {
	f.count++
	if f.count > maxFaults {
		return
	}
	if f.count > 1 {
		f.text += "; "
	}
	f.text += fmt.Sprintf(format, args...)
}

// String returns the first faults, and how many there are beside them.
func (f *faults) String() string {
	if f.count <= maxFaults {
		return f.text
	}
	return fmt.Sprintf("%s; and %d more", f.text, f.count-maxFaults)
}
