package decode

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

// isND reports whether an ICMPv6 type is a Neighbor Discovery message.
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
