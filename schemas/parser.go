package schemas

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/bits"
	"unicode/utf8"
)

// parser walks JSON text (RFC 8259). It keeps no state between calls but the
// position and the depth.
type parser struct {
	data  []byte
	pos   int
	depth int
}

// maxDepth bounds how deep objects and lists nest: an event needs 7.
const maxDepth = 32

func (p *parser) errorf(format string, args ...any) error {
	return fmt.Errorf("byte %d: %s", p.pos, fmt.Sprintf(format, args...))
}

func (p *parser) enter() error {
	if p.depth++; p.depth > maxDepth {
		return p.errorf("nested more than %d deep", maxDepth)
	}
	return nil
}

func (p *parser) space() {
	for p.pos < len(p.data) {
		switch p.data[p.pos] {
		case ' ', '\t', '\n', '\r':
			p.pos++
		default:
			return
		}
	}
}

// peek passes over white space and returns the byte behind it, 0 at the end.
func (p *parser) peek() byte {
	if p.pos < len(p.data) && p.data[p.pos] > ' ' {
		return p.data[p.pos]
	}
	p.space()
	if p.pos == len(p.data) {
		return 0
	}
	return p.data[p.pos]
}

func (p *parser) expect(c byte) error {
	if got := p.peek(); got != c || p.pos == len(p.data) {
		return p.errorf("expected %q, found %s", c, p.found())
	}
	p.pos++
	return nil
}

// found names what stands at the position, for an error.
func (p *parser) found() string {
	if p.pos >= len(p.data) {
		return "the end"
	}
	return fmt.Sprintf("%q", p.data[p.pos])
}

// name reads up to the next member's value and returns its name, nil at the
// object's end.
func (p *parser) name(first bool) ([]byte, error) {
	switch c := p.peek(); {
	case c == '}':
		p.pos++
		return nil, nil
	case !first:
		if err := p.expect(','); err != nil {
			return nil, err
		}
	}
	name, err := p.text()
	if err != nil {
		return nil, err
	}
	if name == nil {
		name = []byte{} // the empty name is a name
	}
	return name, p.expect(':')
}

// element reads up to the next element of a list, or past the list's end.
func (p *parser) element(first bool) (bool, error) {
	switch c := p.peek(); {
	case c == ']':
		// A comma before it was refused by the value that did not follow.
		p.pos++
		return false, nil
	case first:
		return true, nil
	}
	if err := p.expect(','); err != nil {
		return false, err
	}
	if p.peek() == ']' {
		return false, p.errorf("expected a value, found ']'")
	}
	return true, nil
}

func (p *parser) literal(word string) bool {
	if bytes.HasPrefix(p.data[p.pos:], []byte(word)) {
		p.pos += len(word)
		return true
	}
	return false
}

func (p *parser) boolean() (bool, error) {
	p.space()
	switch {
	case p.literal("true"):
		return true, nil
	case p.literal("false"):
		return false, nil
	}
	return false, p.errorf("expected true or false, found %s", p.found())
}

// uint reads a whole number that is not negative.
func (p *parser) uint() (uint64, error) {
	first := p.peek()
	var n uint64
	pos := p.pos
	for ; pos < len(p.data); pos++ {
		d := uint64(p.data[pos] - '0')
		if d > 9 {
			break
		}
		if n > (math.MaxUint64-d)/10 {
			p.pos = pos
			return 0, p.errorf("number is too large")
		}
		n = n*10 + d
	}
	digits := pos - p.pos
	p.pos = pos
	switch {
	case digits == 0:
		return 0, p.errorf("expected a whole number, found %s", p.found())
	case digits > 1 && first == '0':
		return 0, p.errorf("number begins with 0")
	case pos < len(p.data) && (p.data[pos] == '.' || p.data[pos]|0x20 == 'e'):
		return 0, p.errorf("expected a whole number, found %s", p.found())
	}
	return n, nil
}

// text reads a string. What it returns may point into the data.
func (p *parser) text() ([]byte, error) {
	if p.peek() != '"' {
		return nil, p.expect('"') // which fails
	}
	p.pos++
	start := p.pos
	if end := start + plain(p.data[start:]); end < len(p.data) && p.data[end] == '"' {
		p.pos = end + 1
		return p.data[start:end], nil
	}
	escaped, ascii := false, true
	for ; p.pos < len(p.data); p.pos++ {
		switch c := p.data[p.pos]; {
		case c == '"':
			raw := p.data[start:p.pos]
			p.pos++
			if !ascii && !utf8.Valid(raw) {
				return nil, p.errorf("string is not UTF-8")
			}
			if !escaped {
				return raw, nil
			}
			var s string
			if err := json.Unmarshal(p.data[start-1:p.pos], &s); err != nil {
				return nil, p.errorf("string: %v", err)
			}
			return []byte(s), nil
		case c == '\\':
			escaped = true
			p.pos++
		case c < 0x20:
			return nil, p.errorf("control character in a string")
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return nil, p.errorf("string does not end")
}

// plain returns how many bytes come before a quote, a backslash, a control
// character or what is not ASCII. It looks at eight bytes at a time: the frame is
// long.
func plain(s []byte) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	n := 0
	for ; len(s)-n >= 8; n += 8 {
		x := binary.LittleEndian.Uint64(s[n:])
		quote, backslash := x^'"'*ones, x^'\\'*ones
		// The lowest high bit that is set marks the first such byte; those above
		// it may be carried over from it.
		if marks := (x | (x - ' '*ones) | (quote-ones)&^quote | (backslash-ones)&^backslash) & highs; marks != 0 {
			return n + bits.TrailingZeros64(marks)/8
		}
	}
	for ; n < len(s); n++ {
		if c := s[n]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			break
		}
	}
	return n
}

// skip passes over any value.
func (p *parser) skip() error {
	switch c := p.peek(); {
	case c == '{':
		if err := p.enter(); err != nil {
			return err
		}
		p.pos++
		for first := true; ; first = false {
			name, err := p.name(first)
			if err != nil {
				return err
			}
			if name == nil {
				p.depth--
				return nil
			}
			if err := p.skip(); err != nil {
				return err
			}
		}
	case c == '[':
		if err := p.enter(); err != nil {
			return err
		}
		p.pos++
		for first := true; ; first = false {
			more, err := p.element(first)
			if err != nil {
				return err
			}
			if !more {
				p.depth--
				return nil
			}
			if err := p.skip(); err != nil {
				return err
			}
		}
	case c == '"':
		_, err := p.text()
		return err
	case c == '-' || c >= '0' && c <= '9':
		return p.skipNumber()
	}
	if p.literal("true") || p.literal("false") || p.literal("null") {
		return nil
	}
	return p.errorf("expected a value, found %s", p.found())
}

func (p *parser) skipNumber() error {
	start := p.pos
	for p.pos < len(p.data) {
		switch c := p.data[p.pos]; {
		case c >= '0' && c <= '9', c == '-', c == '+', c == '.', c|0x20 == 'e':
			p.pos++
			continue
		}
		break
	}
	if !json.Valid(p.data[start:p.pos]) {
		return p.errorf("%q is not a number", p.data[start:p.pos])
	}
	return nil
}
