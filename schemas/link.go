package schemas

import "net/netip"

// Link is what ruled knows of the link that bears on an event: what is new,
// what contradicts what was seen before, and what differs from the configured or
// learned routers. Sensors never send it, and an event that has it is refused; an
// alert carries it beside its event.
type Link struct {
	// Configured is true where the configuration has routers for this link.
	Configured bool `json:"configured,omitempty" doc:"the configuration has routers for this link: what it does not list is wrong. Without it, routers are learned"`
	// Bogon needs a prefix: one that is configured or, without any, learned.
	Bogon bool `json:"bogon,omitempty" doc:"the source address is outside every prefix of the link (NDPMon: bogon): a forged or misconfigured sender"`
	// Unsolicited is about the last ten seconds.
	Unsolicited bool `json:"unsolicited,omitempty" doc:"NA that no NS asked for within the last 10 seconds, and that does not follow the sender's own test of the address (DAD): how caches are poisoned, but also how an address is moved"`

	// Unanswered is about the last ten seconds.
	Unanswered bool `json:"unanswered,omitempty" doc:"NS for an address that is not known, after more than 100 such of the last 10 seconds had no answer: a scan of the prefix, from the link or, where a router solicits, from afar (RFC 6583)"`
	// Flood is about entries that began while entries were added very fast.
	Flood bool `json:"flood,omitempty" doc:"the station, or an address that the frame claims, was first seen in a flood of new ones that is still going on: it may be made up"`

	Station *LinkStation `json:"station,omitempty"`
	Claim   []LinkClaim  `json:"claim,omitempty"`
	DAD     *LinkDAD     `json:"dad,omitempty" doc:"the frame answers duplicate address detection: the address that another station is just testing is taken, or somebody says so (a genuine conflict, or dos-new-ip6)"`
	Router  *LinkRouter  `json:"router,omitempty" doc:"there is something to be said of the sender's standing among the routers of the link"`
	RA      *LinkRA      `json:"ra,omitempty" doc:"the RA of a router of the link differs from what is configured or was learned of it"`
}

// LinkStation is the station that sent the frame, by its Ethernet source.
type LinkStation struct {
	New      bool `json:"new,omitempty" doc:"Ethernet source never seen on the link before (NDPMon: new station)"`
	Returned bool `json:"returned,omitempty" doc:"station that is back after a long silence (NDPMon: new activity); RULED_SILENCE says how long"`
	// Vendor is empty for addresses without a maker: locally administered ones.
	Vendor        string `json:"vendor,omitempty" doc:"maker of the station, by its Ethernet source" example:"Cisco Systems, Inc"`
	UnknownVendor bool   `json:"unknownvendor,omitempty" doc:"Ethernet source that claims to be a maker's, of a maker that does not exist (NDPMon: unknown mac vendor): a forged address, or one newer than the table"`
}

