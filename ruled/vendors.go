package ruled

import (
	"fmt"
	"io"
	"os"

	"github.com/ndmon/ndmon/ruled/vendors"
)

// LoadVendors reads the file that names the makers of Ethernet addresses, the
// setting RULED_VENDORS, or returns the built-in table if there is none.
func LoadVendors(file string) (*vendors.Table, error) {
	if file == "" {
		return vendors.Builtin(), nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("RULED_VENDORS: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, fmt.Errorf("RULED_VENDORS: %w", err)
	case info.Size() > vendors.MaxSize:
		return nil, fmt.Errorf("RULED_VENDORS: %s has %d bytes, at most %d are read", file, info.Size(), vendors.MaxSize)
	}
	// What is no ordinary file may have no end.
	data, err := io.ReadAll(io.LimitReader(f, vendors.MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("RULED_VENDORS: %w", err)
	}
	table, err := vendors.Parse(file, data)
	if err != nil {
		return nil, fmt.Errorf("RULED_VENDORS: %w", err)
	}
	return table, nil
}
