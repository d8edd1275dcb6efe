// Package markup reads the XML of a rule file: elements, attributes, numbers and addresses. It
// collects faults and notices with their lines. It knows none of the elements by name.
package markup

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ndmon/ndmon/ruled/internal/printable"
	"github.com/ndmon/ndmon/schemas"
)

const (
	// MaxSize is the largest file that is read, in bytes.
	MaxSize = 64 << 20

	maxDepth = 32
)

// Reader walks the elements of a file by recursive descent. It collects faults and
// notices, and reads on behind a fault as far as the XML allows.
type Reader struct {
	faults   Faults
	notices  []Remark
	name     string // of the file, in remarks
	decoder  *xml.Decoder
	lastLine int
	depth    int
	dead     bool   // the XML cannot be read any further
	encoding string // an encoding that is not supported
}

// NewReader returns a reader of a file. The name is that of the file in remarks. A file that cannot be XML is a fault.
func NewReader(name string, data []byte) *Reader {
	r := &Reader{name: name, lastLine: 1 + bytes.Count(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))}
	if fault := unreadable(data); fault != "" {
		r.dead = true
		r.Faultf(1, "%s", fault)
		return r
	}
	r.decoder = xml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(data, []byte(utf8BOM))))
	r.decoder.CharsetReader = r.charset
	return r
}

// Document reads the file: one root element with one of the names.
func (r *Reader) Document(read func(Element), names ...string) {
	var root *Element
	wanted := "<" + strings.Join(names, "> or <") + ">"
	r.content(nil, func(el Element) {
		first := root
		if first == nil {
			root = &el
		}
		switch {
		case first != nil:
			r.Faultf(el.Line, "second root element <%s>; the first, <%s>, is on line %d", el.Name, first.Name, first.Line)
			r.skip()
		case !slices.Contains(names, el.Name):
			r.Faultf(el.Line, "the root element is <%s>, not %s", el.Name, wanted)
			r.skip()
		default:
			read(el)
		}
	})
	if root == nil && len(r.faults.List) == 0 {
		r.Faultf(r.lastLine, "no root element %s", wanted)
	}
}

// Dead reports whether the XML cannot be read any further.
func (r *Reader) Dead() bool { return r.dead }

// Err returns the faults, sorted by line, or nil if there is none.
func (r *Reader) Err() error {
	if len(r.faults.List) == 0 {
		return nil
	}
	sortRemarks(r.faults.List)
	return &r.faults
}

// Notices returns the notices by line.
func (r *Reader) Notices() []Remark {
	sortRemarks(r.notices)
	return r.notices
}

const utf8BOM = "\ufeff"

// unreadable returns why data cannot be XML in a supported encoding, or "".
func unreadable(data []byte) string {
	switch {
	case len(data) > MaxSize:
		return fmt.Sprintf("larger than %d bytes", MaxSize)
	case bytes.HasPrefix(data, []byte{0xfe, 0xff}), bytes.HasPrefix(data, []byte{0xff, 0xfe}):
		return "the file is in UTF-16; save it in UTF-8"
	case len(bytes.TrimSpace(bytes.TrimPrefix(data, []byte(utf8BOM)))) == 0:
		return "the file is empty"
	}
	return ""
}

// Element is a start tag and the line that it begins on.
type Element struct {
	xml.StartElement
	Name string
	Line int
}

// charset reads what NDPMon's own files are written in.
func (r *Reader) charset(label string, input io.Reader) (io.Reader, error) {
	switch strings.ToLower(label) {
	case "us-ascii", "ascii":
		return input, nil
	case "iso-8859-1", "latin1", "iso_8859-1":
		latin, err := io.ReadAll(input)
		if err != nil {
			return nil, err
		}
		text := make([]byte, 0, len(latin)+len(latin)/16)
		for _, c := range latin {
			text = utf8.AppendRune(text, rune(c))
		}
		return bytes.NewReader(text), nil
	}
	r.encoding = label
	return nil, errors.ErrUnsupported
}

// next returns the next token and the line that it begins on, nil at the end of
// the file or when it cannot be read any further.
func (r *Reader) next() (xml.Token, int) {
	if r.dead {
		return nil, 0
	}
	line, _ := r.decoder.InputPos()
	token, err := r.decoder.Token()
	if err == nil {
		return token, line
	}
	r.dead = true
	var syntax *xml.SyntaxError
	switch {
	case err == io.EOF:
	case r.encoding != "":
		r.Faultf(line, "encoding %s is not read; save the file in UTF-8", printable.Quote(r.encoding))
	case errors.As(err, &syntax):
		r.Faultf(syntax.Line, "XML: %s", syntax.Msg)
	default:
		at, _ := r.decoder.InputPos()
		r.Faultf(at, "XML: %s", strings.TrimPrefix(err.Error(), "xml: "))
	}
	return nil, 0
}

// read reads what an element holds, up to its end. It calls visit for each element in it, which has to read
// that to its end, and text for each piece of text with the line that it begins on.
func (r *Reader) read(visit func(Element), text func([]byte, int)) {
	for {
		token, line := r.next()
		switch t := token.(type) {
		case nil, xml.EndElement:
			return
		case xml.CharData:
			text(t, line)
		case xml.StartElement:
			if r.depth++; r.depth > maxDepth {
				r.Faultf(line, "elements are nested more than %d deep", maxDepth)
				r.dead = true
				return
			}
			visit(Element{t, printable.Shorten(qualified(t.Name), printable.MaxQuoted), line})
			r.depth--
		}
	}
}

