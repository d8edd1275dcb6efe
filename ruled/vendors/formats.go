package vendors

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
)

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

// vendorIn finds the vendor in what follows the prefix. In manuf that is a short name, then perhaps the name,
// then perhaps a comment, in columns of which some are empty. Only manuf writes prefixes with separators.
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

// isCSV reports whether the first line that is no comment is that of one of the IEEE's CSV files.
func isCSV(data []byte) bool {
	for line := range bytes.Lines(data) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		first, _, _ := bytes.Cut(line[:min(len(line), 20)], []byte(","))
		switch string(bytes.Trim(first, `"`)) {
		case "Registry", "MA-L", "MA-M", "MA-S", "IAB", "CID":
			return true
		}
		return false
	}
	return false
}

// csv reads the columns Registry, Assignment, Organization Name and Organization Address, of which the last
// may have line breaks. A broken quotation would hide what follows it, so it is an error.
func (p *parser) csv(data []byte) error {
	for line := range bytes.Lines(data) {
		if line[0] != '#' {
			break
		}
		p.comment(line)
	}
	if err := p.checkRecords(data); err != nil {
		return err
	}
	r := csv.NewReader(bytes.NewReader(data))
	r.Comment = '#'
	r.FieldsPerRecord = -1
	r.ReuseRecord = true
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if broken, ok := errors.AsType[*csv.ParseError](err); ok {
			return fmt.Errorf("%s:%d: broken CSV: %w", p.file, broken.StartLine, err)
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", p.file, err)
		}
		line, _ := r.FieldPos(0)
		if len(record) >= 3 {
			if k, rest, ok := cutPrefix([]byte(strings.TrimSpace(record[1]))); ok && len(rest) == 0 && p.clean([]byte(record[2])) {
				if err := p.add(k, line); err != nil {
					return err
				}
				continue
			}
			if record[1] == "Assignment" {
				continue // a heading
			}
		}
		p.fault(line, []byte(strings.Join(record[:min(len(record), 3)], ",")))
	}
}

// checkRecords refuses a CSV file with too long a record. A record ends with the line in which its quotes are even.
func (p *parser) checkRecords(data []byte) error {
	number, begin, length, quotes := 0, 0, 0, 0
	for line := range bytes.Lines(data) {
		number++
		if length == 0 {
			if line[0] == '#' {
				continue
			}
			begin = number
		}
		length += len(line)
		if length > maxRecord {
			return fmt.Errorf("%s:%d: broken CSV: a record of more than %d bytes; does a quotation not end?",
				p.file, begin, maxRecord)
		}
		if quotes += bytes.Count(line, []byte(`"`)); quotes%2 == 0 {
			length, quotes = 0, 0
		}
	}
	return nil
}
