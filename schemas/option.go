package schemas

import "net/netip"

// Options are the options of a message. Each list is in the order of the frame.
type Options struct {
	SourceLinkLayer  []LinkLayer        `json:"sourcelinklayer,omitempty" doc:"the message has a Source Link-Layer Address option" ndpmon:"true"`
	TargetLinkLayer  []LinkLayer        `json:"targetlinklayer,omitempty" doc:"the message has a Target Link-Layer Address option" ndpmon:"true"`
	PrefixInfo       []PrefixInfo       `json:"prefixinfo,omitempty" doc:"the message has a Prefix Information option" ndpmon:"true"`
	RedirectedHeader []RedirectedHeader `json:"redirectedheader,omitempty" doc:"the message has a Redirected Header option"`
	MTU              []MTU              `json:"mtu,omitempty" doc:"the message has an MTU option" ndpmon:"true"`
	Nonce            []Nonce            `json:"nonce,omitempty" doc:"the message has a Nonce option (RFC 3971)"`
	RouteInfo        []RouteInfo        `json:"routeinfo,omitempty" doc:"the message has a Route Information option (RFC 4191)"`
	RDNSS            []RDNSS            `json:"rdnss,omitempty" doc:"the message has a Recursive DNS Server option (RFC 8106)"`
	DNSSL            []DNSSL            `json:"dnssl,omitempty" doc:"the message has a DNS Search List option (RFC 8106)"`
	PREF64           []PREF64           `json:"pref64,omitempty" doc:"the message has a PREF64 option (RFC 8781)"`

	AdvInterval       []AdvInterval       `json:"advinterval,omitempty" doc:"the message has an Advertisement Interval option (RFC 6275)"`
	HomeAgent         []HomeAgent         `json:"homeagent,omitempty" doc:"the message has a Home Agent Information option (RFC 6275)"`
	CGA               []CGA               `json:"cga,omitempty" doc:"the message has a CGA option (RFC 3971)"`
	RSA               []RSA               `json:"rsa,omitempty" doc:"the message has an RSA Signature option (RFC 3971)"`
	Timestamp         []Timestamp         `json:"timestamp,omitempty" doc:"the message has a Timestamp option (RFC 3971)"`
	TrustAnchor       []TrustAnchor       `json:"trustanchor,omitempty" doc:"the message has a Trust Anchor option (RFC 3971)"`
	Certificate       []Certificate       `json:"certificate,omitempty" doc:"the message has a Certificate option (RFC 3971)"`
	AddressPrefix     []AddressPrefix     `json:"addressprefix,omitempty" doc:"the message has an IP Address/Prefix option (RFC 5568)"`
	NAAck             []NAAck             `json:"naack,omitempty" doc:"the message has a Neighbor Advertisement Acknowledgment option (RFC 5568)"`
	PvD               []PvD               `json:"pvd,omitempty" doc:"the message has a PvD option (RFC 8801); only hosts that support provisioning domains read the options in it"`
	FlagsExtension    []FlagsExtension    `json:"flagsextension,omitempty" doc:"the message has an RA Flags Extension option (RFC 5175)"`
	Registration      []Registration      `json:"registration,omitempty" doc:"the message has an Address Registration option, plain (RFC 6775) or extended (RFC 8505)"`
	Context           []Context           `json:"context,omitempty" doc:"the message has a 6LoWPAN Context option (RFC 6775)"`
	BorderRouter      []BorderRouter      `json:"borderrouter,omitempty" doc:"the message has an Authoritative Border Router option (RFC 6775)"`
	CaptivePortal     []CaptivePortal     `json:"captiveportal,omitempty" doc:"the message has a Captive-Portal option (RFC 8910)"`
	CryptoID          []CryptoID          `json:"cryptoid,omitempty" doc:"the message has a Crypto-ID Parameters option (RFC 8928)"`
	NDPSignature      []NDPSignature      `json:"ndpsignature,omitempty" doc:"the message has an NDP Signature option (RFC 8928)"`
	ResourceDirectory []ResourceDirectory `json:"resourcedirectory,omitempty" doc:"the message has a Resource Directory Address option (RFC 9176)"`
	EncryptedDNS      []EncryptedDNS      `json:"encrypteddns,omitempty" doc:"the message has an Encrypted DNS option (RFC 9463)"`

	Unknown []UnknownOption `json:"unknown,omitempty" doc:"the message has an option that is not decoded"`
}

