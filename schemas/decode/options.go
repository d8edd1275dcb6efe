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

// optionKind is what the table of options says of a type, ready for use. For a
// type that the table does not have it is zero.
type optionKind struct {
	min, max int    // bytes; a max of 0 is no bound
	size     string // the fault of another size, in words
	once     bool
	listed   bool   // in a list of its own, and not with the unknown ones
	name     string // as it follows the type in a sentence
}

// optionTable is the table of options by type, and the options that a message
// does not have by ICMPv6 type, from routerSolicitation on. Those that may stand
// in any, and those that nobody has defined, are never among them.
type optionTable struct {
	kinds      [256]optionKind
	notAllowed [redirect - routerSolicitation + 1]optionSet
}

var optionKinds = sync.OnceValue(func() *optionTable {
	t := new(optionTable)
	for _, row := range schemas.OptionTypes() {
		t.kinds[row.Type] = optionKind{
			min: int(row.Min), max: int(row.Max), size: sizeFault(row.Min, row.Max),
			once: row.Once, listed: row.Member != "", name: " (" + row.Name + ")",
		}
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
// the offset at. What runs past the end is a fault only in a whole message.
func (d *Decoder) walkOptions(m []byte, at int, whole bool) {
	table := optionKinds()
	for at < len(m) {
		size := d.optionSize(m, at, whole)
		if size == 0 {
			d.refused(&d.fault.OptionLength, whole || len(m)-at >= 2 && m[at+1] == 0)
			return
		}
		if table.kinds[m[at]].once {
			d.found(&d.fault.Repeated, d.checked.repeats(m, at, size))
		}
		d.checked.seen.add(m[at])
		d.option(&d.options, m, at, size)
		at += size
	}
	d.checked.complete = whole
}

// optionSize returns the size in bytes of the option at an offset, or 0 when it
// does not say where it ends in the message, which is a fault: unless the message
// is not whole, so that it may end behind what is there.
func (d *Decoder) optionSize(m []byte, at int, whole bool) int {
	option := m[at:]
	if len(option) >= 2 {
		size := 8 * int(option[1])
		if 0 < size && size <= len(option) {
			return size
		}
		if size > 0 && !whole {
			return 0
		}
	} else if !whole {
		return 0
	}
	d.found(&d.fault.BadOption, true)
	what := "message"
	if d.malformed.pvd > 0 {
		what = "PvD option"
	}
	switch {
	case len(option) < 2:
		d.malformed.add("option %d%s at byte %d has no length", option[0], optionName(option[0]), at)
	case option[1] == 0:
		d.malformed.add("option %d%s at byte %d has length 0", option[0], optionName(option[0]), at)
	default:
		d.malformed.add("option %d%s at byte %d is %d bytes long, the %s ends after %d",
			option[0], optionName(option[0]), at, 8*int(option[1]), what, len(option))
	}
	return 0
}

// optionName returns the name of an option type as it follows the type in a
// sentence, or nothing.
func optionName(option uint8) string { return optionKinds().kinds[option].name }

// option decodes an option that is whole, its size a multiple of 8 that is not
// 0, into one of the lists. What is good in one that has a fault is listed all
// the same, because there are receivers that take it.
func (d *Decoder) option(lists *schemas.Options, m []byte, at, size int) {
	kind := &optionKinds().kinds[m[at]]
	o, fault := m[at:at+size], ""
	switch {
	case !kind.listed:
		d.unknown(lists, o)
	case size < kind.min:
	case kind.max > 0 && size > kind.max:
		fault = d.content(lists, m, at, kind.max)
	default:
		fault = d.content(lists, m, at, size)
	}
	if fault == "" && (size < kind.min || kind.max > 0 && size > kind.max) {
		fault = kind.size
	}
	if fault != "" {
		d.found(&d.fault.BadOption, true)
		d.malformed.addOption(m[at], at, size, fault)
	}
}

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