// LinkClaim is one claim of the frame that an address is at a station, where
// there is something to be said of it.
type LinkClaim struct {
	Address  netip.Addr `json:"address" doc:"address that the frame claims for a station: the source of the packet, or the target of an NA or Redirect"`
	Ethernet MAC        `json:"ethernet" doc:"Ethernet address that the frame claims it for"`
	// Previous is the Ethernet address that claimed it last, of the claims that
	// are not this one.
	Previous *MAC `json:"previous,omitempty" doc:"Ethernet address that the address was claimed for until now"`

	New       bool `json:"new,omitempty" doc:"address never seen on the link before (NDPMon: new IP, new lla)"`
	Early     bool `json:"early,omitempty" doc:"new address of a station that was seen for the first time less than a minute before: part of its start"`
	Expected  bool `json:"expected,omitempty" doc:"new address that the station has tested for uniqueness before, or that a solicitation has asked for"`
	Settled   bool `json:"settled,omitempty" doc:"contested address that was seen here more than once before, and not in a flood of new ones: it is not made up"`
	Own       bool `json:"own,omitempty" doc:"contested address of the host itself, whose sensor captured the frame"`
	Changed   bool `json:"changed,omitempty" doc:"address claimed by a further station for the first time (NDPMon: changed ethernet address, wrong couple MAC/LLA): neighbour spoofing (parasite6, fake_advertise6), or a station that changed its Ethernet address"`
	FlipFlop  bool `json:"flipflop,omitempty" doc:"address claimed again by the station before the last (NDPMon: flip flop): spoofing while the owner defends itself, or two stations with one address"`
	Reused    bool `json:"reused,omitempty" doc:"address claimed again by a station that claimed it earlier (NDPMon: reused old ethernet address)"`
	Contested bool `json:"contested,omitempty" doc:"the claim contradicts another one: changed, flipflop or reused"`
	Disputed  bool `json:"disputed,omitempty" doc:"several stations have claimed the address in turn, and none of them has been silent for long enough to be forgotten (RULED_CLAIM_TIMEOUT)"`
	Adopted   bool `json:"adopted,omitempty" doc:"the station that held the address has been silent for so long that the claim is now believed"`
	Spoofed   bool `json:"spoofed,omitempty" doc:"contested address claimed by a station that has other addresses here (NDPMon: spoofed addresses), so that it is not merely a station with a new Ethernet address"`
	Serial    bool `json:"serial,omitempty" doc:"the station has claimed addresses of two or more others within the last 10 minutes: parasite6, or a proxy"`
	Router    bool `json:"router,omitempty" doc:"contested address of a router of the link, configured or learned: who holds it reads what leaves the link"`
	Unasked   bool `json:"unasked,omitempty" doc:"contested address in an NA with the O flag that nobody asked for: a binding overwritten from outside (fake_advertise6)"`
}

// LinkDAD is set in a frame that answers duplicate address detection (RFC 4862,
// section 5.4): somebody looked whether an address is free within the last
// minute and has not used it since, and another station says that it is not.
type LinkDAD struct {
	Target netip.Addr `json:"target" doc:"address that another station is just testing for uniqueness and that the frame claims"`
	Prober MAC        `json:"prober" doc:"station that tested it"`
	// Stranger is false for a genuine conflict whose older party is known.
	Stranger bool `json:"stranger,omitempty" doc:"the sender was never seen with that address before"`
	// Again is about the last ten minutes.
	Again bool `json:"again,omitempty" doc:"a stranger again: the same station has been denied another address, or the same stranger has denied another one, within the last 10 minutes (NDPMon: dad dos): dos-new-ip6"`
}

// LinkRouter says how the sender of an RA, Redirect or NA stands to the routers
// of the link.
type LinkRouter struct {
	New          bool `json:"new,omitempty" doc:"first router heard on a link without configured routers: it is learned"`
	Next         bool `json:"next,omitempty" doc:"another router, heard after all that were known have been silent for their lifetimes: it is learned as well"`
	Unknown      bool `json:"unknown,omitempty" doc:"RA or Redirect from a router that is not one of the link's (NDPMon: wrong ipv6 router, wrong router redirect): a rogue router"`
	Stub         bool `json:"stub,omitempty" doc:"unknown router that only connects a stub network: router lifetime 0, SNAC flag, and no prefixes or routes but unique local ones (fc00::/7). A Thread border router, say"`
	Default      bool `json:"default,omitempty" doc:"unknown router that wants to be a default router: its router lifetime is not 0, or it has a route to ::/0 or to most of the Internet (RFC 4191), or such a prefix on the link"`
	Rogue        bool `json:"rogue,omitempty" doc:"unknown router that can take over traffic: it wants to be a default router, names DNS servers or search domains, or announces a prefix of another router; or any but a stub router where the routers are configured"`
	WrongAddress bool `json:"wrongaddress,omitempty" doc:"RA or Redirect from a router's Ethernet address but not from its link-local address (NDPMon: wrong router ip, wrong router redirect ip)"`
	WrongMAC     bool `json:"wrongmac,omitempty" doc:"RA or Redirect from a router's link-local address but not from its Ethernet address (NDPMon: wrong router mac, wrong router redirect mac): somebody speaks for the router (kill_router6)"`
	WrongCouple  bool `json:"wrongcouple,omitempty" doc:"RA or Redirect with the Ethernet address of one router and the link-local address of another (NDPMon: wrong couple IP/MAC)"`
	Wrong        bool `json:"wrong,omitempty" doc:"wrongaddress, wrongmac or wrongcouple: the sender has one address of a router of the link, not both"`
	Target       bool `json:"target,omitempty" doc:"Redirect to a next hop that is none of the link's routers: redir6, rd6"`
	OffLink      bool `json:"offlink,omitempty" doc:"Redirect that says of an address outside every prefix of the link that it is on the link: its traffic goes to whoever claims it there"`
	Flag         bool `json:"flag,omitempty" doc:"NA with the R flag from a station that is none of the link's routers (NDPMon: NA router flag)"`
	NoFlag       bool `json:"noflag,omitempty" doc:"NA without the R flag for the link-local address of a router: hosts stop using it as one (RFC 4861, section 7.2.5)"`
}

