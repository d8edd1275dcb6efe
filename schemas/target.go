package schemas

import (
	"errors"
	"fmt"
	"net/netip"
)

// CheckTarget returns an error for an address that cannot be the target of a
// relay command. A target must be a unicast address that is valid on every link.
func CheckTarget(a netip.Addr) error {
	switch {
	case !a.IsValid():
		return errors.New("the address is missing")
	case !a.Is6() || a.Is4In6():
		return fmt.Errorf("%v is not an IPv6 address", a)
	case a.IsLinkLocalUnicast():
		return fmt.Errorf("%v is a link-local address, which means another host on every link", a)
	case a.Zone() != "":
		return fmt.Errorf("%v has a zone", a)
	case a.IsUnspecified():
		return fmt.Errorf("%v is the unspecified address", a)
	case a.IsLoopback():
		return fmt.Errorf("%v is the loopback address", a)
	case a.IsMulticast():
		return fmt.Errorf("%v is a multicast address", a)
	}
	return nil
}
