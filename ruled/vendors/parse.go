package vendors

import (
	"bytes"
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"
)

// MaxSize is how much of a file Parse takes, in bytes. The largest there is,
// IEEE's oui.txt, has 6 MB.
const MaxSize = 64 << 20

const (
	// maxPrefixes bounds the memory of a table. The IEEE has assigned some 55,000 prefixes.
	maxPrefixes = 1 << 20
	// maxName bounds a vendor's name, in bytes. The longest that the IEEE has
	// registered has 108.
	maxName = 128
	// maxRecord bounds a record of a CSV file, in bytes. A record of commas alone takes ten
	// times its size in memory.
	maxRecord = 64 << 10
	// maxComments bounds the lines at the top that are searched for a day.
	maxComments = 1000
	// maxQuoted bounds what an error shows of the file, in bytes.
	maxQuoted = 80
)

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

type parser struct {
	file string
	// found is true once a line named a vendor, even if the table leaves it out.
	found bool
	// bad quotes the first line that did not, badLine counts from 1.
	bad     string
	badLine int
	date    string
	// comments counts the lines that were searched for it.
	comments int
	entries  []entry
	// ids has the index in ends of each name.
	ids   map[string]uint32
	ends  []uint32
	names []byte
	// name is the last name. Its memory is used again.
	name []byte
}

type entry struct {
	key    key
	vendor uint32
}

var (
	hexMark  = []byte("(hex)")
	baseMark = []byte("(base 16)")
)

// lines reads all formats but CSV.
func (p *parser) lines(data []byte) error {
	number := 0
	// In oui.txt and its like, a line with (hex) has the 24 bits, and the next, with (base
	// 16), the part of the block that both are about. The block is kept until then.
	var (
		isIEEE bool
		block  key // 0: none
		owner  []byte
		at     int
	)
	flush := func() error {
		k := block
		block = 0
		if k == 0 || !p.clean(owner) {
			return nil
		}
		return p.add(k, at)
	}
	for line := range bytes.Lines(data) {
		number++
		indented := line[0] == ' ' || line[0] == '\t'
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		if line[0] == '#' {
			p.comment(line)
			continue
		}
		if isIEEE {
			if indented {
				continue // the address of the vendor, which may begin like a prefix
			}
			if part, rest, ok := bytes.Cut(line, baseMark); ok && len(part) < maxPrefixText {
				if block != 0 {
					block, ok = partOf(block, bytes.TrimSpace(part))
					if !ok {
						p.fault(number, line)
					}
					owner = rest
				}
				if err := flush(); err != nil {
					return err
				}
				continue
			}
		}
		if err := flush(); err != nil {
			return err
		}
		k, rest, ok := cutPrefix(line)
		if !ok {
			p.fault(number, line)
			continue
		}
		separated := !isHex(line[2])
		if after, ok := bytes.CutPrefix(bytes.TrimSpace(rest), hexMark); ok && line[2] == '-' {
			isIEEE = true
			block, owner, at = k, after, number
			continue
		}
		if !p.clean(vendorIn(rest, separated)) {
			p.fault(number, line)
			continue
		}
		if err := p.add(k, number); err != nil {
			return err
		}
	}
	return flush()
}

// vendorIn finds the vendor in what follows the prefix. In manuf that is a short
// name, then perhaps the name, then perhaps a comment, in columns of which some
// are empty. Only manuf writes prefixes with separators.
func vendorIn(rest []byte, separated bool) []byte {
	short, more, _ := bytes.Cut(bytes.TrimSpace(rest), []byte("\t"))
	for len(more) > 0 {
		var column []byte
		column, more, _ = bytes.Cut(more, []byte("\t"))
		if column = bytes.TrimSpace(column); len(column) == 0 {
			continue
		}
		if column[0] != '#' {
			return column
		}
		break
	}
	if separated {
		short, _, _ = bytes.Cut(short, []byte(" # ")) // a comment in old ones
	}
	return short
}

// clean puts the printable form of a name in p.name, and reports whether there
// is anything in it.
func (p *parser) clean(name []byte) bool {
	b := p.name[:0]
	space := false
	for len(name) > 0 {
		if c := name[0]; c > ' ' && c < 0x7f && !space && len(b) < maxName { // what most are
			b, name = append(b, c), name[1:]
			continue
		}
		r, size := utf8.DecodeRune(name)
		name = name[size:]
		if unicode.IsSpace(r) {
			space = len(b) > 0
			continue
		}
		if !unicode.IsPrint(r) {
			r = utf8.RuneError
		}
		need := utf8.RuneLen(r)
		if space {
			need++
		}
		if len(b)+need > maxName {
			break
		}
		if space {
			b, space = append(b, ' '), false
		}
		b = utf8.AppendRune(b, r)
	}
	p.name = b
	return len(b) > 0
}

// add assigns the vendor in p.name to the prefix.
func (p *parser) add(k key, line int) error {
	p.found = true
	if k.unassigned() {
		return nil
	}
	if len(p.entries) == maxPrefixes {
		return fmt.Errorf("%s:%d: more than %d prefixes", p.file, line, maxPrefixes)
	}
	id, ok := p.ids[string(p.name)]
	if !ok {
		id = uint32(len(p.ends))
		p.names = append(p.names, p.name...)
		p.ends = append(p.ends, uint32(len(p.names)))
		p.ids[string(p.name)] = id
	}
	p.entries = append(p.entries, entry{k, id})
	return nil
}

// fault keeps the first line that names no vendor, for the error.
func (p *parser) fault(number int, line []byte) {
	if p.badLine != 0 {
		return
	}
	p.badLine = number
	if len(line) > maxQuoted {
		p.bad = strconv.Quote(string(line[:maxQuoted])) + "…"
		return
	}
	p.bad = strconv.Quote(string(line))
}

var (
	isoDay = regexp.MustCompile(`\b[0-9]{4}-[0-9]{2}-[0-9]{2}\b`)
	// httpDay is the day of a Last-Modified header, which manuf quotes.
	httpDay = regexp.MustCompile(`\b[0-9]{2} [A-Z][a-z]{2} [0-9]{4}\b`)
)

// comment looks for the day of the data in a comment at the top.
func (p *parser) comment(line []byte) {
	if p.comments++; p.found || p.comments > maxComments || len(line) > 1000 {
		return
	}
	for _, f := range []struct {
		pattern *regexp.Regexp
		layout  string
	}{{isoDay, time.DateOnly}, {httpDay, "02 Jan 2006"}} {
		day, err := time.Parse(f.layout, string(f.pattern.Find(line)))
		if err == nil {
			p.date = max(p.date, day.Format(time.DateOnly))
		}
	}
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
