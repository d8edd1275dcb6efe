package schemas

import (
	"reflect"
	"strconv"
	"sync"

	"github.com/ndmon/ndmon/schemas/internal/wire"
)

// Statement is the content of one option as it is compared and printed.
type Statement struct {
	// Type is the row of the table of options, nil for a type that has none.
	Type *OptionType
	// Number is the option's type.
	Number uint8
	// Text is the content in words, without lifetimes: "uri https://portal.example/api". Options of
	// a type with the same content have the same text.
	Text string
	// Lifetimes are the option's lifetimes, in the order and in the units of its members.
	Lifetimes []uint64
}

// Name returns the name of the option's type, or for example "option 22" if no RFC defines it.
func (s *Statement) Name() string {
	if t := OptionTypeOf(s.Number); t != nil && t.RFC != "" {
		return t.Name
	}
	return "option " + strconv.Itoa(int(s.Number))
}

// Statements appends a statement for each option, in the order of the members and then of the
// frame. It leaves out the lists for whose JSON name, such as prefixinfo, skip returns true, and
// the types whose content is different in each message (OptionType.Varies).
func (o *Options) Statements(dst []Statement, skip func(member string) bool) []Statement {
	lists := optionLists()
	for i := range lists {
		l := &lists[i]
		list := wire.ValueOf(o).Member(l.Member)
		if list.Len() == 0 || skip(l.Name) {
			continue
		}
		for j := range list.Len() {
			option := list.Index(j, l.Member)
			s, words := Statement{Type: l.row}, l.words
			if s.Type == nil {
				number := words[0].Member // UnknownOption.Type
				s.Number, words = uint8(option.Member(number).Uint(number)), words[1:]
				s.Type = OptionTypeOf(s.Number)
			} else {
				s.Number = s.Type.Type
			}
			if s.Type != nil && s.Type.Varies {
				continue
			}
			var text []byte
			text, s.Lifetimes = appendWords(nil, nil, option, words)
			s.Text = string(text)
			dst = append(dst, s)
		}
	}
	return dst
}

type optionList struct {
	word
	row *OptionType // nil for the unknown options
}

var optionLists = sync.OnceValue(func() []optionList {
	rows := map[string]*OptionType{}
	for i := range OptionTypes() {
		row := &OptionTypes()[i]
		rows[row.Member] = row
	}
	var lists []optionList
	for _, list := range wordsOf(wire.SchemaOf(reflect.TypeFor[Options]())) {
		lists = append(lists, optionList{list, rows[list.Name]})
	}
	return lists
})

type word struct {
	*wire.Member
	lifetime bool
	words    []word // the members of an object
}

func wordsOf(s *wire.Schema) []word {
	words := make([]word, len(s.Members))
	for i := range words {
		m := &s.Members[i]
		words[i] = word{Member: m, lifetime: m.Tag.Get("lifetime") == "true"}
		if m.Kind == wire.Object {
			words[i].words = wordsOf(m.Object)
		}
	}
	return words
}

// appendWords appends the members of an object that are present: "name value",
// a list once per element, a bool that is true by its name alone, an object in
// parentheses. It appends the lifetimes separately.
func appendWords(text []byte, lifetimes []uint64, object wire.Value, words []word) ([]byte, []uint64) {
	start := len(text)
	for i := range words {
		w := &words[i]
		v := object.Member(w.Member)
		switch {
		case w.Optional && v.Absent(w.Member):
		case w.lifetime:
			lifetimes = append(lifetimes, v.Uint(w.Member))
		case w.List:
			for j := range v.Len() {
				text, lifetimes = w.append(text, lifetimes, start, v.Index(j, w.Member))
			}
		case w.Pointer:
			text, lifetimes = w.append(text, lifetimes, start, v.Elem())
		default:
			text, lifetimes = w.append(text, lifetimes, start, v)
		}
	}
	return text, lifetimes
}

// append appends one value of a member, with a comma before it unless it is the
// first of the object whose words begin at start.
func (w *word) append(text []byte, lifetimes []uint64, start int, v wire.Value) ([]byte, []uint64) {
	before := len(text)
	if before > start {
		text = append(text, ", "...)
	}
	text = append(text, w.Name...)
	empty := false
	switch w.Kind {
	case wire.Bool:
		empty = !v.Bool()
	case wire.Object:
		text = append(text, " ("...)
		words := len(text)
		text, lifetimes = appendWords(text, lifetimes, v, w.words)
		empty = len(text) == words
		text = append(text, ')')
	case wire.String:
		empty = v.Text() == ""
		text = append(append(text, ' '), v.Text()...)
	case wire.Ethernet:
		text = wire.AppendEthernet(append(text, ' '), v.Ethernet())
	case wire.IPv6:
		text = wire.AppendIPv6(append(text, ' '), v.Addr())
	case wire.Uint:
		text = strconv.AppendUint(append(text, ' '), v.Uint(w.Member), 10)
	}
	if empty {
		text = text[:before]
	}
	return text, lifetimes
}
