// Package dns writes domain names and service parameters in their presentation forms. The
// text is printable, whatever is in the message.
package dns

const (
	maxLabel  = 63  // bytes of a label, RFC 1035, section 2.3.4
	maxDomain = 255 // bytes of an encoded domain name, RFC 1035, section 2.3.4
)

// AppendDomain appends the domain name at the start of b, without the final dot. It returns
// the name's size in b in bytes, or 0 and the fault of a bad one, and whether the labels
// that it read have only characters of host names: those of RFC 1123, section 2.1, and the
// underscore, which names of services contain.
func AppendDomain(text, b []byte) (_ []byte, size int, hostName bool, fault string) {
	hostName = true
	for {
		if size >= len(b) {
			return text, 0, hostName, "domain runs past the end"
		}
		label := int(b[size])
		size++
		switch {
		case size > maxDomain:
			return text, 0, hostName, "domain is longer than 255 bytes"
		case label == 0:
			return text, size, hostName, ""
		case label > maxLabel:
			return text, 0, hostName, "domain has a label that is compressed or longer than 63 bytes"
		case size+label > len(b):
			return text, 0, hostName, "domain runs past the end"
		}
		if len(text) > 0 {
			text = append(text, '.')
		}
		var ok bool
		text, ok = appendLabel(text, b[size:size+label])
		hostName = hostName && ok
		size += label
	}
}

// appendLabel appends a label, and reports whether it has only characters of host names.
func appendLabel(text, label []byte) (_ []byte, hostName bool) {
	for i, c := range label {
		if inHostName(c) {
			continue
		}
		text = append(text, label[:i]...)
		for _, c := range label[i:] {
			if c == '.' {
				text = append(text, '\\')
			}
			text = AppendPrintable(text, c)
		}
		return text, false
	}
	return append(text, label...), true
}

func inHostName(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// AppendPrintable appends a byte with the escapes of RFC 1035, section 5.1.
func AppendPrintable(text []byte, c byte) []byte {
	switch {
	case c == '\\':
		return append(text, '\\', '\\')
	case c > ' ' && c < 0x7f:
		return append(text, c)
	}
	return append(text, '\\', '0'+c/100, '0'+c/10%10, '0'+c%10)
}
