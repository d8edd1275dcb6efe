package decode

import (
	"fmt"
	"sync"

	"github.com/ndmon/ndmon/schemas"
)

// ICMPv6 types (RFC 4861, section 4, and RFC 4443, section 4).
const (
	echoRequest           = 128
	echoReply             = 129
	routerSolicitation    = 133
	routerAdvertisement   = 134
	neighborSolicitation  = 135
	neighborAdvertisement = 136
	redirect              = 137
)

const (
	icmp6Size = 4  // type, code and checksum
	raSize    = 16 // of an RA before its options
)

const (
	inet6Size    = 40 // RFC 8200, section 3
	inet6Version = 6

	// Protocol numbers: the extension headers that are walked, and ICMPv6.
	hopByHop           = 0
	routing            = 43
	fragment           = 44
	icmp6              = 58
	destinationOptions = 60

	// Masks of the third and fourth byte of a fragment header (RFC 8200, section 4.5). The
	// offset counts units of 8 bytes; its bits are placed so that, without a shift, they are
	// the offset in bytes.
	offsetMask = 0xfff8
	moreMask   = 0x0001

	// maxExtensions is how many extension headers an event lists. A frame of 1500 bytes can
	// have 182 and the longest packet 8190; Linux walks them all.
	maxExtensions = 256
)

func isND(icmp6Type uint8) bool {
	return routerSolicitation <= icmp6Type && icmp6Type <= redirect
}

// leadsToICMP6 reports whether a protocol number is that of ICMPv6 or of an extension header
// that is walked.
func leadsToICMP6(header uint8) bool {
	switch header {
	case hopByHop, routing, fragment, icmp6, destinationOptions:
		return true
	}
	return false
}

// Types of the options that are decoded; schemas.OptionTypes has all types with their names,
// sizes and RFCs.
const (
	optSourceLinkLayer   = 1
	optTargetLinkLayer   = 2
	optPrefixInfo        = 3
	optRedirectedHeader  = 4
	optMTU               = 5
	optAdvInterval       = 7
	optHomeAgent         = 8
	optCGA               = 11
	optRSA               = 12
	optTimestamp         = 13
	optNonce             = 14
	optTrustAnchor       = 15
	optCertificate       = 16
	optAddressPrefix     = 17
	optNAAck             = 20
	optPvD               = 21
	optRouteInfo         = 24
	optRDNSS             = 25
	optFlagsExtension    = 26
	optDNSSL             = 31
	optRegistration      = 33
	optContext           = 34
	optBorderRouter      = 35
	optCaptivePortal     = 37
	optPREF64            = 38
	optCryptoID          = 39
	optNDPSignature      = 40
	optResourceDirectory = 41
	optEncryptedDNS      = 144
)

type optionSet [4]uint64

func (s *optionSet) add(option uint8) { s[option>>6] |= 1 << (option & 63) }

func (s *optionSet) has(option uint8) bool { return s[option>>6]&(1<<(option&63)) != 0 }

func (s *optionSet) meets(t *optionSet) bool {
	return s[0]&t[0]|s[1]&t[1]|s[2]&t[2]|s[3]&t[3] != 0
}

// maxOption is the greatest size of an option in bytes.
const maxOption = 8 * 255

// optionKind is a row of schemas.OptionTypes, prepared for decoding.
type optionKind struct {
	min, max int    // bytes
	size     string // the fault of another size, in words
	once     bool   // a message has at most one
	listed   bool   // in a list of its own, not with the unknown options
	name     string // in parentheses, as it follows the type in a sentence
}

// optionTable has the options by type and, by ICMPv6 type from routerSolicitation on, the
// options that are not allowed in a message. An option that no RFC defines is allowed in all.
type optionTable struct {
	kinds      [256]optionKind
	notAllowed [redirect - routerSolicitation + 1]optionSet
	flags      *schemas.FlagTables
}

var optionKinds = sync.OnceValue(func() *optionTable {
	t := &optionTable{flags: schemas.AllFlags()}
	for i := range t.kinds {
		t.kinds[i].max = maxOption // of a type without a row
	}
	for _, row := range schemas.OptionTypes() {
		kind := optionKind{
			min: int(row.Min), max: int(row.Max), size: sizeFault(row.Min, row.Max),
			once: row.Once, listed: row.Member != "", name: " (" + row.Name + ")",
		}
		if kind.max == 0 {
			kind.max = maxOption
		}
		t.kinds[row.Type] = kind
		for i := range t.notAllowed {
			if row.In&(schemas.InRS<<i) == 0 {
				t.notAllowed[i].add(row.Type)
			}
		}
	}
	return t
})

// sizeFault returns in words the fault of an option with a size outside the range from low
// to high; high is 0 for no limit.
func sizeFault(low, high uint16) string {
	switch high {
	case 0:
		return fmt.Sprintf("must be %d bytes long or more", low)
	case low:
		return fmt.Sprintf("must be %d bytes long", low)
	}
	return fmt.Sprintf("must be %d to %d bytes long", low, high)
}

// optionName returns the name of an option type in parentheses, or empty if it has none.
func optionName(option uint8) string { return optionKinds().kinds[option].name }
