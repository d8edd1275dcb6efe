package e2e

import (
	"bytes"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/sensor/decode"
)

// attempt is a message with a fault, and what a Linux host made of it.
type attempt struct {
	kind, fault string
	frames      [][]byte
	took        []string // in the words of beliefs
}

// attempts delivers every kind of message with every fault that it can have, each
// kind to a host of its own.
func attempts(t *testing.T) []attempt {
	t.Helper()
	lab.ReserveNeighbours(t, 512)
	pin(t)
	var all []attempt
	for _, k := range kinds() {
		v := newVictim(t, k)
		for i, f := range faults() {
			if f.of(k) {
				all = append(all, try(&given{v: v, kind: k, n: uint16(i + 1)}, f))
			}
		}
	}
	return all
}

// try delivers a message with a fault.
func try(g *given, f fault) attempt {
	g.Message = g.kind.message(g)
	if f.message != nil {
		f.message(g)
	}
	frames := [][]byte{g.Frame()}
	if f.frames != nil {
		frames = f.frames(frames[0])
	}
	if g.kind.prepare != nil {
		g.kind.prepare(g)
	}
	before := g.v.beliefs(g.destination())
	before.add(taken, g.second())
	g.v.deliver(frames...)
	if g.kind.settle != nil {
		g.kind.settle(g)
	}
	took := g.v.beliefs(g.destination()).without(before)
	g.v.forget()
	return attempt{g.kind.name, f.name, frames, took}
}

// verdict is what a decoder makes of an attempt.
type verdict struct {
	event     bool // the frames are seen at all
	discarded bool
	claims    beliefs
	faults    []string
}

func judge(d *decode.Decoder, frames [][]byte) verdict {
	v := verdict{claims: beliefs{}}
	for _, frame := range frames {
		if e, ok := d.Decode(frame, len(frame)); ok {
			v.event = true
			v.discarded = v.discarded || e.Fault.Discard()
			maps.Copy(v.claims, claims(e))
			v.faults = append(v.faults, faultsOf(e.Fault)...)
		}
	}
	return v
}

// faultsOf returns the names of the members of a fault that are set.
func faultsOf(f *schemas.Fault) (names []string) {
	if f == nil {
		return nil
	}
	for field, value := range reflect.ValueOf(*f).Fields() {
		if value.Bool() {
			names = append(names, field.Name)
		}
	}
	return names
}

// A message from which a Linux host takes anything is never one that an event
// calls discarded, and what the host takes is in the event. Where the two differ,
// it is known why.
func TestWhatLinuxTakesIsNotDiscarded(t *testing.T) {
	untaken, unseen := untaken(), unseen()
	used, found := map[string]bool{}, map[string]bool{}
	var d decode.Decoder
	for _, a := range attempts(t) {
		v := judge(&d, a.frames)
		for _, name := range v.faults {
			found[name] = true
		}
		missing := slices.DeleteFunc(slices.Clone(a.took), func(s string) bool { return v.claims[s] })
		_, hidden := unseen[a.fault]
		why, ours := untaken[a.fault]
		ours = ours && why.of(a.kind)
		used[a.fault] = used[a.fault] || hidden && len(missing) > 0 || ours
		problem := ""
		switch {
		case len(a.took) > 0 && v.discarded:
			problem = "Linux takes a message that we call discarded"
		case len(missing) > 0 && !hidden:
			problem = fmt.Sprintf("Linux takes what no event says: %q", missing)
		case len(a.took) == 0 && v.event && !v.discarded && !ours:
			problem = "Linux takes nothing of a message that we do not call discarded"
		case ours && (len(a.took) > 0 || v.discarded || !v.event):
			problem = fmt.Sprintf("there is no difference, but one is listed (%s)", why.why)
		case a.fault == "none" && len(a.took) == 0:
			problem = "Linux takes nothing of a message in order"
		}
		if problem != "" {
			t.Errorf("%s: %s: %s\nLinux takes %q\nwe say: event %v, discarded %v, %q\nframes %x",
				a.kind, a.fault, problem, a.took, v.event, v.discarded, v.claims.without(nil), a.frames)
		}
	}
	for field := range reflect.TypeFor[schemas.Fault]().Fields() {
		if !found[field.Name] {
			t.Errorf("no message was tried with the fault %s", field.Name)
		}
	}
	for fault := range untaken {
		if !used[fault] {
			t.Errorf("a difference is listed that is none: %s", fault)
		}
	}
	for fault := range unseen {
		if !used[fault] {
			t.Errorf("it is listed as unseen, but is not: %s", fault)
		}
	}
}

