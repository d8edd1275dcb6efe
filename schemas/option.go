package schemas

import (
	"net/netip"
	"sync"
)

// Messages is a set of Neighbor Discovery messages.
type Messages uint8

// The messages of RFC 4861.
const (
	InRS Messages = 1 << iota
	InRA
	InNS
	InNA
	InRD
	// InOthers is for messages that are no Neighbor Discovery of RFC 4861, such as
	// those of SEND (RFC 3971) or of Fast Handovers (RFC 5568).
	InOthers Messages = 0

	inAny = InRS | InRA | InNS | InNA | InRD
)

// OptionType is a row of the table of Neighbor Discovery options.
type OptionType struct {
	Type uint8
	// Name is IANA's, in small letters and without the word option.
	Name string
	// RFC says where the option is defined.
	RFC string
	// In are the messages that may carry it.
	In Messages
	// Min and Max bound the whole length in bytes, a multiple of 8; a Max of 0 is
	// no bound.
	Min, Max uint16
	// Once is true for an option that a message has once.
	Once bool
	// Varies is true for an option whose content is another in each message: a
	// nonce, a time or a signature.
	Varies bool
	// Member is the list of Options that it is in. What has none is in Unknown, with
	// its content in hexadecimal.
	Member string
}

// OptionTypes returns the table: the registry "IPv6 Neighbor Discovery Option
// Formats" of IANA, by type. It must not be changed. A new option is a row here;
// if rules are to ask for what is in it, it also has a type in this file, a list
// in Options, and a decoder in the package decode.
func OptionTypes() []OptionType { return optionTable().rows }

// OptionTypeOf returns the row of a type, nil if there is none.
func OptionTypeOf(number uint8) *OptionType { return optionTable().byType[number] }

type options struct {
	rows   []OptionType
	byType [256]*OptionType
}

