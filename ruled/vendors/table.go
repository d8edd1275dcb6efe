package vendors

import "github.com/ndmon/ndmon/schemas"

// Table has the makers of Ethernet addresses. It does not change, so that any number of
// goroutines may use it. The zero Table is empty.
//
// A binary search is faster here than bart (BenchmarkLookup takes 1.5 times as long with it)
// and than a map of each length of prefixes (1.4 times).
type Table struct {
	date string
	// keys are the prefixes in ascending order.
	keys []key
	// index narrows the search down: the keys that begin with the 16 bits n are
	// keys[index[n]:index[n+1]].
	index []uint32
	// parents has for each key the index of the longest prefix that it lies
	// in, or -1.
	parents []int32
	// vendors has for each key the number of its vendor.
	vendors []uint32
	// The name of vendor v is names[ends[v-1]:ends[v]].
	ends  []uint32
	names string
}

// Lookup returns the vendor of the longest prefix of the address, or "" if the table has
// none. Group addresses and locally administered ones (IEEE 802, the I/G and U/L bits), such
// as a virtual machine's 52:54:00:12:34:56, have no vendor. Nor has the address of zeros,
// which stands for a missing one.
func (t *Table) Lookup(mac schemas.MAC) string {
	if mac[0]&unassigned != 0 || mac == (schemas.MAC{}) || len(t.keys) == 0 {
		return ""
	}
	number := mac.Uint64()
	// The last prefix that begins at the address or before it contains the address, or lies
	// in every prefix that does.
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

// Append appends the table in the format of vendors.txt, which Parse reads: a
// line for each prefix in ascending order, without the comment that says the
// date.
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
