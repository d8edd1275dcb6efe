package markup

import (
	"strconv"
	"strings"

	"github.com/ndmon/ndmon/ruled/internal/printable"
	"github.com/ndmon/ndmon/schemas"
)

// Number reads an element that holds a number from 0 to most, and returns nil if
// it is empty.
func Number[T uint8 | uint16 | uint32](r *Reader, el Element, most T) *T {
	r.Attributes(el)
	return Parameter(r, el, "", r.Text(el), most)
}

// Parameter reads a number from 0 to most out of an element's text, or the
// attribute that is named, and returns nil if it is empty.
func Parameter[T uint8 | uint16 | uint32](r *Reader, el Element, attribute, text string, most T) *T {
	if text == "" {
		return nil
	}
	n, err := ParseNumber(text, uint64(most))
	if err != nil {
		r.Faultf(el.Line, "<%s>: %s%s is not a number from 0 to %d", el.Name, attribute, printable.Quote(text), most)
		return nil
	}
	v := T(n)
	return &v
}

// ParseNumber reads decimal digits, as NDPMon does.
func ParseNumber(s string, most uint64) (uint64, error) {
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, "+") {
		return 0, strconv.ErrSyntax
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err == nil && n > most {
		err = strconv.ErrRange
	}
	return n, err
}

// ParseMAC reads an Ethernet address with colons or dashes in either case. An
// octet may be one digit, as ether_aton(3) takes it and NDPMon writes it.
func ParseMAC(s string) (schemas.MAC, error) {
	s = strings.TrimSpace(s)
	octets := strings.FieldsFunc(s, func(r rune) bool { return r == ':' || r == '-' })
	if len(octets) == len(schemas.MAC{}) && strings.Count(s, ":")+strings.Count(s, "-") == len(octets)-1 {
		for i, o := range octets {
			if len(o) == 1 {
				octets[i] = "0" + o
			}
		}
		separator := ":"
		if strings.Contains(s, "-") {
			if strings.Contains(s, ":") {
				return schemas.MAC{}, strconv.ErrSyntax
			}
			separator = "-"
		}
		s = strings.Join(octets, separator)
	}
	return schemas.ParseMAC(s)
}