var optionTable = sync.OnceValue(func() *options {
	t := &options{rows: []OptionType{
		{Type: 1, Name: "source link-layer address", RFC: "RFC 4861, section 4.6.1", In: InRS | InRA | InNS, Min: 8, Max: 8, Once: true, Member: "sourcelinklayer"},
		{Type: 2, Name: "target link-layer address", RFC: "RFC 4861, section 4.6.1", In: InNA | InRD, Min: 8, Max: 8, Once: true, Member: "targetlinklayer"},
		{Type: 3, Name: "prefix information", RFC: "RFC 4861, section 4.6.2", In: InRA, Min: 32, Max: 32, Member: "prefixinfo"},
		{Type: 4, Name: "redirected header", RFC: "RFC 4861, section 4.6.3", In: InRD, Min: 8, Once: true, Member: "redirectedheader"},
		{Type: 5, Name: "MTU", RFC: "RFC 4861, section 4.6.4", In: InRA, Min: 8, Max: 8, Once: true, Member: "mtu"},
		{Type: 6, Name: "NBMA shortcut limit", RFC: "RFC 2491", In: InNS, Min: 8, Max: 8},
		{Type: 7, Name: "advertisement interval", RFC: "RFC 6275, section 7.3", In: InRA, Min: 8, Max: 8, Member: "advinterval"},
		{Type: 8, Name: "home agent information", RFC: "RFC 6275, section 7.4", In: InRA, Min: 8, Max: 8, Member: "homeagent"},
		{Type: 9, Name: "source address list", RFC: "RFC 3122, section 3.1", In: InOthers, Min: 24},
		{Type: 10, Name: "target address list", RFC: "RFC 3122, section 3.1", In: InOthers, Min: 24},
		{Type: 11, Name: "CGA", RFC: "RFC 3971, section 5.1", In: inAny, Min: 32, Member: "cga"},
		{Type: 12, Name: "RSA signature", RFC: "RFC 3971, section 5.2", In: inAny, Min: 24, Varies: true, Member: "rsa"},
		{Type: 13, Name: "timestamp", RFC: "RFC 3971, section 5.3.1", In: inAny, Min: 16, Max: 16, Varies: true, Member: "timestamp"},
		{Type: 14, Name: "nonce", RFC: "RFC 3971, section 5.3.2", In: inAny, Min: 8, Once: true, Varies: true, Member: "nonce"},
		{Type: 15, Name: "trust anchor", RFC: "RFC 3971, section 6.4.3", In: InOthers, Min: 8, Member: "trustanchor"},
		{Type: 16, Name: "certificate", RFC: "RFC 3971, section 6.4.4", In: InOthers, Min: 8, Member: "certificate"},
		{Type: 17, Name: "IP address/prefix", RFC: "RFC 5568, section 6.4.1", In: InOthers, Min: 24, Max: 24, Member: "addressprefix"},
		{Type: 18, Name: "new router prefix information", RFC: "RFC 4068, section 6.4.2", In: InOthers, Min: 8},
		{Type: 19, Name: "link-layer address", RFC: "RFC 5568, section 6.4.3", In: InOthers, Min: 8},
		{Type: 20, Name: "neighbor advertisement acknowledgment", RFC: "RFC 5568, section 6.4.6", In: InRA, Min: 8, Max: 24, Member: "naack"},
		{Type: 21, Name: "PvD ID", RFC: "RFC 8801, section 3.1", In: InRA, Min: 8, Member: "pvd"},
		{Type: 22, Name: "unassigned", In: inAny, Min: 8},
		{Type: 23, Name: "MAP", RFC: "RFC 4140, section 4.5", In: InRA, Min: 24, Max: 24},
		{Type: 24, Name: "route information", RFC: "RFC 4191, section 2.3", In: InRA, Min: 8, Max: 24, Member: "routeinfo"},
		{Type: 25, Name: "recursive DNS server", RFC: "RFC 8106, section 5.1", In: InRA, Min: 24, Member: "rdnss"},
		{Type: 26, Name: "RA flags extension", RFC: "RFC 5175, section 4", In: InRA, Min: 8, Member: "flagsextension"},
		{Type: 27, Name: "handover key request", RFC: "RFC 5269", In: InOthers, Min: 8},
		{Type: 28, Name: "handover key reply", RFC: "RFC 5269", In: InOthers, Min: 8},
		{Type: 29, Name: "handover assist information", RFC: "RFC 5271", In: InOthers, Min: 8},
		{Type: 30, Name: "mobile node identifier", RFC: "RFC 5271", In: InOthers, Min: 8},
		{Type: 31, Name: "DNS search list", RFC: "RFC 8106, section 5.2", In: InRA, Min: 16, Member: "dnssl"},
		{Type: 32, Name: "proxy signature", RFC: "RFC 6496", In: inAny, Min: 24, Varies: true},
		{Type: 33, Name: "address registration", RFC: "RFC 8505, section 4.1", In: InNS | InNA, Min: 16, Max: 40, Member: "registration"},
		{Type: 34, Name: "6LoWPAN context", RFC: "RFC 6775, section 4.2", In: InRA, Min: 16, Max: 24, Member: "context"},
		{Type: 35, Name: "authoritative border router", RFC: "RFC 6775, section 4.3", In: InRA, Min: 24, Max: 24, Member: "borderrouter"},
		{Type: 36, Name: "6LoWPAN capability indication", RFC: "RFC 7400, section 3.3", In: inAny, Min: 8, Max: 8},
		{Type: 37, Name: "captive portal", RFC: "RFC 8910, section 2.3", In: InRA, Min: 8, Member: "captiveportal"},
		{Type: 38, Name: "PREF64", RFC: "RFC 8781, section 4", In: InRA, Min: 16, Max: 16, Member: "pref64"},
		{Type: 39, Name: "crypto-ID parameters", RFC: "RFC 8928, section 4.3", In: InNS | InNA, Min: 16, Member: "cryptoid"},
		{Type: 40, Name: "NDP signature", RFC: "RFC 8928, section 4.4", In: InNS | InNA, Min: 16, Varies: true, Member: "ndpsignature"},
		{Type: 41, Name: "resource directory address", RFC: "RFC 9176, section 4.1.1", In: InRA, Min: 24, Max: 24, Member: "resourcedirectory"},
		{Type: 42, Name: "consistent uptime", RFC: "RFC 9685", In: inAny, Min: 8, Varies: true},
		{Type: 43, Name: "unassigned", In: inAny, Min: 8},
		{Type: 138, Name: "CARD request", RFC: "RFC 4065", In: InOthers, Min: 8},
		{Type: 139, Name: "CARD reply", RFC: "RFC 4065", In: InOthers, Min: 8},
		{Type: 144, Name: "encrypted DNS", RFC: "RFC 9463, section 6.1", In: InRA, Min: 16, Member: "encrypteddns"},
		{Type: 253, Name: "experiment 1", RFC: "RFC 4727, section 5.1.3", In: inAny, Min: 8},
		{Type: 254, Name: "experiment 2", RFC: "RFC 4727, section 5.1.3", In: inAny, Min: 8},
	}}
	for i := range t.rows {
		t.byType[t.rows[i].Type] = &t.rows[i]
	}
	return t
})

