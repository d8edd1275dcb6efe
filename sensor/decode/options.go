package decode

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/ndmon/ndmon/schemas"
)

// Option types that are decoded; schemas.OptionTypes has all, with their names,
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

// optionSet is a set of option types.
type optionSet [4]uint64

func (s *optionSet) add(option uint8)      { s[option>>6] |= 1 << (option & 63) }
func (s *optionSet) has(option uint8) bool { return s[option>>6]&(1<<(option&63)) != 0 }

// meets reports whether an option is in both sets.
func (s *optionSet) meets(t *optionSet) bool {
	return s[0]&t[0]|s[1]&t[1]|s[2]&t[2]|s[3]&t[3] != 0
}

// maxOption is the greatest size of an option in bytes.
const maxOption = 8 * 255

// optionKind is what the table of options says of a type, ready for use.
type optionKind struct {
	min, max int    // bytes
	size     string // the fault of another size, in words
	once     bool
	listed   bool   // in a list of its own, and not with the unknown ones
	name     string // as it follows the type in a sentence
}

// optionTable is the table of options by type, and the options that a message
// does not have by ICMPv6 type, from routerSolicitation on. Those that may stand
// in any, and those that no RFC defines, are never among them.
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

// sizeFault words the fault of an option that has none of the sizes from low to
// high.
func sizeFault(low, high uint16) string {
	switch high {
	case 0:
		return fmt.Sprintf("must be %d bytes long or more", low)
	case low:
		return fmt.Sprintf("must be %d bytes long", low)
	}
	return fmt.Sprintf("must be %d to %d bytes long", low, high)
}

// walkOptions decodes the options of a message, the first of which stands at
// the offset at, into lists: those of the event or those of a PvD option. What is
// good in an option that has a fault is listed all the same, because there are
// receivers that take it. What runs past the end is a fault only in a whole
// message. It reports whether every option was there to be seen.
func (d *Decoder) walkOptions(lists *schemas.Options, m []byte, at int, whole bool) (complete bool) {
	outer := lists == &d.options
	for at < len(m) {
		size := 0
		if at+1 < len(m) {
			size = 8 * int(m[at+1])
		}
		if size == 0 || size > len(m)-at {
			d.noEnd(m, at, outer, whole)
			return false
		}
		option := m[at]
		kind := &d.table.kinds[option]
		if outer {
			if kind.once {
				d.found(&d.fault.Repeated, d.checked.repeats(m, at, size))
			}
			d.checked.seen.add(option)
		}
		fault := ""
		switch {
		case !kind.listed:
			d.unknown(lists, m[at:at+size])
		case size >= kind.min:
			fault = d.content(lists, m, at, min(size, kind.max))
		}
		if fault == "" && (size < kind.min || size > kind.max) {
			fault = kind.size
		}
		if fault != "" {
			d.found(&d.fault.BadOption, true)
			d.malformed.addOption(option, at, size, fault)
		}
		at += size
	}
	return whole
}

// noEnd notes an option that does not say where it ends in the message. In one
// that is not whole it may end behind what is there, unless its length is 0.
func (d *Decoder) noEnd(m []byte, at int, outer, whole bool) {
	option := m[at:]
	if !whole && (len(option) < 2 || option[1] != 0) {
		return
	}
	what := "message"
	if outer {
		d.refused(&d.fault.OptionLength, true)
	} else {
		what = "PvD option"
	}
	d.found(&d.fault.BadOption, true)
	switch {
	case len(option) < 2:
		d.malformed.add("option %d%s at byte %d has no length", option[0], optionName(option[0]), at)
	case option[1] == 0:
		d.malformed.add("option %d%s at byte %d has length 0", option[0], optionName(option[0]), at)
	default:
		d.malformed.add("option %d%s at byte %d is %d bytes long, the %s ends after %d",
			option[0], optionName(option[0]), at, 8*int(option[1]), what, len(option))
	}
}

// optionName returns the name of an option type as it follows the type in a
// sentence, or nothing.
func optionName(option uint8) string { return optionKinds().kinds[option].name }

// addOption notes what is wrong with an option. A message may have thousands
// that are, so only those that are put into words cost anything.
func (m *malformed) addOption(option uint8, at, size int, fault string) {
	if m.count >= maxFaults {
		m.count++
		return
	}
	m.add("option %d%s at byte %d, %d bytes long: %s", option, optionName(option), at, size, fault)
}

