package schemas

import (
	"fmt"
	"math/bits"
	"reflect"
	"strconv"
	"strings"
	"sync"

	"github.com/ndmon/ndmon/schemas/internal/wire"
)

// FlagTables has a table for each octet of flags in a message. All of them come
// from the tags bit of the members, so a new flag is one line in its struct.
type FlagTables struct {
	RA           Flags[RAFlags]           // RFC 4861, section 4.2; RFC 5175
	NA           Flags[NAFlags]           // RFC 4861, section 4.4
	PrefixInfo   Flags[PrefixInfoFlags]   // RFC 4861, section 4.6.2; RFC 6275, section 7.2; RFC 9762
	PvD          Flags[PvDFlags]          // RFC 8801, section 3.1
	Registration Flags[RegistrationFlags] // RFC 8505, section 4.1; RFC 8928
}

// AllFlags returns the tables. They must not be changed.
func AllFlags() *FlagTables { return flagTables() }

var flagTables = sync.OnceValue(func() *FlagTables {
	return &FlagTables{newFlags[RAFlags](), newFlags[NAFlags](), newFlags[PrefixInfoFlags](), newFlags[PvDFlags](), newFlags[RegistrationFlags]()}
})

// Flags translates between a struct of flags and the octet that carries them.
// The tag bit of a member has its mask and its name, as in bit:"0x80,M". A
// number may have several bits; those without a name are named by their masks.
type Flags[T any] struct {
	members []flagMember
	decoded [256]T
	names   [8]string // from the lowest bit on, empty for a bit that is no flag
}

type flagMember struct {
	*wire.Member
	mask uint8
}

func newFlags[T any]() Flags[T] {
	var f Flags[T]
	schema := wire.SchemaOf(reflect.TypeFor[T]())
	for i := range schema.Members {
		m := &schema.Members[i]
		hex, name, _ := strings.Cut(m.Tag.Get("bit"), ",")
		mask, err := strconv.ParseUint(hex, 0, 8)
		if err != nil {
			panic(fmt.Sprintf("schemas: flag %s: bit tag: %v", m.Name, err))
		}
		f.members = append(f.members, flagMember{m, uint8(mask)})
		for bit := range f.names {
			if one := uint64(1) << bit; mask == one && name != "" {
				f.names[bit] = name
			} else if mask&one != 0 {
				f.names[bit] = fmt.Sprintf("0x%02x", one)
			}
		}
		for octet := range f.decoded {
			set := uint8(octet) & uint8(mask)
			if flag := reflect.ValueOf(&f.decoded[octet]).Elem().Field(i); m.Kind == wire.Bool {
				flag.SetBool(set != 0)
			} else {
				flag.SetUint(uint64(set >> bits.TrailingZeros64(mask)))
			}
		}
	}
	return f
}

// Decode returns the flags in an octet.
func (f *Flags[T]) Decode(octet uint8) T { return f.decoded[octet] }

// Encode returns the octet that carries the flags. Its other bits are 0.
func (f *Flags[T]) Encode(flags T) uint8 {
	var octet uint8
	for _, m := range f.members {
		switch v := wire.ValueOf(&flags).Member(m.Member); {
		case m.Kind == wire.Uint:
			octet |= uint8(v.Uint(m.Member)) << bits.TrailingZeros8(m.mask)
		case v.Bool():
			octet |= m.mask
		}
	}
	return octet
}

// Names returns the names of the flags that are set in an octet, from the highest bit on.
func (f *Flags[T]) Names(octet uint8) []string {
	var names []string
	for bit := 7; bit >= 0; bit-- {
		if octet&(1<<bit) != 0 && f.names[bit] != "" {
			names = append(names, f.names[bit])
		}
	}
	return names
}

// The values of Preference, of a router and of a route.
const (
	PreferenceLow      = "low"
	PreferenceMedium   = "medium"
	PreferenceHigh     = "high"
	PreferenceReserved = "reserved"
)

// PreferenceMask has the bits of the preference in the flags of an RA and of a
// Route Information option (RFC 4191, sections 2.2 and 2.3).
const PreferenceMask = 0x18

// DecodePreference returns the preference in an octet of flags (RFC 4191, section 2.1).
func DecodePreference(octet uint8) string {
	switch octet & PreferenceMask {
	case 0x08:
		return PreferenceHigh
	case 0x10:
		return PreferenceReserved
	case 0x18:
		return PreferenceLow
	}
	return PreferenceMedium
}

// EncodePreference returns the bits of a preference in an octet of flags, those of
// PreferenceMedium if there is no such preference.
func EncodePreference(preference string) uint8 {
	for octet := uint8(0x08); octet <= PreferenceMask; octet += 0x08 {
		if DecodePreference(octet) == preference {
			return octet
		}
	}
	return 0
}