// AdvInterval is an Advertisement Interval option (RFC 6275, section 7.3).
type AdvInterval struct {
	// Interval is in milliseconds.
	Interval uint32 `json:"interval" doc:"longest time between two unsolicited RAs of the router, in milliseconds" example:"600000"`
}

// HomeAgent is a Home Agent Information option (RFC 6275, section 7.4).
type HomeAgent struct {
	Preference uint16 `json:"preference" doc:"preference of the home agent; more is better" example:"10"`
	// Lifetime is in seconds.
	Lifetime uint16 `json:"lifetime" doc:"lifetime of the home agent, in seconds" lifetime:"true" example:"1800"`
}

// CGA is a CGA option (RFC 3971, section 5.1).
type CGA struct {
	// Parameters is in lower-case hexadecimal.
	Parameters string `json:"parameters" doc:"CGA parameters in hexadecimal: modifier, subnet prefix, collision count, public key (RFC 3972)" example:"00112233*"`
}

// RSA is an RSA Signature option (RFC 3971, section 5.2).
type RSA struct {
	// KeyHash and Signature are in lower-case hexadecimal. The signature ends with
	// the padding, whose length no field tells.
	KeyHash   string `json:"keyhash" doc:"first 16 bytes of the SHA-1 hash of the public key, in hexadecimal" example:"0011223344556677*"`
	Signature string `json:"signature" doc:"signature and padding in hexadecimal" example:"00112233*"`
}

// Timestamp is a Timestamp option (RFC 3971, section 5.3.1).
type Timestamp struct {
	// Time is in seconds since 1970 with six decimals.
	Time string `json:"time" doc:"time stamp in seconds since 1970, with six decimals" example:"1764100000.*"`
}

// TrustAnchor is a Trust Anchor option (RFC 3971, section 6.4.3; RFC 6495 for
// keys).
type TrustAnchor struct {
	NameType uint8 `json:"nametype" doc:"type of the trust anchor's name: 1 for an X.501 name, 2 for a domain name, 3 to 7 for the hash of its key (RFC 6495)" example:"2"`
	// Name is in lower-case hexadecimal unless it is a domain name.
	Name string `json:"name" doc:"name of the trust anchor: a domain name, or hexadecimal" example:"*.example.org"`
}

// Certificate is a Certificate option (RFC 3971, section 6.4.4).
type Certificate struct {
	CertType uint8 `json:"certtype" doc:"type of the certificate: 1 for X.509v3" example:"1"`
	// Content is in lower-case hexadecimal, with the padding.
	Content string `json:"content" doc:"certificate and padding in hexadecimal" example:"3082*"`
}

// AddressPrefix is an IP Address/Prefix option (RFC 5568, section 6.4.1).
type AddressPrefix struct {
	Code         uint8      `json:"code" doc:"option code: 1 old care-of address, 2 new care-of address, 3 new access router's address, 4 its prefix" example:"4"`
	PrefixLength uint8      `json:"prefixlength" doc:"length of the prefix in bits" example:"64"`
	Address      netip.Addr `json:"address" doc:"address or prefix in the IP Address/Prefix option"`
}

// NAAck is a Neighbor Advertisement Acknowledgment option (RFC 5568, section
// 6.4.6).
type NAAck struct {
	Code   uint8 `json:"code" doc:"option code; 0 is the only one defined" example:"0"`
	Status uint8 `json:"status" doc:"what the router makes of the new care-of address: 1 invalid, 2 invalid and another one is given, 3 invalid and the prefix is not the link's, 4 known, 128 to 255 not accepted" example:"1"`
	// Address is nil where the option has none.
	Address *netip.Addr `json:"address,omitempty" doc:"care-of address that the router gives instead"`
}

// PvD is a PvD option (RFC 8801, section 3.1).
type PvD struct {
	// ID is a domain name without the final dot.
	ID       string   `json:"id" doc:"name of the provisioning domain, without the final dot" example:"pvd.example.org"`
	Flag     PvDFlags `json:"flag"`
	Delay    uint8    `json:"delay" doc:"exponent of the time, 2^(delay*2) ms, that hosts wait before they fetch more information" max:"15" example:"5"`
	Sequence uint16   `json:"sequence" doc:"sequence number of the additional information" example:"1"`
	// RA is nil unless the option has a header of an RA of its own.
	RA  *RA         `json:"ra,omitempty" doc:"the PvD option has parameters of an RA in it, in place of those of the RA that it is in"`
	Opt *PvDOptions `json:"opt,omitempty"`
}

