package ruled

import (
	"fmt"

	"github.com/ndmon/ndmon/ruled/vendors"
)

// LoadVendors reads the file that names the makers of Ethernet addresses, the
// setting RULED_VENDORS, or returns the built-in table if there is none.
func LoadVendors(file string) (*vendors.Table, error) {
	if file == "" {
		return vendors.Builtin(), nil
	}
	data, err := readRegular(file, vendors.MaxSize)
	if err != nil {
		return nil, fmt.Errorf("RULED_VENDORS: %w", err)
	}
	table, err := vendors.Parse(file, data)
	if err != nil {
		return nil, fmt.Errorf("RULED_VENDORS: %w", err)
	}
	return table, nil
}
