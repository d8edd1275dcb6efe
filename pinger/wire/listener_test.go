package wire

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/pinger/port"
	"github.com/ndmon/ndmon/schemas"
)

// recorder is a Receiver.
type recorder struct {
	advertised chan Advertisement
	strays     chan struct{}
}

func newRecorder() *recorder {
	return &recorder{make(chan Advertisement, 99), make(chan struct{}, 99)}
}

func (r *recorder) Advertised(_ *port.Port, a Advertisement) { r.advertised <- a }
func (r *recorder) Replied(*port.Port, EchoReply)            { panic("no echo was sent") }
func (r *recorder) Stray()                                   { r.strays <- struct{}{} }

func TestListener(t *testing.T) {
	here, there := lab.New(t, "here"), lab.New(t, "there")
	here.Veth("a", there, "b")
	mine, theirs := here.MAC("a"), there.MAC("b")
	source, target := lab.LinkLocal(theirs), netip.MustParseAddr("2001:db8::42")
	on := &port.Port{Index: here.Index("a"), MAC: schemas.MAC(mine), Source: lab.LinkLocal(mine), ND: true}
	var l *Listener
	var err error
	here.Do(func() { l, err = OpenListener(on, Also{}) })
	if err != nil {
		t.Fatal(err)
	}
	r, ended := newRecorder(), make(chan error, 1)
	go func() { ended <- l.Receive(r) }()
	wire := there.Wire("b")
	message := func(change func(*lab.Message)) []byte {
		m := lab.Advertisement(theirs, source, target)
		m.EthernetDestination, m.Destination = mine, on.Source
		change(&m)
		return m.Frame()
	}
	good := message(func(m *lab.Message) {})
	mac := schemas.MAC(theirs)
	want := Advertisement{Target: target, Override: true, MAC: &mac, Source: source, Ethernet: mac}
	equal := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	received := func() {
		t.Helper()
		if diff := cmp.Diff(want, <-r.advertised, equal); diff != "" {
			t.Errorf("received (-want +got):\n%s", diff)
		}
	}
	// Each of these is left to the kernel; none is received before the good one that follows.
	here.Wire("a").Send(good)
	wire.Send(
		message(func(m *lab.Message) { m.HopLimit = 254 }),
		message(func(m *lab.Message) { m.Type = 135 }),
		message(func(m *lab.Message) { m.VLAN = 7 }),
		message(func(m *lab.Message) { m.EthernetDestination = []byte{2, 0, 0, 0, 0, 9} }),
		message(func(m *lab.Message) {}),
	)
	received()
	wrong := slices.Clone(good)
	wrong[ethernetLen+ipv6Len+2] ^= 1
	wire.Send(wrong, good[:len(good)-8], message(func(m *lab.Message) { m.Body = append(m.Body, make([]byte, 600)...) }))
	for range 3 {
		<-r.strays
	}
	if n := len(r.advertised) + len(r.strays); n != 0 {
		t.Errorf("%d more messages were received", n)
	}

	// It receives again after the interface went down, and not after that was removed.
	here.Down("a")
	here.Up("a")
	lab.Eventually(t, "advertisements are received again", func() bool {
		wire.Send(good)
		return len(r.advertised) > 0
	})
	received()
	if !l.Serves(on) {
		t.Error("it does not serve its port")
	}
	here.Delete("a")
	if l.Serves(on) {
		t.Error("it serves an interface that was removed")
	}
	l.Close()
	if err := <-ended; err != nil {
		t.Errorf("it ended with %v", err)
	}
}

// advertise makes a Neighbor Advertisement.
func advertise(flags byte, target netip.Addr, options ...byte) []byte {
	b := target.As16()
	return append(append([]byte{136, 0, 0, 0, flags, 0, 0, 0}, b[:]...), options...)
}