// LinkLayer is a Source or Target Link-Layer Address option (RFC 4861, section 4.6.1).
type LinkLayer struct {
	Address MAC `json:"address" doc:"Ethernet address in the link-layer address option" ndpmon:"true"`
}

// PrefixInfo is a Prefix Information option (RFC 4861, section 4.6.2).
type PrefixInfo struct {
	// Prefix is as it was sent, with the bits after PrefixLength.
	Prefix            netip.Addr      `json:"prefix" doc:"prefix in the Prefix Information option" ndpmon:"true" example:"2001:db8::/32"`
	PrefixLength      uint8           `json:"prefixlength" doc:"length of that prefix in bits, 0 to 128" max:"128" example:"64"`
	Flag              PrefixInfoFlags `json:"flag"`
	ValidLifetime     uint32          `json:"validlifetime" doc:"valid lifetime of that prefix, in seconds; 4294967295 is infinity" ndpmon:"true" lifetime:"true" example:"86400"`
	PreferredLifetime uint32          `json:"preferredlifetime" doc:"preferred lifetime of that prefix, in seconds; 4294967295 is infinity" ndpmon:"true" lifetime:"true" example:"14400"`
}

// PrefixInfoFlags are the flags of a Prefix Information option.
type PrefixInfoFlags struct {
	OnLink      bool  `json:"onlink,omitempty" bit:"0x80,L" doc:"L flag: the prefix is on link" ndpmon:"true"`
	Autoconf    bool  `json:"autoconf,omitempty" bit:"0x40,A" doc:"A flag: hosts configure addresses in the prefix (SLAAC)" ndpmon:"true"`
	Router      bool  `json:"router,omitempty" bit:"0x20,R" doc:"R flag: the prefix is the complete address of the router (RFC 6275)"`
	PDPreferred bool  `json:"pdpreferred,omitempty" bit:"0x10,P" doc:"P flag: hosts should request a prefix by DHCPv6 instead of an address (RFC 9762)"`
	Reserved    uint8 `json:"reserved,omitempty" bit:"0x0f" doc:"reserved bits of the flags of that prefix, 1 to 15" max:"15"`
}

// RedirectedHeader is a Redirected Header option (RFC 4861, section 4.6.3): the
// start of the packet that caused the Redirect.
type RedirectedHeader struct {
	Source      netip.Addr `json:"source" doc:"IPv6 source address of the packet that was redirected"`
	Destination netip.Addr `json:"destination" doc:"IPv6 destination address of the packet that was redirected"`
	NextHeader  uint8      `json:"nextheader" doc:"next header of the packet that was redirected" example:"6"`
	// Echo is nil unless an ICMPv6 echo request or reply follows the IPv6 header.
	Echo *Echo `json:"echo,omitempty"`
}

// Echo is an ICMPv6 echo request or reply (RFC 4443, section 4).
type Echo struct {
	Identifier uint16 `json:"identifier" doc:"identifier of the echo message that was redirected; redir6 of thc-ipv6 provokes Redirects with 64206 (0xface)" example:"64206"`
	Sequence   uint16 `json:"sequence" doc:"sequence number of the echo message that was redirected" example:"1"`
}

// MTU is an MTU option (RFC 4861, section 4.6.4).
type MTU struct {
	MTU uint32 `json:"mtu" doc:"MTU in the MTU option, in bytes" ndpmon:"true" example:"1500"`
}

// Nonce is a Nonce option (RFC 3971, section 5.3.2; RFC 7527).
type Nonce struct {
	Value string `json:"value" doc:"nonce, in lower-case hexadecimal" example:"0123456789ab"`
}

// RouteInfo is a Route Information option (RFC 4191, section 2.3).
type RouteInfo struct {
	Prefix       netip.Addr `json:"prefix" doc:"prefix in the Route Information option" example:"2001:db8::/32"`
	PrefixLength uint8      `json:"prefixlength" doc:"length of that prefix in bits, 0 to 128" max:"128" example:"48"`
	Preference   string     `json:"preference" doc:"preference of that route" enum:"low,medium,high,reserved" example:"medium"`
	Reserved     uint8      `json:"reserved,omitempty" doc:"reserved bits of the flags of that route"`
	Lifetime     uint32     `json:"lifetime" doc:"lifetime of that route, in seconds; 4294967295 is infinity" lifetime:"true" example:"1800"`
}

