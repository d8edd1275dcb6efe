// Package vendors names the makers of Ethernet addresses, from a built-in table that a file can replace.
//
// The IEEE Registration Authority assigns makers the first 24 bits of their addresses (MA-L), or 28 (MA-M) or
// 36 (MA-S, formerly IAB) when they make few devices: https://standards.ieee.org/products-programs/regauth/.
package vendors

import (
	"bytes"
	"cmp"
	"compress/gzip"
	_ "embed"
	"fmt"
	"slices"
	"strconv"

	"github.com/ndmon/ndmon/ruled/internal/regular"
)

// vendors.txt.gz is the IEEE's registries as Debian's package ieee-data ships
// them. To renew it, set the date of newer files here.
//
//go:generate go run gen.go -date 2022-08-27 -source "IEEE registries, by Debian's ieee-data" -o vendors.txt.gz /usr/share/ieee-data/oui.csv /usr/share/ieee-data/mam.csv /usr/share/ieee-data/oui36.csv /usr/share/ieee-data/iab.csv
//go:embed vendors.txt.gz
var builtin []byte

// Builtin returns the table that is built in. It is unpacked at each call, which
// takes some 30 ms: call it once and keep the table.
func Builtin() *Table {
	t, err := unpack()
	if err != nil {
		panic(fmt.Sprintf("vendors: the built-in table is faulty, which the tests rule out: %v", err))
	}
	return t
}

func unpack() (*Table, error) {
	packed, err := gzip.NewReader(bytes.NewReader(builtin))
	if err != nil {
		return nil, fmt.Errorf("unpack vendors.txt.gz: %w", err)
	}
	var text bytes.Buffer
	text.Grow(4 * len(builtin)) // it is packed to a third
	if _, err := text.ReadFrom(packed); err != nil {
		return nil, fmt.Errorf("unpack vendors.txt.gz: %w", err)
	}
	return Parse("vendors.txt", text.Bytes())
}

// Load reads the file that names the makers of Ethernet addresses, or returns the built-in table if the name is empty.
func Load(file string) (*Table, error) {
	if file == "" {
		return Builtin(), nil
	}
	data, err := regular.Read(file, MaxSize)
	if err != nil {
		return nil, err
	}
	return Parse(file, data)
}

// MaxSize is how much of a file Parse takes, in bytes. The largest there is, IEEE's oui.txt, has 6 MB.
const MaxSize = 64 << 20

// registrar is the holder that the IEEE names for blocks of which it assigns parts. It makes
// no devices: the vendor of a part that is not in the table is unknown.
const registrar = "IEEE Registration Authority"

// Parse reads a table of the vendors of Ethernet addresses. It recognises the format by the content:
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
