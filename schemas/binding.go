package schemas

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/ndmon/ndmon/schemas/internal/wire"
)

// TypeBinding is the value of the member "type" of a Binding.
const TypeBinding = "nd.binding.v1"

// StreamHistory stores the newest message of each Binding, on its Subject. SubjectHistory covers all.
// StreamStations is a copy of it that the server makes, where the Ethernet address comes before the address: a server
// finds the messages of a station only by the first tokens of their subjects without looking at those of all others.
const (
	StreamHistory  = "ND_HISTORY"
	SubjectHistory = PrefixHistory + ">"
	PrefixHistory  = "nd.history."
	StreamStations = "ND_STATIONS"
	// StationsFrom and StationsTo are the transform of the subjects in the copy.
	StationsFrom = PrefixHistory + "*.*.*.*.*.*.*.*.*.*.*.*.*"
	StationsTo   = prefixStations + "{{wildcard(9)}}.{{wildcard(1)}}.{{wildcard(2)}}.{{wildcard(3)}}.{{wildcard(4)}}.{{wildcard(5)}}.{{wildcard(6)}}" +
		".{{wildcard(7)}}.{{wildcard(8)}}.{{wildcard(10)}}.{{wildcard(11)}}.{{wildcard(12)}}.{{wildcard(13)}}"
	prefixStations = "nd.stations."
)

// The values of Binding.Heard: how a station was heard to use an address.
const (
	HeardNS       = "ns"       // it solicited from the address
	HeardNA       = "na"       // it advertised the address
	HeardDAD      = "dad"      // it tested whether it can have the address (RFC 4862, section 5.4)
	HeardRS       = "rs"       // it solicited routers from the address
	HeardRA       = "ra"       // it is a router with the address
	HeardRedirect = "redirect" // a Redirect came from the address, or named it
)

// Binding is the message nd.binding.v1: a station used an address on a link for some time. A longer silence
// of the station ends it, and what the station sends then begins another one.
type Binding struct {
	Type     string     `json:"type" enum:"nd.binding.v1"`
	Address  netip.Addr `json:"address"`
	Ethernet MAC        `json:"ethernet"`
	// Vendor is the maker of the station, if known.
	Vendor    string  `json:"vendor,omitempty"`
	Host      string  `json:"host"`
	Interface string  `json:"interface"`
	VLAN      *uint16 `json:"vlan,omitempty"`
	InnerVLAN *uint16 `json:"innervlan,omitempty"`
	// First and Last are when the station was heard with the address first and last. A message with a
	// later Last replaces the former one, some minutes after it.
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	Heard []string  `json:"heard" enum:"ns,na,dad,rs,ra,redirect"`
	// Contested is true if another station used the address on the link at the same time.
	Contested bool `json:"contested,omitempty"`
}

var bindingCodec = wire.NewCodec[Binding]()

// AppendJSON appends the binding as JSON.
func (b *Binding) AppendJSON(to []byte) []byte { return bindingCodec.Append(to, b) }

// ParseJSON reads a binding as strictly as Event.ParseJSON.
func (b *Binding) ParseJSON(data []byte) error { return bindingCodec.Parse(data, b) }

// Subject returns the binding's subject, which differs for each: nd.history, the 8 groups of the address with 4
// digits each, the Ethernet address, the host, the interface, the VLANs, and First in milliseconds since 1970.
func (b *Binding) Subject() string {
	s := make([]byte, 0, 128)
	s = append(s, PrefixHistory...)
	s = appendGroups(s, b.Address.As16(), 8)
	s = append(s, b.Ethernet.String()...)
	return b.appendPlace(s)
}

// StationSubject returns the binding's subject in StreamStations: nd.stations, the Ethernet address, and the rest as
// in Subject.
func (b *Binding) StationSubject() string {
	s := make([]byte, 0, 128)
	s = append(s, prefixStations...)
	s = append(s, b.Ethernet.String()...)
	s = append(s, '.')
	s = appendGroups(s, b.Address.As16(), 8)
	return b.appendPlace(s[:len(s)-1])
}

// appendPlace appends where and since when to a subject.
func (b *Binding) appendPlace(s []byte) string {
	s = append(s, '.')
	s = append(s, EscapeToken(b.Host)...)
	s = append(s, '.')
	s = append(s, EscapeToken(b.Interface)...)
	s = append(s, '.')
	s = append(s, vlanToken(b.VLAN, b.InnerVLAN)...)
	s = append(s, '.')
	return string(strconv.AppendInt(s, b.First.UnixMilli(), 10))
}

// appendGroups appends the first n groups of an address as tokens.
func appendGroups(s []byte, addr [16]byte, n int) []byte {
	const digits = "0123456789abcdef"
	for i := range n {
		high, low := addr[2*i], addr[2*i+1]
		s = append(s, digits[high>>4], digits[high&15], digits[low>>4], digits[low&15], '.')
	}
	return s
}

// vlanToken returns the VLANs as a token, "-" for none.
func vlanToken(outer, inner *uint16) string {
	var tags []string
	for _, tag := range []*uint16{outer, inner} {
		if tag != nil {
			tags = append(tags, strconv.Itoa(int(*tag)))
		}
	}
	if len(tags) == 0 {
		return "-"
	}
	return strings.Join(tags, "-")
}

// HistoryOfPrefix returns a subject that covers the bindings of all addresses in a prefix, and of others if
// the prefix has no multiple of 16 bits. Host is a plain name, or empty for all.
func HistoryOfPrefix(prefix netip.Prefix, host string) string {
	n := prefix.Bits() / 16
	s := string(appendGroups([]byte(PrefixHistory), prefix.Masked().Addr().As16(), n))
	if host == "" {
		return s + ">"
	}
	return s + strings.Repeat("*.", 8-n) + "*." + EscapeToken(host) + ".>"
}

// HistoryOfStation returns a subject that covers the bindings of a station in StreamStations. Host is as in HistoryOfPrefix.
func HistoryOfStation(mac MAC, host string) string {
	s := prefixStations + mac.String() + "."
	if host != "" {
		s += strings.Repeat("*.", 8) + EscapeToken(host) + "."
	}
	return s + ">"
}
