package web

import (
	"bytes"
	"encoding/json"
	"io"
	"net/netip"
	"slices"
	"strings"

	"github.com/ndmon/ndmon/schemas"
)

// member is a member of an event: its path, which is the name of a rule field if it has one, its value, and what it means.
type member struct{ Path, Value, Doc string }

const (
	// maxMembers bounds the members that are shown, maxDepth how deep they are, maxValue the length of each in bytes.
	maxMembers = 1000
	maxDepth   = 32
	maxValue   = 2000
)

// members returns the members of an event in their order. What is not shown elsewhere on the page, or is not JSON, is left out.
func members(event []byte) []member {
	d := json.NewDecoder(bytes.NewReader(event))
	d.UseNumber()
	w := memberWalk{Decoder: d}
	w.value("", 0) // what was read before an error is shown
	return slices.DeleteFunc(w.list, func(m member) bool { return slices.Contains([]string{"type", "id", "frame"}, m.Path) })
}

type memberWalk struct {
	*json.Decoder
	list []member
}

func (w *memberWalk) value(path string, depth int) error {
	token, err := w.Token()
	if err != nil {
		return err
	}
	if len(w.list) >= maxMembers || depth > maxDepth {
		return io.EOF
	}
	switch token := token.(type) {
	case json.Delim:
		for w.More() {
			inside := path
			if token == '{' {
				name, err := w.Token()
				if err != nil {
					return err
				}
				text, _ := name.(string)
				inside = strings.TrimPrefix(path+"."+text, ".")
			}
			if err := w.value(inside, depth+1); err != nil {
				return err
			}
		}
		_, err = w.Token()
		return err
	case string:
		w.add(path, token)
	case json.Number:
		w.add(path, token.String())
	case bool:
		w.add(path, map[bool]string{true: "yes", false: "no"}[token])
	}
	return nil
}

func (w *memberWalk) add(path, value string) {
	if len(value) > maxValue {
		value = strings.ToValidUTF8(value[:maxValue], "") + "…"
	}
	m := member{Path: path, Value: value}
	if f, ok := schemas.FieldByName(path); ok {
		m.Doc = f.Doc
	}
	w.list = append(w.list, m)
}

// maxMentioned bounds the links of an alert to each kind of history.
const maxMentioned = 20

// mentioned returns the stations and addresses that members name, each once.
func mentioned(list []member) (stations, addresses []string) {
	for _, m := range list {
		mac, err := schemas.ParseMAC(m.Value)
		if err == nil && !mac.IsMulticast() && len(stations) < maxMentioned && !slices.Contains(stations, m.Value) {
			stations = append(stations, m.Value)
		}
		addr, err := netip.ParseAddr(m.Value)
		if err == nil && addr.Is6() && addr.Zone() == "" && !addr.IsMulticast() && !addr.IsUnspecified() && len(addresses) < maxMentioned && !slices.Contains(addresses, addr.String()) {
			addresses = append(addresses, addr.String())
		}
	}
	return stations, addresses
}