// RDNSS is a Recursive DNS Server option (RFC 8106, section 5.1).
type RDNSS struct {
	Lifetime uint32       `json:"lifetime" doc:"lifetime of the DNS servers, in seconds; 4294967295 is infinity" lifetime:"true" example:"900"`
	Address  []netip.Addr `json:"address" doc:"address of a recursive DNS server"`
}

// DNSSL is a DNS Search List option (RFC 8106, section 5.2).
type DNSSL struct {
	Lifetime uint32   `json:"lifetime" doc:"lifetime of the DNS search list, in seconds; 4294967295 is infinity" lifetime:"true" example:"900"`
	Domain   []string `json:"domain" doc:"domain in the DNS search list, without the final dot" example:"example.org"`
}

// PREF64 is a PREF64 option (RFC 8781, section 4).
type PREF64 struct {
	Prefix       netip.Addr `json:"prefix" doc:"NAT64 prefix in the PREF64 option" example:"64:ff9b::"`
	PrefixLength uint8      `json:"prefixlength" doc:"length of that prefix in bits: 32, 40, 48, 56, 64 or 96" max:"128" example:"96"`
	Lifetime     uint16     `json:"lifetime" doc:"lifetime of that prefix, in seconds, at most 65528" lifetime:"true" example:"1800"`
}

// AdvInterval is an Advertisement Interval option (RFC 6275, section 7.3).
type AdvInterval struct {
	Interval uint32 `json:"interval" doc:"maximum time between two unsolicited RAs of the router, in milliseconds" example:"600000"`
}

// HomeAgent is a Home Agent Information option (RFC 6275, section 7.4).
type HomeAgent struct {
	Preference uint16 `json:"preference" doc:"preference of the home agent; a higher value is better" example:"10"`
	Lifetime   uint16 `json:"lifetime" doc:"lifetime of the home agent, in seconds" lifetime:"true" example:"1800"`
}

// CGA is a CGA option (RFC 3971, section 5.1).
type CGA struct {
	Parameters string `json:"parameters" doc:"CGA parameters, in lower-case hexadecimal: modifier, subnet prefix, collision count, public key (RFC 3972)" example:"00112233*"`
}

// RSA is an RSA Signature option (RFC 3971, section 5.2).
type RSA struct {
	// Signature includes the padding, because no field of the option has its length.
	KeyHash   string `json:"keyhash" doc:"first 16 bytes of the SHA-1 hash of the public key, in lower-case hexadecimal" example:"0011223344556677*"`
	Signature string `json:"signature" doc:"signature and padding, in lower-case hexadecimal" example:"00112233*"`
}

// Timestamp is a Timestamp option (RFC 3971, section 5.3.1).
type Timestamp struct {
	Time string `json:"time" doc:"timestamp in seconds since 1970, with six decimals" example:"1764100000.*"`
}

// TrustAnchor is a Trust Anchor option (RFC 3971, section 6.4.3; RFC 6495 for keys).
type TrustAnchor struct {
	NameType uint8  `json:"nametype" doc:"type of the name: 1 X.501 name, 2 domain name, 3 to 7 hash of the key (RFC 6495)" example:"2"`
	Name     string `json:"name" doc:"name of the trust anchor: a domain name, or lower-case hexadecimal for other types" example:"*.example.org"`
}

// Certificate is a Certificate option (RFC 3971, section 6.4.4).
type Certificate struct {
	CertType uint8  `json:"certtype" doc:"type of the certificate: 1 X.509v3" example:"1"`
	Content  string `json:"content" doc:"certificate and padding, in lower-case hexadecimal" example:"3082*"`
}

// AddressPrefix is an IP Address/Prefix option (RFC 5568, section 6.4.1).
type AddressPrefix struct {
	Code         uint8      `json:"code" doc:"option code: 1 old care-of address, 2 new care-of address, 3 new access router's address, 4 its prefix" example:"4"`
	PrefixLength uint8      `json:"prefixlength" doc:"length of the prefix in bits" example:"64"`
	Address      netip.Addr `json:"address" doc:"address or prefix in the IP Address/Prefix option"`
}

// NAAck is a Neighbor Advertisement Acknowledgment option (RFC 5568, section 6.4.6).
type NAAck struct {
	Code    uint8       `json:"code" doc:"option code; only 0 is defined" example:"0"`
	Status  uint8       `json:"status" doc:"status of the new care-of address: 1 invalid, 2 invalid and another address is supplied, 3 invalid prefix, 4 prefix known, 128 to 255 not accepted" example:"1"`
	Address *netip.Addr `json:"address,omitempty" doc:"care-of address that the router supplies instead"`
}

