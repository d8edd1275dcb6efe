package rules

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const utf8BOM = "\ufeff"

// unreadable says why data cannot be XML in an encoding that is read, or "".
func unreadable(data []byte) string {
	switch {
	case len(data) > MaxFileSize:
		return fmt.Sprintf("larger than %d bytes", MaxFileSize)
	case bytes.HasPrefix(data, []byte{0xfe, 0xff}), bytes.HasPrefix(data, []byte{0xff, 0xfe}):
		return "the file is in UTF-16; save it in UTF-8"
	case len(bytes.TrimSpace(bytes.TrimPrefix(data, []byte(utf8BOM)))) == 0:
		return "the file is empty"
	}
	return ""
}

// element is a start tag and the line that it begins on.
type element struct {
	xml.StartElement
	name string
	line int
}

// charset reads what NDPMon's own files are written in.
func (p *parser) charset(label string, input io.Reader) (io.Reader, error) {
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
	p.encoding = label
	return nil, errors.ErrUnsupported
}

// next returns the next token and the line that it begins on, nil at the end of
// the file or when it cannot be read any further.
func (p *parser) next() (xml.Token, int) {
	if p.dead {
		return nil, 0
	}
	line, _ := p.decoder.InputPos()
	token, err := p.decoder.Token()
	if err == nil {
		return token, line
	}
	p.dead = true
	var syntax *xml.SyntaxError
	switch {
	case err == io.EOF:
	case p.encoding != "":
		p.faultf(line, "encoding %s is not read; save the file in UTF-8", quote(p.encoding))
	case errors.As(err, &syntax):
		p.faultf(syntax.Line, "XML: %s", syntax.Msg)
	default:
		at, _ := p.decoder.InputPos()
		p.faultf(at, "XML: %s", strings.TrimPrefix(err.Error(), "xml: "))
	}
	return nil, 0
}

// read reads what an element holds, up to its end. It calls visit for each
// element in it, which has to read that to its end, and text for each piece of
// text with the line that it begins on.
func (p *parser) read(visit func(element), text func([]byte, int)) {
	for {
		token, line := p.next()
		switch t := token.(type) {
		case nil, xml.EndElement:
			return
		case xml.CharData:
			text(t, line)
		case xml.StartElement:
			if p.depth++; p.depth > maxDepth {
				p.faultf(line, "elements are nested more than %d deep", maxDepth)
				p.dead = true
				return
			}
			visit(element{t, shorten(qualified(t.Name), maxQuoted), line})
			p.depth--
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

// content reads an element that holds elements. Text is a fault. A nil parent is
// the document.
func (p *parser) content(parent *element, visit func(element)) {
	noted := false
	p.read(visit, func(t []byte, line int) {
		space := len(t) - len(bytes.TrimLeftFunc(t, unicode.IsSpace))
		if space == len(t) || noted {
			return
		}
		noted = true
		line += bytes.Count(t[:space], []byte("\n"))
		if text := quote(strings.TrimSpace(string(t))); parent == nil {
			p.faultf(line, "text %s outside of the root element", text)
		} else {
			p.faultf(line, "text %s in <%s>, which takes none", text, parent.name)
		}
	})
}

// readers read the elements that may stand in another, by name.
type readers map[string]func(element)

// elements reads an element that holds elements, any number of each kind.
func (p *parser) elements(parent element, known readers) {
	p.content(&parent, func(el element) {
		if read, ok := known[el.name]; ok {
			read(el)
		} else {
			p.unknown(el, parent, known)
		}
	})
}

// members reads an element that holds each of some elements once or not at all.
func (p *parser) members(parent element, known readers) {
	for name, read := range known {
		known[name] = p.once(parent, read)
	}
	p.elements(parent, known)
}

// once makes a reader that takes one element and no further one.
func (p *parser) once(parent element, read func(element)) func(element) {
	line := 0
	return func(el element) {
		if line != 0 {
			p.faultf(el.line, "second <%s> in <%s>; the first is on line %d", el.name, parent.name, line)
			p.skip()
			return
		}
		line = el.line
		read(el)
	}
}

// empty reads an element that holds nothing.
func (p *parser) empty(el element) { p.elements(el, nil) }

func (p *parser) unknown(el, parent element, known readers) {
	names := slices.Sorted(maps.Keys(known))
	p.faultf(el.line, "unknown element <%s> in <%s>%s", el.name, parent.name, p.didYouMean(el.name, names, "<%s>"))
	p.skip()
}

// text reads an element that holds text and returns that, without the white
// space around it.
func (p *parser) text(el element) string {
	var text []byte
	p.read(func(child element) { p.unknown(child, el, nil) }, func(t []byte, _ int) { text = append(text, t...) })
	return strings.TrimSpace(string(text))
}

// number reads an element that holds a number from 0 to most, and returns nil if
// it is empty.
func number[T uint8 | uint16 | uint32](p *parser, el element, most T) *T {
	p.attributes(el)
	return parameter(p, el, "", p.text(el), most)
}

// parameter reads a number from 0 to most out of an element's text, or the
// attribute that is named, and returns nil if it is empty.
func parameter[T uint8 | uint16 | uint32](p *parser, el element, attribute, text string, most T) *T {
	if text == "" {
		return nil
	}
	n, err := parseNumber(text, uint64(most))
	if err != nil {
		p.faultf(el.line, "<%s>: %s%s is not a number from 0 to %d", el.name, attribute, quote(text), most)
		return nil
	}
	v := T(n)
	return &v
}

// skip reads to the end of the element without looking at it.
func (p *parser) skip() { p.read(func(element) { p.skip() }, func([]byte, int) {}) }

// attributes returns the element's attributes, with white space in their values
// normalized as XML has it.
func (p *parser) attributes(el element, known ...string) map[string]string {
	values := map[string]string{}
	for _, a := range el.Attr {
		name := qualified(a.Name)
		switch _, twice := values[name]; {
		case twice:
			p.faultf(el.line, "attribute %s of <%s> stands twice", quote(name), el.name)
		case !slices.Contains(known, name):
			p.faultf(el.line, "unknown attribute %s of <%s>%s", quote(name), el.name, p.didYouMean(name, known, "%q"))
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
