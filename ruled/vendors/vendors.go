// Package vendors names the makers of Ethernet addresses, from a built-in table that a file
// can replace.
//
// The IEEE Registration Authority assigns makers the first 24 bits of their
// addresses (MA-L), or 28 (MA-M) or 36 (MA-S, formerly IAB) when they make few
// devices: https://standards.ieee.org/products-programs/regauth/.
package vendors

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"fmt"

	"github.com/ndmon/ndmon/ruled/internal/regular"
)

// vendors.txt.gz is the IEEE's registries as Debian's package ieee-data ships
// them. To renew it, set the date of newer files here.
//
//go:generate go run gen.go -date 2022-08-27 -source "IEEE registries, by Debian's ieee-data" -o vendors.txt.gz /usr/share/ieee-data/oui.csv /usr/share/ieee-data/mam.csv /usr/share/ieee-data/oui36.csv /usr/share/ieee-data/iab.csv
//go:embed vendors.txt.gz
var builtin []byte

// Builtin returns the table that is built in. It is unpacked at each call, which
// takes some 30 ms: call it once and keep the table.
func Builtin() *Table {
	t, err := unpack()
	if err != nil {
		panic(fmt.Sprintf("vendors: the built-in table is faulty, which the tests rule out: %v", err))
	}
	return t
}

func unpack() (*Table, error) {
	packed, err := gzip.NewReader(bytes.NewReader(builtin))
	if err != nil {
		return nil, fmt.Errorf("unpack vendors.txt.gz: %w", err)
	}
	var text bytes.Buffer
	text.Grow(4 * len(builtin)) // it is packed to a third
	if _, err := text.ReadFrom(packed); err != nil {
		return nil, fmt.Errorf("unpack vendors.txt.gz: %w", err)
	}
	return Parse("vendors.txt", text.Bytes())
}

// Load reads the file that names the makers of Ethernet addresses, or returns the built-in
// table if the name is empty.
func Load(file string) (*Table, error) {
	if file == "" {
		return Builtin(), nil
	}
	data, err := regular.Read(file, MaxSize)
	if err != nil {
		return nil, err
	}
	return Parse(file, data)
}