// PvD is a PvD option (RFC 8801, section 3.1).
type PvD struct {
	ID       string      `json:"id" doc:"name of the provisioning domain, without the final dot" example:"pvd.example.org"`
	Flag     PvDFlags    `json:"flag"`
	Delay    uint8       `json:"delay" doc:"exponent of the delay before hosts fetch additional information: 2^(delay*2) ms" max:"15" example:"5"`
	Sequence uint16      `json:"sequence" doc:"sequence number of the additional information" example:"1"`
	RA       *RA         `json:"ra,omitempty" doc:"the PvD option contains an RA header, whose parameters replace those of the RA"`
	Opt      *PvDOptions `json:"opt,omitempty"`
}

// PvDFlags are the flags of a PvD option.
type PvDFlags struct {
	HTTP   bool `json:"http,omitempty" bit:"0x80,H" doc:"H flag: hosts can fetch additional information by HTTPS from the name of the provisioning domain"`
	Legacy bool `json:"legacy,omitempty" bit:"0x40,L" doc:"L flag: the provisioning domain also has IPv4, configured by DHCP"`
	RA     bool `json:"ra,omitempty" bit:"0x20,R" doc:"R flag: the option contains an RA header"`
}

// PvDOptions are the options in a PvD option. Each list is in the order of the frame.
type PvDOptions struct {
	PrefixInfo    []PrefixInfo    `json:"prefixinfo,omitempty" doc:"the PvD option contains a Prefix Information option"`
	MTU           []MTU           `json:"mtu,omitempty" doc:"the PvD option contains an MTU option"`
	RouteInfo     []RouteInfo     `json:"routeinfo,omitempty" doc:"the PvD option contains a Route Information option"`
	RDNSS         []RDNSS         `json:"rdnss,omitempty" doc:"the PvD option contains a Recursive DNS Server option"`
	DNSSL         []DNSSL         `json:"dnssl,omitempty" doc:"the PvD option contains a DNS Search List option"`
	PREF64        []PREF64        `json:"pref64,omitempty" doc:"the PvD option contains a PREF64 option"`
	CaptivePortal []CaptivePortal `json:"captiveportal,omitempty" doc:"the PvD option contains a Captive-Portal option"`
	EncryptedDNS  []EncryptedDNS  `json:"encrypteddns,omitempty" doc:"the PvD option contains an Encrypted DNS option"`
	Unknown       []UnknownOption `json:"unknown,omitempty" doc:"the PvD option contains an option that is not decoded there"`
}

// FlagsExtension is an RA Flags Extension option (RFC 5175, section 4).
type FlagsExtension struct {
	Bits string `json:"bits" doc:"bits of the RA flags extension, in lower-case hexadecimal: 6 bytes or more" example:"800000000000"`
}

// Registration is an Address Registration option (RFC 6775, section 4.1), or an
// extended one (RFC 8505, section 4.1; RFC 8928 for C, RFC 9685 for P).
type Registration struct {
	Status   uint8             `json:"status" doc:"status of the registration; 0 is success, 1 duplicate address, 2 neighbor cache full (RFC 8505 has the others)" example:"0"`
	Opaque   uint8             `json:"opaque" doc:"opaque octet for the routing protocol; field i has its meaning" example:"0"`
	P        uint8             `json:"p" doc:"type of the registered address: 0 unicast, 1 multicast, 2 anycast (RFC 9685)" max:"3" example:"0"`
	I        uint8             `json:"i" doc:"meaning of the opaque octet; 0 means the index of a topology" max:"3" example:"0"`
	Flag     RegistrationFlags `json:"flag"`
	TID      uint8             `json:"tid" doc:"transaction identifier; valid only with the T flag" example:"1"`
	Lifetime uint16            `json:"lifetime" doc:"lifetime of the registration, in minutes; 0 ends it" lifetime:"true" example:"60"`
	ROVR     string            `json:"rovr" doc:"owner of the registration, in lower-case hexadecimal: an EUI-64, or a ROVR of 8 to 32 bytes" example:"02124b0001020304"`
}

