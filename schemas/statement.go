package schemas

import (
	"net/netip"
	"reflect"
	"strconv"
	"sync"
)

// Statement is one option of a message as it is compared and worded: what it says
// apart from its lifetimes.
type Statement struct {
	// Type is the row of the table of options, nil for a type that has none.
	Type *OptionType
	// Number is the option's type.
	Number uint8
	// Text is what the option says, in words: "uri https://portal.example/api". Two
	// options of a type with the same text say the same.
	Text string
	// Lifetimes are its lifetimes, in the order of their members and in the units that
	// these have.
	Lifetimes []uint64
}

// Name returns the name of the option's type, and "option 22" where no RFC gives it
// one.
func (s *Statement) Name() string {
	if t := OptionTypeOf(s.Number); t != nil && t.RFC != "" {
		return t.Name
	}
	return "option " + strconv.Itoa(int(s.Number))
}

// Statements appends what the options say, in the order of the lists and each in
// the order of the frame. It passes over the lists that skip names by their
// members in the event, such as prefixinfo, and the types whose content is
// another in each message (OptionType.Varies).
func (o *Options) Statements(dst []Statement, skip func(member string) bool) []Statement {
	table := statementTable()
	for i := range table.shape.members {
		m := &table.shape.members[i]
		list := placeOf(o).member(m)
		if len(*list.elements()) == 0 || skip(m.name) {
			continue
		}
		for j := range *list.elements() {
			option := list.element(j, m)
			s, members := Statement{Type: table.rows[i]}, m.object.members
			if s.Type == nil {
				number := &members[0] // UnknownOption.Type
				s.Number, members = uint8(option.member(number).uint(number)), members[1:]
				s.Type = OptionTypeOf(s.Number)
			} else {
				s.Number = s.Type.Type
			}
			if s.Type != nil && s.Type.Varies {
				continue
			}
			var text []byte
			text, s.Lifetimes = appendWords(nil, nil, option, members)
			s.Text = string(text)
			dst = append(dst, s)
		}
	}
	return dst
}

// statements is the shape of Options and the row of each list, nil for that of
// the unknown options.
type statements struct {
	shape *shape
	rows  []*OptionType
}

var statementTable = sync.OnceValue(func() *statements {
	t := &statements{shape: newShape(reflect.TypeFor[Options]())}
	t.rows = make([]*OptionType, len(t.shape.members))
	rows := OptionTypes()
	for i := range rows {
		if at := t.shape.find([]byte(rows[i].Member)); at >= 0 {
			t.rows[at] = &rows[i]
		}
	}
	return t
})

// appendWords appends the members of an object, those that are there and say
// something: "name value", a list as often as it has elements, a bool by its name
// alone when it is true, an object in parentheses. Lifetimes are put aside.
func appendWords(text []byte, lifetimes []uint64, object place, members []member) ([]byte, []uint64) {
	start := len(text)
	for i := range members {
		m := &members[i]
		at := object.member(m)
		switch {
		case m.optional && absent(at, m):
		case m.lifetime:
			lifetimes = append(lifetimes, at.uint(m))
		case m.list:
			for j := range *at.elements() {
				text, lifetimes = appendWord(text, lifetimes, start, at.element(j, m), m)
			}
		case m.pointer:
			target, _ := at.target()
			text, lifetimes = appendWord(text, lifetimes, start, target, m)
		default:
			text, lifetimes = appendWord(text, lifetimes, start, at, m)
		}
	}
	return text, lifetimes
}

// appendWord appends one value of a member, with a comma before it unless it is
// the first of the object whose words begin at start.
func appendWord(text []byte, lifetimes []uint64, start int, at place, m *member) ([]byte, []uint64) {
	before := len(text)
	if before > start {
		text = append(text, ", "...)
	}
	text = append(text, m.name...)
	switch m.kind {
	case kindBool:
		if !*in[bool](at) {
			text = text[:before]
		}
	case kindObject:
		text = append(text, " ("...)
		words := len(text)
		if text, lifetimes = appendWords(text, lifetimes, at, m.object.members); len(text) == words {
			return text[:before], lifetimes
		}
		text = append(text, ')')
	case kindString:
		if *in[string](at) == "" {
			return text[:before], lifetimes
		}
		text = append(append(text, ' '), *in[string](at)...)
	case kindMAC:
		text = in[MAC](at).appendTo(append(text, ' '))
	case kindAddr:
		text = appendAddr(append(text, ' '), *in[netip.Addr](at))
	default:
		text = appendValue(append(text, ' '), at, m)
	}
	return text, lifetimes
}
