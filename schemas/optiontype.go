package schemas

import "sync"

// Messages is a set of Neighbor Discovery messages.
type Messages uint8

// The messages of RFC 4861.
const (
	InRS Messages = 1 << iota
	InRA
	InNS
	InNA
	InRD
	// InOthers is for other ICMPv6 messages, such as those of SEND (RFC 3971) and
	// Fast Handovers (RFC 5568).
	InOthers Messages = 0

	inAny = InRS | InRA | InNS | InNA | InRD
)

// OptionType is a row of the table of Neighbor Discovery options.
type OptionType struct {
	Type uint8
	// Name is IANA's, in lower case and without the word option.
	Name string
	// RFC is the definition of the option.
	RFC string
	// In lists the messages that may have the option.
	In Messages
	// Min and Max bound the length of the option in bytes, including type and
	// length. They are multiples of 8. A Max of 0 is no bound.
	Min, Max uint16
	// Once is true if a message must not repeat the option.
	Once bool
	// Varies is true if the content is different in each message: a nonce, a time or a signature.
	Varies bool
	// Member is the JSON name of its list in Options. An option without one is in Options.Unknown.
	Member string
}

// OptionTypes returns the table, by type: the registry "IPv6 Neighbor Discovery Option Formats" of
// IANA. It must not be changed. A new option is a row of it. An option with fields also has a
// struct and a list in option.go, and a decoder in sensor/decode.
func OptionTypes() []OptionType { return optionTable().rows }

// OptionTypeOf returns the row of an option type, nil if there is none.
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
