package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"time"
)

func appendObject(b []byte, object Value, s *Schema) []byte {
	b = append(b, '{')
	empty := true
	for i := range s.Members {
		m := &s.Members[i]
		v := object.Member(m)
		if m.Optional && v.Absent(m) {
			continue
		}
		if !empty {
			b = append(b, ',')
		}
		empty = false
		b = append(b, m.key...)
		switch {
		case m.List:
			b = append(b, '[')
			for i := range v.Len() {
				if i > 0 {
					b = append(b, ',')
				}
				b = appendValue(b, v.Index(i, m), m)
			}
			b = append(b, ']')
		case m.Pointer:
			b = appendValue(b, v.Elem(), m)
		default:
			b = appendValue(b, v, m)
		}
	}
	return append(b, '}')
}

func appendValue(b []byte, v Value, m *Member) []byte {
	switch m.Kind {
	case Object:
		return appendObject(b, v, m.Object)
	case Bool:
		return strconv.AppendBool(b, v.Bool())
	case Uint:
		return strconv.AppendUint(b, v.Uint(m), 10)
	case String:
		return appendString(b, v.Text())
	case Ethernet:
		b = AppendEthernet(append(b, '"'), v.Ethernet())
		return append(b, '"')
	case IPv6:
		b = AppendIPv6(append(b, '"'), v.Addr())
		return append(b, '"')
	case Time:
		b = as[time.Time](v).AppendFormat(append(b, '"'), time.RFC3339Nano)
		return append(b, '"')
	case Bytes:
		b = base64.StdEncoding.AppendEncode(append(b, '"'), *as[[]byte](v))
		return append(b, '"')
	}
	return appendRaw(b, v)
}

// appendString writes plain strings, which are most, itself and leaves the others
// to encoding/json.
func appendString(b []byte, s string) []byte {
	start := len(b)
	b = append(b, '"')
	b = append(b, s...)
	if plain(b[start+1:]) == len(s) {
		return append(b, '"')
	}
	quoted := bytes.NewBuffer(b[:start])
	enc := json.NewEncoder(quoted)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		panic(err) // a string always marshals
	}
	return bytes.TrimSuffix(quoted.Bytes(), []byte("\n"))
}

// appendRaw appends JSON without its white space, and null for what is no JSON.
func appendRaw(b []byte, v Value) []byte {
	compact := bytes.NewBuffer(b)
	if json.Compact(compact, *as[json.RawMessage](v)) != nil {
		return append(b, "null"...)
	}
	return compact.Bytes()
}
