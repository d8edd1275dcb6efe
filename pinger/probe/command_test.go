package probe

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/schemas"
)

var testNow = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func commandAt(change func(*schemas.Relay)) []byte {
	cmd := schemas.Relay{
		Type: schemas.TypeRelay, ID: "1", Time: testNow, Expires: testNow.Add(time.Second), Host: "r1",
		Target: netip.MustParseAddr("2001:db8::42"),
	}
	change(&cmd)
	data, err := json.Marshal(cmd)
	if err != nil {
		panic(err)
	}
	return data
}

func TestParseCommand(t *testing.T) {
	target := func(addr string) func(*schemas.Relay) {
		return func(c *schemas.Relay) { c.Target = netip.MustParseAddr(addr) }
	}
	tests := map[string]struct {
		data []byte
		want outcome // probed for accepted
	}{
		"good":                {commandAt(func(c *schemas.Relay) {}), probed},
		"unique local":        {commandAt(target("fd00::1")), probed},
		"another member":      {[]byte(strings.Replace(string(commandAt(func(c *schemas.Relay) {})), "{", `{"origin":"r9",`, 1)), probed},
		"expires in a day":    {commandAt(func(c *schemas.Relay) { c.Expires = testNow.Add(24 * time.Hour) }), probed},
		"another host":        {commandAt(func(c *schemas.Relay) { c.Host = "r10" }), otherHost},
		"no host":             {commandAt(func(c *schemas.Relay) { c.Host = "" }), otherHost},
		"host in capitals":    {commandAt(func(c *schemas.Relay) { c.Host = "R1" }), otherHost},
		"another type":        {commandAt(func(c *schemas.Relay) { c.Type = "nd.relay.v2" }), malformed},
		"no id":               {commandAt(func(c *schemas.Relay) { c.ID = "" }), malformed},
		"long id":             {commandAt(func(c *schemas.Relay) { c.ID = strings.Repeat("x", maxID+1) }), malformed},
		"no time":             {commandAt(func(c *schemas.Relay) { c.Time = time.Time{} }), malformed},
		"no expiry":           {commandAt(func(c *schemas.Relay) { c.Expires = time.Time{} }), malformed},
		"too long":            {commandAt(func(c *schemas.Relay) { c.Rule = strings.Repeat("x", maxCommand) }), malformed},
		"two objects":         {[]byte(`{}{}`), malformed},
		"no object":           {[]byte(`7`), malformed},
		"expired now":         {commandAt(func(c *schemas.Relay) { c.Expires = testNow }), expired},
		"expired long ago":    {commandAt(func(c *schemas.Relay) { c.Expires = time.Unix(0, 0) }), expired},
		"far ahead":           {commandAt(func(c *schemas.Relay) { c.Expires = testNow.Add(24*time.Hour + 1) }), farAhead},
		"farthest ahead":      {commandAt(func(c *schemas.Relay) { c.Expires = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC) }), farAhead},
		"no target":           {commandAt(func(c *schemas.Relay) { c.Target = netip.Addr{} }), badTarget},
		"link-local":          {commandAt(target("fe80::1")), badTarget},
		"zone":                {commandAt(target("2001:db8::42%s1")), badTarget},
		"link-local, zone":    {commandAt(target("fe80::1%s1")), badTarget},
		"loopback":            {commandAt(target("::1")), badTarget},
		"unspecified":         {commandAt(target("::")), badTarget},
		"multicast":           {commandAt(target("ff0e::1")), badTarget},
		"IPv4":                {commandAt(target("192.0.2.1")), badTarget},
		"router message":      {commandAt(router("advertisement", "ff02::1")), probed},
		"router solicitation": {commandAt(router("solicitation", "ff02::2")), probed},
		"router, wrong group": {commandAt(router("solicitation", "ff02::1")), badTarget},
		"router, unicast":     {commandAt(router("advertisement", "2001:db8::1")), badTarget},
		"router, other":       {commandAt(router("redirect", "ff02::1")), malformed},
		"IPv4-mapped":         {commandAt(target("::ffff:192.0.2.1")), badTarget},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			cmd, refused := parseCommand(test.data)
			if refused == nil {
				refused = checkCommand(&cmd, "r1", testNow)
			}
			got := probed
			if refused != nil {
				got = refused.outcome
				if refused.why() == "" {
					t.Error("it does not say why")
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("outcome (-want +got):\n%s", diff)
			}
			if (refused == nil || refused.published()) && cmd.ID != "1" {
				t.Errorf("id is %q", cmd.ID)
			}
		})
	}
}

// router makes it a command with a router message.
func router(message, target string) func(*schemas.Relay) {
	return func(c *schemas.Relay) {
		c.Target = netip.MustParseAddr(target)
		c.Router = &schemas.RouterMessage{Host: "r1", Interface: "m0", Message: message, Source: netip.MustParseAddr("fe80::1"), Checksum: 7}
	}
}

func FuzzParseCommand(f *testing.F) {
	f.Add(commandAt(func(c *schemas.Relay) {}))
	f.Add(commandAt(func(c *schemas.Relay) { c.Target = netip.MustParseAddr("fe80::1%s1") }))
	f.Add(commandAt(router("advertisement", "ff02::1")))
	f.Add(commandAt(func(c *schemas.Relay) { c.Host = "r\u00e9" }))
	for _, s := range []string{"", "{", "null", "[]", `{"type":"nd.relay.v1","id":"x","target":{}}`,
		`{"type":"nd.relay.v1","id":"x","time":"2026-01-02T03:04:05Z","expires":"9999-12-31T23:59:59Z","host":"r1","target":"2001:db8::1"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cmd, refused := parseCommand(data)
		if refused == nil {
			refused = checkCommand(&cmd, "r1", testNow)
		}
		if refused != nil {
			if refused.published() && (cmd.Host != "r1" || len(cmd.ID) == 0 || len(cmd.ID) > maxID) {
				t.Errorf("published without need: %+v", refused)
			}
			return
		}
		ahead := cmd.Expires.Sub(testNow)
		if len(data) > maxCommand || cmd.Type != schemas.TypeRelay || cmd.Host != "r1" || cmd.ID == "" || len(cmd.ID) > maxID ||
			ahead <= 0 || ahead > maxAhead {
			t.Errorf("accepted %+v", cmd)
		}
		if a := cmd.Target; cmd.Router != nil && a == cmd.Router.Group() {
			return
		} else if !a.Is6() || a.Is4In6() || a.Zone() != "" || !a.IsGlobalUnicast() {
			t.Errorf("accepted target %v", a)
		}
	})
}