// LinkRA is how an RA of a router of the link differs from what is configured or,
// without configuration, from what was learned.
type LinkRA struct {
	// Change has at most 8 elements. Not every difference is one of the flags below.
	Change          []string `json:"change,omitempty" doc:"what is different, in words: what it was and what it is" example:"captive portal was uri https://a.example, is uri https://b.example"`
	Stops           bool     `json:"stops,omitempty" doc:"the RA has router lifetime 0, and the router was a default router before: hosts stop using it by default"`
	Unconfigured    bool     `json:"unconfigured,omitempty" doc:"the RA of a configured router differs from what was learned of it, in something that the configuration does not tell"`
	CurHopLimit     bool     `json:"curhoplimit,omitempty" doc:"the RA's cur hop limit is not the router's"`
	Flags           bool     `json:"flags,omitempty" doc:"the RA's flags are not the router's"`
	Preference      bool     `json:"preference,omitempty" doc:"the RA's preference is not the router's"`
	Lifetime        bool     `json:"lifetime,omitempty" doc:"the RA's router lifetime is not the router's"`
	ReachableTimer  bool     `json:"reachabletimer,omitempty" doc:"the RA's reachable time is not the router's"`
	RetransTimer    bool     `json:"retranstimer,omitempty" doc:"the RA's retransmission timer is not the router's"`
	Params          bool     `json:"params,omitempty" doc:"one of the RA's parameters is not the router's: curhoplimit, flags, preference, lifetime (but for one of 0: the router stops), reachabletimer or retranstimer (NDPMon: wrong RA params)"`
	MTU             bool     `json:"mtu,omitempty" doc:"the RA's MTU is not the router's (NDPMon: wrong RA mtu option)"`
	Prefix          bool     `json:"prefix,omitempty" doc:"the RA has a prefix that is not the router's (NDPMon: wrong prefix)"`
	PrefixParams    bool     `json:"prefixparams,omitempty" doc:"the RA has a prefix of the router's with other flags or lifetimes (NDPMon: wrong RA prefix option params)"`
	RDNSS           bool     `json:"rdnss,omitempty" doc:"the RA has a DNS server, or a lifetime of it, that is not the router's (NDPMon: wrong RA RDNSS option)"`
	DNSSL           bool     `json:"dnssl,omitempty" doc:"the RA has a search domain, or a lifetime of it, that is not the router's (NDPMon: wrong RA DNSSL option)"`
	PREF64          bool     `json:"pref64,omitempty" doc:"the RA has a NAT64 prefix, or a lifetime of it, that was not learned of the router (nor can be configured)"`
	Option          bool     `json:"option,omitempty" doc:"the RA has another option, or another content of it, than was learned of the router (nor can be configured): a captive portal (RFC 8910) or encrypted DNS server (RFC 9463), say"`
	Route           bool     `json:"route,omitempty" doc:"the RA has a route that is not the router's (NDPMon: wrong RA Route Info option)"`
	RouteLifetime   bool     `json:"routelifetime,omitempty" doc:"the RA has a route of the router's with another lifetime (NDPMon: wrong RA Route Info lifetime)"`
	RoutePreference bool     `json:"routepreference,omitempty" doc:"the RA has a route of the router's with another preference (NDPMon: wrong RA Route Info preference)"`
}
