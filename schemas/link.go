package schemas

import "net/netip"

// Link compares an event with what ruled has learned of the link: which addresses
// and stations are new, which bindings changed, and how an RA differs from those
// of the configured or learned routers. ruled sets it before it evaluates rules
// and publishes it in alerts. It refuses an event from a sensor that has it.
type Link struct {
	Configured bool `json:"configured,omitempty" doc:"the configuration lists the routers of this link, so that any other is wrong; without it, routers are learned"`
	// Bogon needs a configured or, if there is none, a learned prefix.
	Bogon       bool `json:"bogon,omitempty" doc:"the source address is outside every prefix of the link (NDPMon: bogon): a forged or misconfigured sender"`
	Unsolicited bool `json:"unsolicited,omitempty" doc:"NA without an NS for its target in the last 10 seconds, and not after duplicate address detection of the sender: it poisons caches, or announces that an address has moved"`

	Unanswered bool `json:"unanswered,omitempty" doc:"NS for an unknown address, after more than 100 such NS without an answer in the last 10 seconds: a scan of the prefix, from the link or, if a router solicits, from outside (RFC 6583)"`
	Flood      bool `json:"flood,omitempty" doc:"the station, or an address of the frame, was first seen in a flood of new ones that still continues: it may be invented"`

	Station *LinkStation `json:"station,omitempty"`
	Claim   []LinkClaim  `json:"claim,omitempty"`
	DAD     *LinkDAD     `json:"dad,omitempty" doc:"the frame answers duplicate address detection: the address that another station tests is in use, or the sender says so (a genuine conflict, or dos-new-ip6)"`
	Router  *LinkRouter  `json:"router,omitempty" doc:"the sender is, or speaks for, a router, and one of the fields below applies"`
	RA      *LinkRA      `json:"ra,omitempty" doc:"the RA of a router of the link differs from its configured or learned parameters"`
}

// LinkStation is the station that sent the frame, by its Ethernet source.
type LinkStation struct {
	New      bool `json:"new,omitempty" doc:"Ethernet source seen on the link for the first time (NDPMon: new station)"`
	Returned bool `json:"returned,omitempty" doc:"station that returns after a silence of at least RULED_SILENCE (NDPMon: new activity)"`
	// Vendor is empty for locally administered addresses.
	Vendor        string `json:"vendor,omitempty" doc:"vendor of the station, by its Ethernet source" example:"Cisco Systems, Inc"`
	UnknownVendor bool   `json:"unknownvendor,omitempty" doc:"globally administered Ethernet source without a known vendor (NDPMon: unknown mac vendor): a forged address, or one newer than the table"`
}

