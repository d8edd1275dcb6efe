package vendors

import (
	"fmt"
	"regexp"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	// maxPrefixes bounds the memory of a table. The IEEE has assigned some 55,000 prefixes.
	maxPrefixes = 1 << 20
	// maxName bounds a vendor's name, in bytes. The longest that the IEEE has registered has 108.
	maxName = 128
	// maxRecord bounds a record of a CSV file, in bytes. A record of commas alone takes ten times its size in memory.
	maxRecord = 64 << 10
	// maxComments bounds the lines at the top that are searched for a day.
	maxComments = 1000
	// maxQuoted bounds what an error shows of the file, in bytes.
	maxQuoted = 80
)

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

// clean puts the printable form of a name in p.name, and reports whether there is anything in it.
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