// PvDFlags are the flags of a PvD option.
type PvDFlags struct {
	HTTP   bool `json:"http,omitempty" bit:"0x80,H" doc:"H flag: there is additional information, by HTTPS from the name of the provisioning domain"`
	Legacy bool `json:"legacy,omitempty" bit:"0x40,L" doc:"L flag: the provisioning domain has IPv4 too, with DHCP for its configuration"`
	RA     bool `json:"ra,omitempty" bit:"0x20,R" doc:"R flag: the option has parameters of an RA in it"`
}

// PvDOptions are the options in a PvD option, each in their order; the list of an
// option that was not in it is empty.
type PvDOptions struct {
	PrefixInfo    []PrefixInfo    `json:"prefixinfo,omitempty" doc:"the PvD option has a Prefix Information option in it"`
	MTU           []MTU           `json:"mtu,omitempty" doc:"the PvD option has an MTU option in it"`
	RouteInfo     []RouteInfo     `json:"routeinfo,omitempty" doc:"the PvD option has a Route Information option in it"`
	RDNSS         []RDNSS         `json:"rdnss,omitempty" doc:"the PvD option has a Recursive DNS Server option in it"`
	DNSSL         []DNSSL         `json:"dnssl,omitempty" doc:"the PvD option has a DNS Search List option in it"`
	PREF64        []PREF64        `json:"pref64,omitempty" doc:"the PvD option has a PREF64 option in it"`
	CaptivePortal []CaptivePortal `json:"captiveportal,omitempty" doc:"the PvD option has a Captive-Portal option in it"`
	EncryptedDNS  []EncryptedDNS  `json:"encrypteddns,omitempty" doc:"the PvD option has an Encrypted DNS option in it"`
	Unknown       []UnknownOption `json:"unknown,omitempty" doc:"the PvD option has an option in it that is not decoded there"`
}

// FlagsExtension is an RA Flags Extension option (RFC 5175, section 4).
type FlagsExtension struct {
	// Bits is in lower-case hexadecimal, with 6 bytes or more.
	Bits string `json:"bits" doc:"bits of the RA flags extension in hexadecimal" example:"800000000000"`
}

// Registration is an Address Registration option (RFC 6775, section 4.1), or an
// extended one (RFC 8505, section 4.1; RFC 8928 for C, RFC 9685 for P).
type Registration struct {
	Status uint8             `json:"status" doc:"status of the registration; 0 is success, 1 duplicate address, 2 neighbor cache full (RFC 8505 has the others)" example:"0"`
	Opaque uint8             `json:"opaque" doc:"octet that the routing protocol reads as I says" example:"0"`
	P      uint8             `json:"p" doc:"what is registered: 0 unicast, 1 multicast, 2 anycast address (RFC 9685)" max:"3" example:"0"`
	I      uint8             `json:"i" doc:"what the opaque octet is; 0 is the index of a topology" max:"3" example:"0"`
	Flag   RegistrationFlags `json:"flag"`
	TID    uint8             `json:"tid" doc:"transaction identifier; it counts only with the T flag" example:"1"`
	// Lifetime is in minutes.
	Lifetime uint16 `json:"lifetime" doc:"lifetime of the registration, in minutes; 0 ends it" lifetime:"true" example:"60"`
	// ROVR is in lower-case hexadecimal, 8 bytes or more.
	ROVR string `json:"rovr" doc:"owner of the registration in hexadecimal: an EUI-64, or a ROVR of 8 to 32 bytes" example:"02124b0001020304"`
}

// RegistrationFlags are the flags of an extended Address Registration option.
type RegistrationFlags struct {
	CryptoID    bool `json:"cryptoid,omitempty" bit:"0x40,C" doc:"C flag: the owner is a Crypto-ID (RFC 8928)"`
	Router      bool `json:"router,omitempty" bit:"0x02,R" doc:"R flag: the router is asked to make the address reachable by routing"`
	Transaction bool `json:"transaction,omitempty" bit:"0x01,T" doc:"T flag: the transaction identifier counts"`
}

