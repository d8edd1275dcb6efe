package vendors

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
)

// MaxSize is how much of a file Parse takes, in bytes. The largest there is,
// IEEE's oui.txt, has 6 MB.
const MaxSize = 64 << 20

// registrar is the holder that the IEEE names for blocks of which it assigns parts. It makes
// no devices: the vendor of a part that is not in the table is unknown.
const registrar = "IEEE Registration Authority"

// Parse reads a table of the vendors of Ethernet addresses. It recognises the format by the
// content:
//
//   - Wireshark's manuf, "00:00:0C	Cisco	Cisco Systems, Inc" with or without the
//     third column, and with masks, "70:B3:D5:00:00:00/36";
//   - the IEEE's oui.txt, mam.txt and oui36.txt, "00-00-0C   (hex)		Cisco Systems, Inc";
//   - the IEEE's oui.csv, mam.csv, oui36.csv and iab.csv, also one after the other;
//   - nmap's nmap-mac-prefixes, "00000C Cisco Systems";
//   - its own, "00000C	Cisco Systems, Inc" with 6, 7 or 9 digits.
//
// The last line for a prefix holds, so that users can append their own lines to a file. A
// line that starts with # is a comment; the latest day in the comments at the top is the
// table's date. Parse ignores other lines that name no vendor, and prefixes without one: of
// group addresses, of locally administered ones, and of the IEEE Registration Authority.
//
// An error has the file, the line and the reason: no line names a vendor, a CSV file is
// broken, or there are more than MaxSize bytes or 1,048,576 prefixes.
//
// Names are shortened to 128 bytes. Characters that cannot be printed become U+FFFD.
func Parse(name string, data []byte) (*Table, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("%s: larger than %d bytes", name, MaxSize)
	}
	const line = 30 // bytes, on the average
	p := parser{
		file:    name,
		entries: make([]entry, 0, min(len(data)/line, maxPrefixes)),
		ids:     make(map[string]uint32, min(len(data)/line, maxPrefixes)/2),
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	read := p.lines
	if isCSV(data) {
		read = p.csv
	}
	if err := read(data); err != nil {
		return nil, err
	}
	if !p.found {
		if p.badLine == 0 {
			return nil, fmt.Errorf("%s: no line names a vendor", name)
		}
		return nil, fmt.Errorf("%s:%d: %s is not a prefix of an Ethernet address and its vendor, such as %s; no line of the file is",
			name, p.badLine, p.bad, strconv.Quote("00:00:0C\tCisco Systems, Inc"))
	}
	return p.table(), nil
}

// table makes the table of the entries.
func (p *parser) table() *Table {
	slices.SortStableFunc(p.entries, func(a, b entry) int { return cmp.Compare(a.key, b.key) })
	t := &Table{
		date:    p.date,
		keys:    make([]key, 0, len(p.entries)),
		index:   make([]uint32, 1<<indexBits+1),
		parents: make([]int32, 0, len(p.entries)),
		vendors: make([]uint32, 0, len(p.entries)),
		ends:    slices.Clone(p.ends),
		names:   string(p.names),
	}
	for i, e := range p.entries {
		if i+1 < len(p.entries) && p.entries[i+1].key == e.key {
			continue // the last holds
		}
		if t.vendor(e.vendor) == registrar {
			continue
		}
		parent := int32(len(t.keys)) - 1
		for parent >= 0 && !t.keys[parent].has(e.key) {
			parent = t.parents[parent]
		}
		t.keys = append(t.keys, e.key)
		t.parents = append(t.parents, parent)
		t.vendors = append(t.vendors, e.vendor)
		t.index[e.key>>(keyShift+maxBits-indexBits)+1]++
	}
	// From how many keys begin with n-1 to how many begin with less than n.
	for n := range 1 << indexBits {
		t.index[n+1] += t.index[n]
	}
	return t
}
