package vendors

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
)

// isCSV reports whether the first line that is no comment is that of one of the
// IEEE's CSV files.
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

// csv reads the columns Registry, Assignment, Organization Name and Organization
// Address, of which the last may have line breaks. A broken quotation would hide
// what follows it, so it is an error.
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

// checkRecords refuses a CSV file with too long a record. A record ends with the
// line in which its quotes are even.
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