// The built-in rules alert on everything that a Linux host learns from a stranger,
// whatever is wrong with the message, on a link with a router and a host.
func TestWhatLinuxTakesIsTold(t *testing.T) {
	list := attempts(t)
	unseen := unseen()
	for _, k := range kinds() {
		t.Run(k.name, func(t *testing.T) {
			known := map[string]attempt{} // by interface: each attempt has a link
			var file []byte               // a section for each
			at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			for _, a := range list {
				if a.kind != k.name || len(reporting(a)) == 0 || unseen[a.fault] != "" {
					continue
				}
				name := fmt.Sprintf("link%d", len(known))
				known[name] = a
				var frames []captured
				for _, frame := range append(linkBefore(a), a.frames...) {
					at = at.Add(time.Second)
					frames = append(frames, captured{at, frame})
				}
				file = append(file, pcapng(t, name, frames...)...)
			}
			p := succeed(t, builtin("ndmon", "-r", write(t, "links.pcapng", file), "--host", "r1"))
			rules := map[string][]string{} // of the alerts about an attempt
			for _, line := range printed(t, p) {
				if slices.ContainsFunc(known[line.Interface].frames, func(f []byte) bool { return bytes.Equal(f, line.Event.Frame) }) {
					rules[line.Interface] = append(rules[line.Interface], line.Rule)
				}
			}
			for name, a := range known {
				if !slices.ContainsFunc(rules[name], func(rule string) bool { return slices.Contains(reporting(a), rule) }) {
					t.Errorf("%s: none of the rules %q tells what Linux takes, %q, only %q: %x", a.fault, reporting(a), a.took, rules[name], a.frames)
				}
			}
		})
	}
}

// reporting returns the rules of which one has to alert on what the host learns. There
// are none if the host learns nothing that matters.
func reporting(a attempt) []string {
	addr, mac := bindingIn(a.took)
	switch {
	case len(a.took) == 0:
		return nil
	case a.kind == "RA":
		return []string{"ra-from-unknown-router", "ra-from-another-router", "router-impersonated"}
	case a.kind == "Redirect":
		return []string{"redirect", "redirect-elsewhere", "redirect-off-link", "redirect-from-unknown-router", "redirect-impersonated"}
	case strings.HasSuffix(a.kind, "DAD"):
		return []string{"address-conflict"}
	case !addr.IsValid():
		return nil
	case mac[0]&1 != 0 || bytes.Equal(mac, make([]byte, 6)):
		return []string{"nobodys-link-layer-address"}
	}
	return []string{"changed-ethernet-address"}
}

// bindingIn returns the address and the station where the host takes it to be.
func bindingIn(took []string) (netip.Addr, net.HardwareAddr) {
	for _, s := range took {
		if addr, mac, ok := strings.Cut(s, " is at "); ok {
			return netip.MustParseAddr(addr), macOf(mac)
		}
	}
	return netip.Addr{}, nil
}

// linkBefore returns what was heard on the link before: its router, and the host
// whose address the attempt is about.
func linkBefore(a attempt) [][]byte {
	owner := net.HardwareAddr{2, 0, 0, 0, 0, 2}
	frames := [][]byte{lab.RouterAdvertisement(peerMAC, peerAddress, 1800).Frame()}
	if addr, _ := bindingIn(a.took); a.kind != "RA" && addr.IsValid() {
		return append(frames, lab.Solicitation(owner, addr, peerAddress).Frame())
	}
	for _, s := range a.took {
		if addr, ok := strings.CutSuffix(s, " is another's"); ok {
			frames = append(frames, lab.Solicitation(owner, netip.IPv6Unspecified(), netip.MustParseAddr(addr)).Frame())
		}
	}
	return frames
}
