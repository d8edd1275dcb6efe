package decode_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/sensor/decode"
)

// Wireshark sees the same in every option that it knows too.
func TestTshark(t *testing.T) {
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("tshark is not installed (Debian package tshark)")
		}
		t.Skip("tshark is not installed (Debian package tshark)")
	}
	var frames [][]byte
	for _, test := range goodOptions() {
		frames = append(frames, raWithOption(test.option))
	}
	for bit := range 8 {
		flag := byte(1) << bit
		frames = append(frames, send(router, allNodes, raOf(flag, 1800, 0)), raWithOption(prefixOf(64, flag, 2, 1, "2001:db8::")),
			raWithOption(routeOf(64, flag, "2001:db8::")), raWithOption(option(34, []byte{64, flag}, make([]byte, 4), addr("2001:db8::")[:8])),
			raWithOption(option(38, be16(1<<bit|1<<(bit+8)), make([]byte, 12))))
	}

	var want []map[string]string
	known := map[string]bool{}
	compared := map[uint8]bool{}
	var d decode.Decoder
	for _, frame := range frames {
		event := decodeWith(t, &d, frame, len(frame))
		fields := tsharkFields(event)
		want = append(want, fields)
		for field := range maps.Keys(fields) {
			known[field] = true
		}
		if len(fields) > 2 && len(frame) > 70 {
			compared[frame[70]] = true
		}
	}
	for _, option := range []uint8{1, 2, 3, 4, 5, 7, 8, 11, 12, 13, 14, 15, 16, 17, 20, 24, 25, 26, 31, 33, 34, 35, 37, 38} {
		if !compared[option] {
			t.Errorf("option %d was not compared", option)
		}
	}

	names := slices.Sorted(maps.Keys(known))
	got := runTshark(t, tshark, frames, names)
	if len(got) != len(frames) {
		t.Fatalf("tshark shows %d frames of %d", len(got), len(frames))
	}
	for i, line := range got {
		seen := map[string]string{}
		for j, value := range strings.Split(line, "\t") {
			if _, ok := want[i][names[j]]; ok {
				seen[names[j]] = value
			}
		}
		if diff := cmp.Diff(seen, want[i]); diff != "" {
			t.Errorf("frame %x (-tshark +decoded):\n%s", frames[i], diff)
		}
	}
}

// runTshark returns what fields have in each frame, separated by tabs.
func runTshark(t *testing.T, tshark string, frames [][]byte, fields []string) []string {
	t.Helper()
	var capture bytes.Buffer
	w := pcapgo.NewWriter(&capture)
	check(t, w.WriteFileHeader(65535, layers.LinkTypeEthernet))
	for _, frame := range frames {
		check(t, w.WritePacket(gopacket.CaptureInfo{Timestamp: time.Unix(1764100000, 0), CaptureLength: len(frame), Length: len(frame)}, frame))
	}
	path := filepath.Join(t.TempDir(), "options.pcap")
	check(t, os.WriteFile(path, capture.Bytes(), 0o644))
	args := []string{"-n", "-r", path, "-T", "fields", "-E", "occurrence=a"}
	for _, field := range fields {
		args = append(args, "-e", field)
	}
	command := exec.Command(tshark, args...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("tshark: %v\n%s", err, stderr.String())
	}
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
}

// fields are values by the names of tshark's fields.
type fields map[string]string

func (f fields) set(name string, value any) { f["icmpv6."+name] = fmt.Sprint(value) }

// bits sets an octet: a value and flags from the highest bit on.
func (f fields) bits(name string, value uint64, flags ...bool) {
	for i, is := range flags {
		if is {
			value |= 0x80 >> i
		}
	}
	f["icmpv6."+name] = fmt.Sprintf("0x%02x", value)
}

func preferences() map[string]uint64 {
	return map[string]uint64{"medium": 0, "high": 0x08, "reserved": 0x10, "low": 0x18}
}

// tsharkFields returns the content of an event of an RA, by the fields that tshark has for it.
// The frame must have one option at most.
func tsharkFields(event *schemas.Event) map[string]string {
	f := fields{}
	ra := event.ND.RA
	f.bits("nd.ra.flag", preferences()[ra.Preference], ra.Flag.Managed, ra.Flag.Other, ra.Flag.HomeAgent, false, false, ra.Flag.Proxy, ra.Flag.SNAC, ra.Flag.Reserved)
	f.set("nd.ra.router_lifetime", ra.Lifetime)
	if o := event.ND.Opt; o != nil {
		f.redirect(event)
		f.secured(o)
		f.router(o)
		f.lowpan(o)
	}
	return f
}

// redirect adds the options of addresses and redirected packets.
func (f fields) redirect(event *schemas.Event) {
	o := event.ND.Opt
	for _, o := range o.SourceLinkLayer {
		f.set("opt.src_linkaddr", o.Address)
	}
	for _, o := range o.TargetLinkLayer {
		f.set("opt.target_linkaddr", o.Address)
	}
	for _, o := range o.PrefixInfo {
		f.set("opt.prefix", o.Prefix)
		f.set("opt.prefix.length", o.PrefixLength)
		f.bits("opt.prefix.flag", uint64(o.Flag.Reserved), o.Flag.OnLink, o.Flag.Autoconf, o.Flag.Router, o.Flag.PDPreferred)
		f.set("opt.prefix.valid_lifetime", o.ValidLifetime)
		f.set("opt.prefix.preferred_lifetime", o.PreferredLifetime)
	}
	for _, o := range o.RedirectedHeader {
		f["ipv6.src"] = event.Inet6.Source.String() + "," + o.Source.String()
		f["ipv6.dst"] = event.Inet6.Destination.String() + "," + o.Destination.String()
		if o.Echo != nil {
			f.set("echo.identifier", fmt.Sprintf("0x%04x", o.Echo.Identifier))
			f.set("echo.sequence_number", o.Echo.Sequence)
		}
	}
}

