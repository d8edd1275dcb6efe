package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"unicode/utf8"
)

// scanner reads the tokens of JSON text (RFC 8259).
type scanner struct {
	data  []byte
	pos   int
	depth int
}

// maxDepth limits how deep objects and lists nest. An event needs 7.
const maxDepth = 32

func (s *scanner) errorf(format string, args ...any) error {
	return fmt.Errorf("byte %d: %s", s.pos, fmt.Sprintf(format, args...))
}

func (s *scanner) enter() error {
	if s.depth++; s.depth > maxDepth {
		return s.errorf("nested more than %d deep", maxDepth)
	}
	return nil
}

func (s *scanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// peek skips white space and returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	if s.pos < len(s.data) && s.data[s.pos] > ' ' {
		return s.data[s.pos]
	}
	s.space()
	if s.pos == len(s.data) {
		return 0
	}
	return s.data[s.pos]
}

func (s *scanner) expect(c byte) error {
	if got := s.peek(); got != c || s.pos == len(s.data) {
		return s.errorf("expected %q, found %s", c, s.found())
	}
	s.pos++
	return nil
}

func (s *scanner) found() string {
	if s.pos >= len(s.data) {
		return "the end"
	}
	return fmt.Sprintf("%q", s.data[s.pos])
}

// name reads the name of the next member of an object and what is before its value.
func (s *scanner) name(first bool) ([]byte, error) {
	if !first {
		if err := s.expect(','); err != nil {
			return nil, err
		}
	}
	name, err := s.text()
	if err != nil {
		return nil, err
	}
	return name, s.expect(':')
}

func (s *scanner) literal(word string) bool {
	if bytes.HasPrefix(s.data[s.pos:], []byte(word)) {
		s.pos += len(word)
		return true
	}
	return false
}

func (s *scanner) boolean() (bool, error) {
	s.space()
	switch {
	case s.literal("true"):
		return true, nil
	case s.literal("false"):
		return false, nil
	}
	return false, s.errorf("expected true or false, found %s", s.found())
}

func (s *scanner) uint() (uint64, error) {
	first := s.peek()
	var n uint64
	pos := s.pos
	for ; pos < len(s.data); pos++ {
		d := uint64(s.data[pos] - '0')
		if d > 9 {
			break
		}
		if n > (math.MaxUint64-d)/10 {
			s.pos = pos
			return 0, s.errorf("number is too large")
		}
		n = n*10 + d
	}
	digits := pos - s.pos
	s.pos = pos
	switch {
	case digits == 0:
		return 0, s.errorf("expected a whole number, found %s", s.found())
	case digits > 1 && first == '0':
		return 0, s.errorf("number begins with 0")
	case pos < len(s.data) && (s.data[pos] == '.' || s.data[pos]|0x20 == 'e'):
		return 0, s.errorf("expected a whole number, found %s", s.found())
	}
	return n, nil
}

// text reads a string. The result may point into the data.
func (s *scanner) text() ([]byte, error) {
	if s.peek() != '"' {
		return nil, s.expect('"') // which fails
	}
	s.pos++
	start := s.pos
	if end := start + plain(s.data[start:]); end < len(s.data) && s.data[end] == '"' {
		s.pos = end + 1
		return s.data[start:end], nil
	}
	escaped, ascii := false, true
	for ; s.pos < len(s.data); s.pos++ {
		switch c := s.data[s.pos]; {
		case c == '"':
			raw := s.data[start:s.pos]
			s.pos++
			if !ascii && !utf8.Valid(raw) {
				return nil, s.errorf("string is not UTF-8")
			}
			if !escaped {
				return raw, nil
			}
			var text string
			if err := json.Unmarshal(s.data[start-1:s.pos], &text); err != nil {
				return nil, s.errorf("string: %v", err)
			}
			return []byte(text), nil
		case c == '\\':
			escaped = true
			s.pos++
		case c < 0x20:
			return nil, s.errorf("control character in a string")
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return nil, s.errorf("string does not end")
}

func (s *scanner) skip() error {
	switch c := s.peek(); {
	case c == '{', c == '[':
		return s.skipAll(c + 2) // in ASCII, the closing bracket
	case c == '"':
		_, err := s.text()
		return err
	case c == '-' || c >= '0' && c <= '9':
		return s.skipNumber()
	}
	if s.literal("true") || s.literal("false") || s.literal("null") {
		return nil
	}
	return s.errorf("expected a value, found %s", s.found())
}

func (s *scanner) skipAll(end byte) error {
	if err := s.enter(); err != nil {
		return err
	}
	s.pos++
	for first := true; s.peek() != end; first = false {
		var err error
		switch {
		case end == '}':
			_, err = s.name(first)
		case !first:
			err = s.expect(',')
		}
		if err != nil {
			return err
		}
		if err := s.skip(); err != nil {
			return err
		}
	}
	s.pos++
	s.depth--
	return nil
}

func (s *scanner) skipNumber() error {
	start := s.pos
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; {
		case c >= '0' && c <= '9', c == '-', c == '+', c == '.', c|0x20 == 'e':
			s.pos++
			continue
		}
		break
	}
	if !json.Valid(s.data[start:s.pos]) {
		return s.errorf("%q is not a number", s.data[start:s.pos])
	}
	return nil
}
