package vendors

import (
	"bytes"
	"strconv"

	"github.com/ndmon/ndmon/schemas"
)

// Table has the makers of Ethernet addresses. It does not change, so that any number of
// goroutines may use it. The zero Table is empty.
//
// A binary search is faster here than bart (BenchmarkLookup takes 1.5 times as long with it)
// and than a map of each length of prefixes (1.4 times).
type Table struct {
	date string
	// keys are the prefixes in ascending order.
	keys []key
	// index narrows the search down: the keys that begin with the 16 bits n are keys[index[n]:index[n+1]].
	index []uint32
	// parents has for each key the index of the longest prefix that it lies in, or -1.
	parents []int32
	// vendors has for each key the number of its vendor.
	vendors []uint32
	// The name of vendor v is names[ends[v-1]:ends[v]].
	ends  []uint32
	names string
}

// Lookup returns the vendor of the longest prefix of the address, or "" if the table has none. Group
// addresses and locally administered ones (IEEE 802, the I/G and U/L bits), such as a virtual machine's
// 52:54:00:12:34:56, have no vendor. Nor has the address of zeros, which stands for a missing one.
func (t *Table) Lookup(mac schemas.MAC) string {
	if mac[0]&unassigned != 0 || mac == (schemas.MAC{}) || len(t.keys) == 0 {
		return ""
	}
	number := mac.Uint64()
	// The last prefix that begins at the address or before it contains the address, or lies in every prefix that does.
	bound := key(number>>(48-maxBits)<<keyShift | maxBits)
	n := number >> (48 - indexBits)
	low, high := int(t.index[n]), int(t.index[n+1])
	for low < high {
		if middle := int(uint(low+high) >> 1); t.keys[middle] <= bound {
			low = middle + 1
		} else {
			high = middle
		}
	}
	for i := low - 1; i >= 0; i = int(t.parents[i]) {
		if t.keys[i].has(bound) {
			return t.vendor(t.vendors[i])
		}
	}
	return ""
}

// Date returns the day of the table's data, such as 2024-08-25, or "" if the file does not say.
func (t *Table) Date() string { return t.date }

// Len returns the number of prefixes in the table.
func (t *Table) Len() int { return len(t.keys) }

// Append appends the table in the format of vendors.txt, which Parse reads: a line for each prefix in
// ascending order, without the comment that says the date.
func (t *Table) Append(b []byte) []byte {
	for i, k := range t.keys {
		b = k.appendTo(b)
		b = append(b, '\t')
		b = append(b, t.vendor(t.vendors[i])...)
		b = append(b, '\n')
	}
	return b
}

func (t *Table) vendor(v uint32) string {
	var begin uint32
	if v > 0 {
		begin = t.ends[v-1]
	}
	return t.names[begin:t.ends[v]]
}

// unassigned are the bits of an address's first octet that are 0 in all addresses that the
// IEEE assigns: locally administered, and group.
const unassigned = 0b11

const (
	// maxBits is the length of the longest prefixes.
	maxBits = 36
	// indexBits is how many of a prefix's bits the index goes by.
	indexBits = 16
	// keyShift is how many bits of a key the length has.
	keyShift = 6
)

// key is a prefix: its bits, filled up with zeros to 36, and then its length.
// In order, a prefix comes right before those that lie in it.
type key uint64

func newKey(prefix uint64, bits int) key {
	return key(prefix<<(maxBits-bits)<<keyShift | uint64(bits))
}

func (k key) bits() int { return int(k & (1<<keyShift - 1)) }

// has reports whether another prefix, which is no shorter than k, lies in k or is k.
func (k key) has(other key) bool {
	return (k^other)>>keyShift>>(maxBits-k.bits()) == 0
}

// unassigned reports whether the IEEE does not assign addresses of the prefix.
func (k key) unassigned() bool {
	return k>>(keyShift+maxBits-8)&unassigned != 0
}

// appendTo appends the prefix as 6, 7 or 9 hexadecimal digits.
func (k key) appendTo(b []byte) []byte {
	const digits = "0123456789ABCDEF"
	for shift := maxBits - 4; shift >= maxBits-k.bits(); shift -= 4 {
		b = append(b, digits[k>>keyShift>>shift&0xf])
	}
	return b
}

// maxPrefixText is longer than any prefix is written.
const maxPrefixText = 40

// cutPrefix reads the prefix that begins a line, up to the first space or tab, and returns what follows it.
func cutPrefix(line []byte) (k key, rest []byte, ok bool) {
	end := bytes.IndexAny(line[:min(len(line), maxPrefixText)], " \t")
	if end < 0 {
		if len(line) >= maxPrefixText {
			return 0, nil, false
		}
		end = len(line)
	}
	text, rest := line[:end], line[end:]
	text, mask, masked := bytes.Cut(text, []byte("/"))
	var prefix uint64
	digits := 0
	for i, c := range text {
		switch {
		case isHex(c):
			if digits == 12 {
				return 0, nil, false
			}
			digits++
			prefix = prefix<<4 | uint64(hexDigit(c))
		// An octet on either side, and the same sign all through.
		case (c == ':' || c == '-' || c == '.') && i%3 == 2 && c == text[2] && i+1 < len(text):
		default:
			return 0, nil, false
		}
	}
	if separated := len(text) > digits; separated && len(text) != digits+(digits-1)/2 {
		return 0, nil, false
	}
	bits := 4 * digits
	if masked {
		n, err := strconv.ParseUint(string(mask), 10, 8)
		if err != nil || int(n) > bits {
			return 0, nil, false
		}
		prefix >>= bits - int(n)
		bits = int(n)
	}
	if bits != 24 && bits != 28 && bits != 36 {
		return 0, nil, false
	}
	return newKey(prefix, bits), rest, true
}

// partOf reads, for a block of 24 bits, which part of it a line of mam.txt or
// oui36.txt is about, such as 900000-9FFFFF. In oui.txt it is the block again.
func partOf(block key, text []byte) (key, bool) {
	first, last, isRange := bytes.Cut(text, []byte("-"))
	if !isRange {
		return block, true
	}
	if block.bits() != 24 || len(first) != 6 || len(last) != 6 {
		return 0, false
	}
	from, err := strconv.ParseUint(string(first), 16, 24)
	if err != nil {
		return 0, false
	}
	to, err := strconv.ParseUint(string(last), 16, 24)
	if err != nil {
		return 0, false
	}
	prefix := uint64(block>>keyShift>>(maxBits-24))<<24 | from
	for _, bits := range []int{24, 28, 36} {
		if size := uint64(1) << (48 - bits); to == from+size-1 && from%size == 0 {
			return newKey(prefix>>(48-bits), bits), true
		}
	}
	return 0, false
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// hexDigit returns the value of a digit that isHex.
func hexDigit(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c&^0x20 - 'A' + 10
}