// secured adds the options of home agents, SEND and mobile nodes, and the MTU.
func (f fields) secured(o *schemas.Options) {
	for _, o := range o.MTU {
		f.set("opt.mtu", o.MTU)
	}
	for _, o := range o.AdvInterval {
		f.set("opt.advertisement_interval", o.Interval)
	}
	for _, o := range o.HomeAgent {
		f.set("opt.home_agent_preference", o.Preference)
		f.set("opt.home_agent_lifetime", o.Lifetime)
	}
	for _, o := range o.CGA {
		f.set("opt.cga", o.Parameters)
	}
	for _, o := range o.RSA {
		f.set("opt.rsa.key_hash", o.KeyHash)
	}
	for _, o := range o.Timestamp {
		seconds, fraction, _ := strings.Cut(o.Time, ".")
		n, _ := strconv.ParseInt(seconds, 10, 64)
		f.set("opt.timestamp", time.Unix(n, 0).UTC().Format("Jan _2, 2006 15:04:05.")+fraction+"000 UTC")
	}
	for _, o := range o.Nonce {
		f.set("opt.nonce", o.Value)
	}
	for _, o := range o.TrustAnchor {
		f.set("opt.name_type", o.NameType)
		if o.NameType == 1 {
			f.set("opt.name_x501", o.Name)
		} // tshark reads the other as plain text
	}
	for _, o := range o.Certificate {
		f.set("opt.name_type", o.CertType) // tshark's name for it
	}
	for _, o := range o.AddressPrefix {
		f.set("opt.ipa.option_code", o.Code)
		f.set("opt.ipa.prefix_len", o.PrefixLength)
		f.set("opt.ipa.ipv6_address", o.Address)
	}
	for _, o := range o.NAAck {
		// It reads an address from where the four reserved bytes are (RFC 5568,
		// section 6.4.6), so that four are left over.
		f.set("opt.naack.option_code", o.Code)
		f.set("opt.naack.status", o.Status)
	}
}

// router adds the options of routers.
func (f fields) router(o *schemas.Options) {
	for _, o := range o.RouteInfo {
		f.set("opt.prefix", o.Prefix)
		f.set("opt.prefix.length", o.PrefixLength)
		f.bits("opt.route_info.flag", preferences()[o.Preference]|uint64(o.Reserved))
		f.set("opt.route_lifetime", o.Lifetime)
	}
	for _, o := range o.RDNSS {
		var addresses []string
		for _, address := range o.Address {
			addresses = append(addresses, address.String())
		}
		f.set("opt.rdnss.lifetime", o.Lifetime)
		f.set("opt.rdnss", strings.Join(addresses, ","))
	}
	for _, o := range o.FlagsExtension {
		f.set("opt.efo", "0x"+o.Bits[:4]) // tshark does not know the others
	}
	for _, o := range o.DNSSL {
		f.set("opt.dnssl.lifetime", o.Lifetime)
		f.set("opt.dnssl", strings.Join(o.Domain, ","))
	}
}

// lowpan adds the options of 6LoWPAN, captive portals and PREF64.
func (f fields) lowpan(o *schemas.Options) {
	for _, o := range o.Registration {
		// It knows RFC 6775 and not RFC 8505.
		eui64, _ := hex.DecodeString(o.ROVR[:16])
		var groups []string
		for _, b := range eui64 {
			groups = append(groups, fmt.Sprintf("%02x", b))
		}
		f.set("opt.aro.status", o.Status)
		f.set("opt.aro.registration_lifetime", o.Lifetime)
		f.set("opt.aro.eui64", strings.Join(groups, ":"))
	}
	for _, o := range o.Context {
		f.set("opt.6co.context_length", o.Length)
		f.set("opt.6co.flag.cid", o.CID)
		f.set("opt.6co.valid_lifetime", o.Lifetime)
		f.set("opt.6co.context_prefix", o.Prefix)
		f["icmpv6.opt.6co.flag.c"] = map[bool]string{true: "1", false: "0"}[o.Compression]
	}
	for _, o := range o.BorderRouter {
		f.set("opt.abro.version_low", o.Version&0xffff)
		f.set("opt.abro.version_high", o.Version>>16)
		f.set("opt.abro.valid_lifetime", o.Lifetime)
		f.set("opt.abro.6lbr_address", o.Address)
	}
	for _, o := range o.CaptivePortal {
		f.set("opt.captive_portal", o.URI)
	}
	for _, o := range o.PREF64 {
		code := map[uint8]int{96: 0, 64: 1, 56: 2, 48: 3, 40: 4, 32: 5}[o.PrefixLength]
		f.set("opt.pref64.scaled_lifetime", o.Lifetime/8)
		f.set("opt.pref64.plc", fmt.Sprintf("0x%04x", code))
		f.set("opt.pref64.prefix", o.Prefix)
	}
}