func TestParseAdvertisement(t *testing.T) {
	target, mac := netip.MustParseAddr("2001:db8::42"), schemas.MAC{2, 0, 0, 0, 0, 0x42}
	option := append([]byte{2, 1}, mac[:]...)
	for name, test := range map[string]struct {
		message []byte
		want    *Advertisement // nil if it is refused
	}{
		"full":            {advertise(0xe0, target, option...), &Advertisement{Target: target, Solicited: true, Override: true, MAC: &mac}},
		"for another":     {advertise(0x40, target, option...), &Advertisement{Target: target, Solicited: true, MAC: &mac}},
		"unsolicited":     {advertise(0x20, target, option...), &Advertisement{Target: target, Override: true, MAC: &mac}},
		"no option":       {advertise(0x60, target), &Advertisement{Target: target, Solicited: true, Override: true}},
		"other option":    {advertise(0x20, target, append([]byte{1, 1, 9, 9, 9, 9, 9, 9}, option...)...), &Advertisement{Target: target, Override: true, MAC: &mac}},
		"longer address":  {advertise(0x20, target, append([]byte{2, 2}, make([]byte, 14)...)...), &Advertisement{Target: target, Override: true}},
		"empty":           {nil, nil},
		"short":           {advertise(0x60, target)[:23], nil},
		"code":            {append([]byte{136, 1}, advertise(0x60, target)[2:]...), nil},
		"type":            {append([]byte{135}, advertise(0x60, target)[1:]...), nil},
		"multicast":       {advertise(0x60, netip.MustParseAddr("ff02::1")), nil},
		"option of 0":     {advertise(0x60, target, 2, 0, 0, 0, 0, 0, 0, 0), nil},
		"option too long": {advertise(0x60, target, 2, 2, 0, 0, 0, 0, 0, 0), nil},
		"half an option":  {advertise(0x60, target, 2), nil},
	} {
		got, ok := parseAdvertisement(test.message)
		if ok != (test.want != nil) {
			t.Errorf("%s: accepted is %v", name, ok)
		} else if ok {
			if diff := cmp.Diff(*test.want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	}
}

// What the headers must say (RFC 4861, section 7.1.2).
func TestParseFrame(t *testing.T) {
	mac, source, target := []byte{2, 0, 0, 0, 0, 0x42}, netip.MustParseAddr("fe80::42"), netip.MustParseAddr("2001:db8::42")
	good := lab.Advertisement(mac, source, target)
	for name, test := range map[string]struct {
		frame []byte
		ok    bool
	}{
		"good":              {good.Frame(), true},
		"padded":            {append(good.Frame(), 0, 0, 0), true},
		"from a group":      {lab.Advertisement(mac, lab.AllNodes, target).Frame(), false},
		"from nowhere":      {lab.Advertisement(mac, netip.IPv6Unspecified(), target).Frame(), false},
		"solicited, to all": {func() []byte { m := good; m.Body = slices.Clone(m.Body); m.Body[0] |= flagSolicited; return m.Frame() }(), false},
		"odd":               {func() []byte { m := good; m.Body = append(slices.Clone(m.Body), 0); return m.Frame() }(), false},
		"no IPv6 header":    {good.Frame()[:ethernetLen+ipv6Len-1], false},
		"empty":             {nil, false},
	} {
		if _, ok := parseFrame(test.frame); ok != test.ok {
			t.Errorf("%s: accepted is %v", name, ok)
		}
	}
}

// What a Router Advertisement must be (RFC 4861, section 6.1.2).
func TestParseRouterFrame(t *testing.T) {
	mac, source := []byte{2, 0, 0, 0, 0, 0x42}, netip.MustParseAddr("fe80::42")
	good := lab.RouterAdvertisement(mac, source, 1800)
	options := func(b ...byte) []byte {
		m := good
		m.Body = append(slices.Clone(m.Body), b...)
		return m.Frame()
	}
	for name, test := range map[string]struct {
		frame []byte
		ok    bool
	}{
		"good":            {good.Frame(), true},
		"option":          {options(1, 1, 2, 0, 0, 0, 0, 0x42), true},
		"option of 0":     {options(1, 0, 2, 0, 0, 0, 0, 0x42), false},
		"option too long": {options(1, 2, 2, 0, 0, 0, 0, 0x42), false},
		"half an option":  {options(1, 1, 2), false},
		"global source":   {lab.RouterAdvertisement(mac, netip.MustParseAddr("2001:db8::1"), 1800).Frame(), false},
		"short":           {func() []byte { m := good; m.Body = m.Body[:4]; return m.Frame() }(), false},
		"code":            {func() []byte { m := good; m.Code = 1; return m.Frame() }(), false},
		"neighbour":       {lab.Advertisement(mac, source, source).Frame(), false},
	} {
		a, ok := parseRouterFrame(test.frame)
		if ok != test.ok || ok && (a.Source != source || a.Ethernet != schemas.MAC(mac)) {
			t.Errorf("%s: accepted is %v, %+v", name, ok, a)
		}
	}
}

func FuzzParseFrame(f *testing.F) {
	f.Add(lab.RouterAdvertisement([]byte{2, 0, 0, 0, 0, 0x42}, netip.MustParseAddr("fe80::42"), 1800).Frame())
	f.Add(lab.Advertisement([]byte{2, 0, 0, 0, 0, 0x42}, netip.MustParseAddr("fe80::42"), netip.MustParseAddr("2001:db8::42")).Frame())
	f.Add(advertise(0x60, netip.MustParseAddr("2001:db8::42"), 2, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, parse := range []func([]byte) (Advertisement, bool){parseFrame, parseAdvertisement} {
			if a, ok := parse(b); ok && (!a.Target.IsValid() || a.Target.IsMulticast()) {
				t.Errorf("target is %v", a.Target)
			}
		}
		if a, ok := parseRouterFrame(b); ok && len(a.Message)%8 != 0 {
			t.Errorf("message has %d bytes", len(a.Message))
		}
		parseReply(netip.IPv6Loopback(), b)
	})
}