// content decodes an option of a size that its type has. It returns what is
// wrong with it.
func (d *Decoder) content(lists *schemas.Options, m []byte, at, size int) (fault string) {
	o := m[at : at+size]
	// Options that stand in a PvD option too.
	switch o[0] {
	case optPrefixInfo:
		return d.prefixInfo(lists, o)
	case optMTU:
		mtu := binary.BigEndian.Uint32(o[4:])
		d.foundInRA(&d.fault.MTU, mtu < minMTU)
		add(d, &lists.MTU, schemas.MTU{MTU: mtu})
		return ""
	case optRouteInfo:
		return d.routeInfo(lists, m, at, size)
	case optRDNSS:
		return d.rdnss(lists, o)
	case optDNSSL:
		return d.dnssl(lists, o)
	case optCaptivePortal:
		return d.captivePortal(lists, o)
	case optPREF64:
		return d.pref64(lists, o)
	case optEncryptedDNS:
		return d.encryptedDNS(lists, o)
	}
	if lists != &d.options {
		d.unknown(lists, o)
		if o[0] == optPvD {
			return "must not stand in another one"
		}
		return ""
	}
	switch o[0] {
	case optSourceLinkLayer:
		d.checkLinkLayer(o[0], schemas.MAC(o[2:8]))
		add(d, &lists.SourceLinkLayer, schemas.LinkLayer{Address: schemas.MAC(o[2:8])})
	case optTargetLinkLayer:
		d.checkLinkLayer(o[0], schemas.MAC(o[2:8]))
		add(d, &lists.TargetLinkLayer, schemas.LinkLayer{Address: schemas.MAC(o[2:8])})
	case optRedirectedHeader:
		d.redirectedHeader(o)
	case optAdvInterval:
		add(d, &lists.AdvInterval, schemas.AdvInterval{Interval: binary.BigEndian.Uint32(o[4:])})
	case optHomeAgent:
		add(d, &lists.HomeAgent, schemas.HomeAgent{
			Preference: binary.BigEndian.Uint16(o[4:]), Lifetime: binary.BigEndian.Uint16(o[6:])})
	case optCGA:
		return d.cga(o)
	case optRSA:
		add(d, &lists.RSA, schemas.RSA{KeyHash: d.hex(o[4:20]), Signature: d.hex(o[20:])})
	case optTimestamp:
		add(d, &lists.Timestamp, schemas.Timestamp{Time: d.timestamp(o[8:16])})
	case optNonce:
		add(d, &lists.Nonce, schemas.Nonce{Value: d.hex(o[2:])})
	case optTrustAnchor:
		return d.trustAnchor(o)
	case optCertificate:
		add(d, &lists.Certificate, schemas.Certificate{CertType: o[2], Content: d.hex(o[4:])})
	case optAddressPrefix:
		return d.addressPrefix(o)
	case optNAAck:
		return d.naAck(o)
	case optPvD:
		return d.pvd(m, at, size)
	case optFlagsExtension:
		add(d, &lists.FlagsExtension, schemas.FlagsExtension{Bits: d.hex(o[2:])})
	case optRegistration:
		d.registration(o)
	case optContext:
		return d.context(o)
	case optBorderRouter:
		add(d, &lists.BorderRouter, schemas.BorderRouter{
			Version:  uint32(binary.BigEndian.Uint16(o[4:]))<<16 | uint32(binary.BigEndian.Uint16(o[2:])),
			Lifetime: binary.BigEndian.Uint16(o[6:]),
			Address:  address(o[8:24]),
		})
	case optCryptoID:
		return d.cryptoID(o)
	case optNDPSignature:
		return d.ndpSignature(o)
	case optResourceDirectory:
		add(d, &lists.ResourceDirectory, schemas.ResourceDirectory{
			Lifetime: binary.BigEndian.Uint32(o[4:]), Address: address(o[8:24])})
	default:
		d.unknown(lists, o)
	}
	return ""
}

func (d *Decoder) unknown(lists *schemas.Options, o []byte) {
	add(d, &lists.Unknown, schemas.UnknownOption{Type: o[0], Length: uint16(len(o)), Content: d.hex(o[2:])})
}

// repeats notes an option that a message has once. It reports whether it is
// there again and not the same.
func (c *checked) repeats(m []byte, at, size int) bool {
	kind := m[at]
	if !c.seen.has(kind) {
		c.first[kind] = uint16(at)
		return false
	}
	first := m[c.first[kind]:]
	return !bytes.Equal(first[:8*int(first[1])], m[at:at+size])
}