// qualified returns a name with its prefix, if it has one.
func qualified(n xml.Name) string {
	if n.Space == "" {
		return n.Local
	}
	return n.Space + ":" + n.Local
}

// content reads an element that holds elements. Text is a fault. A nil parent is the document.
func (r *Reader) content(parent *Element, visit func(Element)) {
	noted := false
	r.read(visit, func(t []byte, line int) {
		space := len(t) - len(bytes.TrimLeftFunc(t, unicode.IsSpace))
		if space == len(t) || noted {
			return
		}
		noted = true
		line += bytes.Count(t[:space], []byte("\n"))
		if text := printable.Quote(strings.TrimSpace(string(t))); parent == nil {
			r.Faultf(line, "text %s outside of the root element", text)
		} else {
			r.Faultf(line, "text %s in <%s>, which takes none", text, parent.Name)
		}
	})
}

// Readers read the elements that another may contain, by name.
type Readers map[string]func(Element)

// Elements reads an element that holds elements, any number of each kind.
func (r *Reader) Elements(parent Element, known Readers) {
	r.content(&parent, func(el Element) {
		if read, ok := known[el.Name]; ok {
			read(el)
		} else {
			r.unknown(el, parent, known)
		}
	})
}

// Members reads an element that holds each of some elements once or not at all.
func (r *Reader) Members(parent Element, known Readers) {
	for name, read := range known {
		known[name] = r.Once(parent, read)
	}
	r.Elements(parent, known)
}

// Once returns a reader that accepts one element and no further one.
func (r *Reader) Once(parent Element, read func(Element)) func(Element) {
	line := 0
	return func(el Element) {
		if line != 0 {
			r.Faultf(el.Line, "second <%s> in <%s>; the first is on line %d", el.Name, parent.Name, line)
			r.skip()
			return
		}
		line = el.Line
		read(el)
	}
}

// Empty reads an element that holds nothing.
func (r *Reader) Empty(el Element) { r.Elements(el, nil) }

func (r *Reader) unknown(el, parent Element, known Readers) {
	names := slices.Sorted(maps.Keys(known))
	r.Faultf(el.Line, "unknown element <%s> in <%s>%s", el.Name, parent.Name, r.DidYouMean(el.Name, names, "<%s>"))
	r.skip()
}

// Text reads an element that holds text and returns that, without the white space around it.
func (r *Reader) Text(el Element) string {
	var text []byte
	r.read(func(child Element) { r.unknown(child, el, nil) }, func(t []byte, _ int) { text = append(text, t...) })
	return strings.TrimSpace(string(text))
}

// Plain reads an element that holds text and has no attributes.
func (r *Reader) Plain(el Element) string {
	r.Attributes(el)
	return r.Text(el)
}

// skip reads to the end of the element without looking at it.
func (r *Reader) skip() { r.read(func(Element) { r.skip() }, func([]byte, int) {}) }

// Attributes returns the element's attributes, with white space in their values normalized as XML has it.
func (r *Reader) Attributes(el Element, known ...string) map[string]string {
	values := map[string]string{}
	for _, a := range el.Attr {
		name := qualified(a.Name)
		switch _, twice := values[name]; {
		case twice:
			r.Faultf(el.Line, "attribute %s of <%s> stands twice", printable.Quote(name), el.Name)
		case !slices.Contains(known, name):
			r.Faultf(el.Line, "unknown attribute %s of <%s>%s", printable.Quote(name), el.Name, r.DidYouMean(name, known, "%q"))
		}
		values[name] = strings.Map(func(r rune) rune {
			if r == '\n' || r == '\t' || r == '\r' {
				return ' '
			}
			return r
		}, a.Value)
	}
	return values
}

// MaxMessage bounds a remark, in characters.
const MaxMessage = 500

// Faultf adds a fault. After MaxRemarks of them it only counts.
func (r *Reader) Faultf(line int, format string, args ...any) {
	if len(r.faults.List) == MaxRemarks {
		r.faults.More++
		return
	}
	// A position at the very end, or behind a lone carriage return, which XML
	// takes for a line end, may be counted one line too far.
	line = min(line, r.lastLine)
	r.faults.List = append(r.faults.List, Remark{r.name, line, printable.Shorten(fmt.Sprintf(format, args...), MaxMessage)})
}

// FaultCount returns the number of faults up to now.
func (r *Reader) FaultCount() int { return len(r.faults.List) + r.faults.More }

// Noticef adds a notice, unless there are MaxRemarks of them.
func (r *Reader) Noticef(line int, format string, args ...any) {
	if len(r.notices) < MaxRemarks {
		r.notices = append(r.notices, Remark{r.name, line, fmt.Sprintf(format, args...)})
	}
}

// DidYouMean ends a message about an unknown name. The form is that of the names, such as "<%s>".
func (r *Reader) DidYouMean(name string, candidates []string, form string) string {
	if len(r.faults.List) == MaxRemarks {
		return "" // it will not be shown
	}
	if c := nearest(name, candidates); c != "" {
		return fmt.Sprintf("; did you mean "+form+"?", c)
	}
	return ""
}

// Number reads an element that holds a number from 0 to most, and returns nil if it is empty.
func Number[T uint8 | uint16 | uint32](r *Reader, el Element, most T) *T {
	return Parameter(r, el, "", r.Plain(el), most)
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
	return new(T(n))
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