// LinkClaim is one binding of an address to a station that the frame announces,
// if one of its bool fields applies.
type LinkClaim struct {
	Address  netip.Addr `json:"address" doc:"address that the frame binds to a station: the source of the packet, or the target of an NA or Redirect"`
	Ethernet MAC        `json:"ethernet" doc:"Ethernet address that the frame binds it to"`
	Previous *MAC       `json:"previous,omitempty" doc:"Ethernet address of the latest other binding of the address"`

	New       bool `json:"new,omitempty" doc:"address seen on the link for the first time (NDPMon: new IP, new lla)"`
	Early     bool `json:"early,omitempty" doc:"new address of a station that was first seen less than a minute ago: it is just starting"`
	Expected  bool `json:"expected,omitempty" doc:"new address after duplicate address detection by the station, or after a solicitation for it"`
	Settled   bool `json:"settled,omitempty" doc:"contested address that was seen here more than once, and not in a flood of new ones: it is not invented"`
	Own       bool `json:"own,omitempty" doc:"contested address of the host whose sensor captured the frame"`
	Changed   bool `json:"changed,omitempty" doc:"address bound to another station for the first time (NDPMon: changed ethernet address, wrong couple MAC/LLA): neighbour spoofing (parasite6, fake_advertise6), or a station that changed its Ethernet address"`
	FlipFlop  bool `json:"flipflop,omitempty" doc:"address bound again to the station before the latest one (NDPMon: flip flop): spoofing while the owner defends itself, or two stations with one address"`
	Reused    bool `json:"reused,omitempty" doc:"address bound again to a station that had it earlier (NDPMon: reused old ethernet address)"`
	Contested bool `json:"contested,omitempty" doc:"the binding contradicts another one: changed, flipflop or reused"`
	Disputed  bool `json:"disputed,omitempty" doc:"several stations used the address in turn, and each of them was heard within RULED_CLAIM_TIMEOUT"`
	Adopted   bool `json:"adopted,omitempty" doc:"the station that had the address was silent for RULED_CLAIM_TIMEOUT, so the new binding is now accepted"`
	Spoofed   bool `json:"spoofed,omitempty" doc:"contested address bound to a station that has other addresses here (NDPMon: spoofed addresses), so it is not merely a station with a new Ethernet address"`
	Serial    bool `json:"serial,omitempty" doc:"the station announced addresses of two or more others within 10 minutes: parasite6, or a proxy"`
	Router    bool `json:"router,omitempty" doc:"contested address of a configured or learned router of the link: its holder can read all traffic that leaves the link"`
	Unasked   bool `json:"unasked,omitempty" doc:"contested address in an unsolicited NA with the O flag, which overwrites cached bindings (fake_advertise6)"`
}

// LinkDAD is set in a frame that answers duplicate address detection (RFC 4862,
// section 5.4): a station tested an address within the last minute and has not
// used it since, and the frame binds the address to another station.
type LinkDAD struct {
	Target   netip.Addr `json:"target" doc:"address of the frame that another station tests for uniqueness"`
	Prober   MAC        `json:"prober" doc:"station that tests it"`
	Stranger bool       `json:"stranger,omitempty" doc:"the sender was never seen with that address, unlike the owner in a genuine conflict"`
	Again    bool       `json:"again,omitempty" doc:"stranger for the second time within 10 minutes, with the same sender or the same tested station (NDPMon: dad dos): dos-new-ip6"`
}

// LinkRouter compares the sender of an RA, Redirect or NA with the configured or
// learned routers of the link.
type LinkRouter struct {
	New          bool `json:"new,omitempty" doc:"first router heard on a link without configured routers: it is learned"`
	Next         bool `json:"next,omitempty" doc:"another router, heard after all known routers were silent for their lifetimes: it is learned as well"`
	Unknown      bool `json:"unknown,omitempty" doc:"RA or Redirect from a router that is not one of the link's (NDPMon: wrong ipv6 router, wrong router redirect): a rogue router"`
	Stub         bool `json:"stub,omitempty" doc:"unknown router that only connects a stub network, such as a Thread border router: router lifetime 0, SNAC flag, and only unique local prefixes and routes (fc00::/7)"`
	Default      bool `json:"default,omitempty" doc:"unknown router that announces itself as a default router: its router lifetime is not 0, or it has a route to ::/0 or to most of the Internet (RFC 4191), or such an on-link prefix"`
	Rogue        bool `json:"rogue,omitempty" doc:"unknown router that can take over traffic: it announces itself as a default router, DNS servers, search domains, or a prefix of another router; on a link with configured routers, any unknown router that is not a stub"`
	WrongAddress bool `json:"wrongaddress,omitempty" doc:"RA or Redirect from a router's Ethernet address but not from its link-local address (NDPMon: wrong router ip, wrong router redirect ip)"`
	WrongMAC     bool `json:"wrongmac,omitempty" doc:"RA or Redirect from a router's link-local address but not from its Ethernet address (NDPMon: wrong router mac, wrong router redirect mac): another station impersonates the router (kill_router6)"`
	WrongCouple  bool `json:"wrongcouple,omitempty" doc:"RA or Redirect with the Ethernet address of one router and the link-local address of another (NDPMon: wrong couple IP/MAC)"`
	Wrong        bool `json:"wrong,omitempty" doc:"wrongaddress, wrongmac or wrongcouple: the sender has only one of the two addresses of a router of the link"`
	Target       bool `json:"target,omitempty" doc:"Redirect to a next hop that is not a router of the link: redir6, rd6"`
	OffLink      bool `json:"offlink,omitempty" doc:"Redirect that declares an address outside every prefix of the link to be on-link: any station can then receive its traffic"`
	Flag         bool `json:"flag,omitempty" doc:"NA with the R flag from a station that is not a router of the link (NDPMon: NA router flag)"`
	NoFlag       bool `json:"noflag,omitempty" doc:"NA without the R flag for the link-local address of a router: hosts stop using it as a router (RFC 4861, section 7.2.5)"`
}