// RegistrationFlags are the flags of an extended Address Registration option.
type RegistrationFlags struct {
	CryptoID    bool `json:"cryptoid,omitempty" bit:"0x40,C" doc:"C flag: the owner is a Crypto-ID (RFC 8928)"`
	Router      bool `json:"router,omitempty" bit:"0x02,R" doc:"R flag: the host asks the router to route traffic to the address"`
	Transaction bool `json:"transaction,omitempty" bit:"0x01,T" doc:"T flag: the transaction identifier is valid"`
}

// Context is a 6LoWPAN Context option (RFC 6775, section 4.2).
type Context struct {
	Length      uint8  `json:"length" doc:"length of the context prefix, in bits" example:"64"`
	Compression bool   `json:"compression,omitempty" doc:"C flag: the context may be used for compression"`
	CID         uint8  `json:"cid" doc:"context identifier" max:"15" example:"1"`
	Lifetime    uint16 `json:"lifetime" doc:"lifetime of the context, in minutes" lifetime:"true" example:"60"`
	// Prefix is padded with zeros if the option has only 8 bytes of it.
	Prefix netip.Addr `json:"prefix" doc:"context prefix" example:"2001:db8::/32"`
}

// BorderRouter is an Authoritative Border Router option (RFC 6775, section 4.3).
type BorderRouter struct {
	Version  uint32     `json:"version" doc:"version of the information that the border router distributes" example:"1"`
	Lifetime uint16     `json:"lifetime" doc:"lifetime of that information, in minutes; 0 means 10000 (RFC 6775)" lifetime:"true" example:"60"`
	Address  netip.Addr `json:"address" doc:"address of the border router"`
}

// CaptivePortal is a Captive-Portal option (RFC 8910, section 2.3).
type CaptivePortal struct {
	// In URI, the backslash and characters that are not printable are escaped as in
	// domain names (RFC 1035, section 5.1).
	URI string `json:"uri" doc:"URI of the API of the captive portal" example:"https://portal.example.org/*"`
}

// CryptoID is a Crypto-ID Parameters option (RFC 8928, section 4.3).
type CryptoID struct {
	CryptoType uint8  `json:"cryptotype" doc:"signature algorithm and curve: 0 ECDSA256 on P-256, 1 Ed25519, 2 ECDSA25519" example:"0"`
	Modifier   uint8  `json:"modifier" doc:"modifier, which allows several Crypto-IDs for one key" example:"0"`
	EAROLength uint8  `json:"earolength" doc:"length of the corresponding Address Registration option, in units of 8 bytes" example:"2"`
	PublicKey  string `json:"publickey" doc:"public key, in lower-case hexadecimal" example:"04*"`
}

// NDPSignature is an NDP Signature option (RFC 8928, section 4.4).
type NDPSignature struct {
	Signature string `json:"signature" doc:"signature, in lower-case hexadecimal" example:"3045*"`
}

// ResourceDirectory is a Resource Directory Address option (RFC 9176, section 4.1.1).
type ResourceDirectory struct {
	Lifetime uint32     `json:"lifetime" doc:"lifetime of the resource directory, in seconds; 0 ends it" lifetime:"true" example:"3600"`
	Address  netip.Addr `json:"address" doc:"address of the resource directory"`
}

// EncryptedDNS is an Encrypted DNS option (RFC 9463, section 6.1).
type EncryptedDNS struct {
	Priority uint16       `json:"priority" doc:"service priority of the resolver; a lower value is better, and with 0 there are no parameters" example:"1"`
	Lifetime uint32       `json:"lifetime" doc:"lifetime of the resolver, in seconds; 4294967295 is infinity" lifetime:"true" example:"1800"`
	Domain   string       `json:"domain" doc:"authentication domain name of the resolver, without the final dot" example:"dns.example.org"`
	Address  []netip.Addr `json:"address,omitempty" doc:"address of the resolver"`
	// Parameter is in the form of RFC 9460, section 2.1. The values of unnamed keys,
	// and values that are not valid for their key, are in hexadecimal:
	// key65535=ab00.
	Parameter []string `json:"parameter,omitempty" doc:"service parameter of the resolver (RFC 9460)" example:"alpn=h2,h3"`
}

// UnknownOption is an option that is not decoded.
type UnknownOption struct {
	Type    uint8  `json:"type" doc:"type of an option that is not decoded" example:"36"`
	Length  uint16 `json:"length" doc:"length of an option that is not decoded, in bytes, including its type and length" example:"16"`
	Content string `json:"content,omitempty" doc:"content of an option that is not decoded, without its type and length, in lower-case hexadecimal" example:"000000000001"`
}