// Context is a 6LoWPAN Context option (RFC 6775, section 4.2).
type Context struct {
	// Length is in bits.
	Length      uint8 `json:"length" doc:"length of the context prefix that counts, in bits" example:"64"`
	Compression bool  `json:"compression,omitempty" doc:"C flag: the context may be used to compress"`
	CID         uint8 `json:"cid" doc:"context identifier" max:"15" example:"1"`
	// Lifetime is in minutes.
	Lifetime uint16 `json:"lifetime" doc:"lifetime of the context, in minutes" lifetime:"true" example:"60"`
	// Prefix has zeros behind what is in the option.
	Prefix netip.Addr `json:"prefix" doc:"context prefix" example:"2001:db8::/32"`
}

// BorderRouter is an Authoritative Border Router option (RFC 6775, section 4.3).
type BorderRouter struct {
	Version uint32 `json:"version" doc:"version of what the border router distributes" example:"1"`
	// Lifetime is in minutes; RFC 6775 has 0 stand for 10000.
	Lifetime uint16     `json:"lifetime" doc:"lifetime of what the border router distributes, in minutes; 0 stands for 10000" lifetime:"true" example:"60"`
	Address  netip.Addr `json:"address" doc:"address of the border router"`
}

// CaptivePortal is a Captive-Portal option (RFC 8910, section 2.3).
type CaptivePortal struct {
	// URI has what is not printable, and the backslash, escaped as a domain has them
	// (RFC 1035, section 5.1).
	URI string `json:"uri" doc:"URI of the captive portal's API" example:"https://portal.example.org/*"`
}

// CryptoID is a Crypto-ID Parameters option (RFC 8928, section 4.3).
type CryptoID struct {
	CryptoType uint8 `json:"cryptotype" doc:"signature algorithm and curve: 0 ECDSA256 on P-256, 1 Ed25519, 2 ECDSA25519" example:"0"`
	Modifier   uint8 `json:"modifier" doc:"modifier that makes another Crypto-ID of the same key" example:"0"`
	// EAROLength is in units of 8 bytes.
	EAROLength uint8 `json:"earolength" doc:"length of the Address Registration option that goes with it, in units of 8 bytes" example:"2"`
	// PublicKey is in lower-case hexadecimal.
	PublicKey string `json:"publickey" doc:"public key in hexadecimal" example:"04*"`
}

// NDPSignature is an NDP Signature option (RFC 8928, section 4.4).
type NDPSignature struct {
	// Signature is in lower-case hexadecimal.
	Signature string `json:"signature" doc:"signature in hexadecimal" example:"3045*"`
}

// ResourceDirectory is a Resource Directory Address option (RFC 9176, section
// 4.1.1).
type ResourceDirectory struct {
	// Lifetime is in seconds; 0 ends it.
	Lifetime uint32     `json:"lifetime" doc:"lifetime of the resource directory, in seconds" lifetime:"true" example:"3600"`
	Address  netip.Addr `json:"address" doc:"address of the resource directory"`
}

// EncryptedDNS is an Encrypted DNS option (RFC 9463, section 6.1).
type EncryptedDNS struct {
	Priority uint16 `json:"priority" doc:"service priority of the resolver; less is better, 0 has no parameters" example:"1"`
	// Lifetime is in seconds; 4294967295 is infinity.
	Lifetime uint32 `json:"lifetime" doc:"lifetime of the resolver, in seconds; 4294967295 is infinity" lifetime:"true" example:"1800"`
	// Domain has no final dot.
	Domain  string       `json:"domain" doc:"authentication domain name of the resolver, without the final dot" example:"dns.example.org"`
	Address []netip.Addr `json:"address,omitempty" doc:"address of the resolver"`
	// Parameter is as RFC 9460, section 2.1 writes it, but for the values of keys
	// without a name there, and those that their key does not have: they are in
	// hexadecimal, as in key65535=ab00.
	Parameter []string `json:"parameter,omitempty" doc:"service parameter of the resolver (RFC 9460)" example:"alpn=h2,h3"`
}

// UnknownOption is an option that is not decoded.
type UnknownOption struct {
	Type uint8 `json:"type" doc:"type of an option that is not decoded" example:"36"`
	// Length is the option's whole length in bytes.
	Length uint16 `json:"length" doc:"length of an option that is not decoded, in bytes" example:"16"`
	// Content is in lower-case hexadecimal: what follows type and length.
	Content string `json:"content,omitempty" doc:"content of an option that is not decoded, in hexadecimal: what follows its type and length" example:"000000000001"`
}