// LinkRA lists how an RA differs from the configured or, if there are none, from
// the learned parameters of its router.
type LinkRA struct {
	// Change has at most 8 elements. Some differences have no field below.
	Change          []string `json:"change,omitempty" doc:"a difference in words, with the former and the present value" example:"captive portal was uri https://a.example, is uri https://b.example"`
	Stops           bool     `json:"stops,omitempty" doc:"the RA has router lifetime 0, but the router was a default router before: hosts stop using it as one"`
	Unconfigured    bool     `json:"unconfigured,omitempty" doc:"the RA of a configured router differs from its learned parameters in one that is not configured"`
	CurHopLimit     bool     `json:"curhoplimit,omitempty" doc:"the cur hop limit differs"`
	Flags           bool     `json:"flags,omitempty" doc:"the flags differ"`
	Preference      bool     `json:"preference,omitempty" doc:"the preference differs"`
	Lifetime        bool     `json:"lifetime,omitempty" doc:"the router lifetime differs"`
	ReachableTimer  bool     `json:"reachabletimer,omitempty" doc:"the reachable time differs"`
	RetransTimer    bool     `json:"retranstimer,omitempty" doc:"the retransmission timer differs"`
	Params          bool     `json:"params,omitempty" doc:"one of these differs: curhoplimit, flags, preference, lifetime (unless it is 0, as when the router stops), reachabletimer, retranstimer (NDPMon: wrong RA params)"`
	MTU             bool     `json:"mtu,omitempty" doc:"the MTU differs (NDPMon: wrong RA mtu option)"`
	Prefix          bool     `json:"prefix,omitempty" doc:"a prefix is not one of the router (NDPMon: wrong prefix)"`
	PrefixParams    bool     `json:"prefixparams,omitempty" doc:"a prefix of the router has different flags or lifetimes (NDPMon: wrong RA prefix option params)"`
	RDNSS           bool     `json:"rdnss,omitempty" doc:"a DNS server, or its lifetime, is not one of the router (NDPMon: wrong RA RDNSS option)"`
	DNSSL           bool     `json:"dnssl,omitempty" doc:"a search domain, or its lifetime, is not one of the router (NDPMon: wrong RA DNSSL option)"`
	PREF64          bool     `json:"pref64,omitempty" doc:"a NAT64 prefix, or its lifetime, differs from those learned (it cannot be configured)"`
	Option          bool     `json:"option,omitempty" doc:"another option, or its content, differs from those learned (it cannot be configured), such as a captive portal (RFC 8910) or an encrypted DNS server (RFC 9463)"`
	Route           bool     `json:"route,omitempty" doc:"a route is not one of the router (NDPMon: wrong RA Route Info option)"`
	RouteLifetime   bool     `json:"routelifetime,omitempty" doc:"a route of the router has a different lifetime (NDPMon: wrong RA Route Info lifetime)"`
	RoutePreference bool     `json:"routepreference,omitempty" doc:"a route of the router has a different preference (NDPMon: wrong RA Route Info preference)"`
}
