package pinger

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Config is what a pinger is told, read from the environment with the prefix
// PINGER. The names are made of the fields' (split_words) and not given by an
// envconfig tag, for with such a tag envconfig also takes a variable without
// the prefix, and HOST and TABLE may well be set for other reasons.
type Config struct {
	// Host is the name of this host in subjects and messages; empty stands
	// for the kernel's host name.
	Host string `split_words:"true" desc:"name of this host in subjects and messages (default: the host name)"`
	// Slaves are names, globs, or address prefixes of interfaces.
	Slaves []string `split_words:"true" desc:"slave interfaces, comma separated: names, globs (lan*), or address prefixes (2001:db8::/64: the interface that holds an address in it)"`
	// Masters are like Slaves. They are needed to keep ways.
	Masters []string `split_words:"true" desc:"master interfaces, like the slaves; needed with PINGER_ROUTE and PINGER_PROXY: a way is kept only to targets in a prefix that is on a master's link"`
	// Route and Proxy keep the ways to targets that are found behind a slave.
	Route bool `split_words:"true" desc:"keep a /128 route to each target found behind a slave"`
	Proxy bool `split_words:"true" desc:"keep a proxy neighbour entry on the masters for each target found behind a slave, and answer who asks for it"`
	// Verify is from 100 ms to 1 h.
	Verify time.Duration `split_words:"true" default:"1s" desc:"how often a target whose way is kept is asked whether it is still there; more seldom where they are more than 200"`
	// Rate is from 1 to 20,000. The default is what the kernel itself sends, at
	// most, for addresses on two links that are scanned: its neighbour table has
	// room for 1024 entries, each is solicited for three times in 3 s.
	Rate int `split_words:"true" default:"2000" desc:"most probes in any second, all slaves together: solicitations, or echoes where those cannot be sent"`
	// HoldDown is from 0 (none) to 1 h. A target is solicited three times, 1 s
	// apart (RFC 4861, section 10: MAX_MULTICAST_SOLICIT and RETRANS_TIMER), just
	// as the kernel does on the master meanwhile: for these 3 s probing it again
	// adds nothing.
	HoldDown time.Duration `split_words:"true" default:"3s" desc:"time in which a target is probed once; twice as long each time that it is silent, up to 30s"`
	// Timeout is from 100 ms to 1 min, for all three.
	Timeout time.Duration `split_words:"true" default:"3s" desc:"time to wait for an answer; a target is solicited three times in it"`
	// Table is a multiple of 1000 from 1000 to 2147482000, so that no two
	// pingers have some tables in common; those from it to Table+999 are the
	// pinger's own.
	Table uint32 `split_words:"true" default:"4861000" desc:"first of the 1000 routing tables that the pinger may use, one for each slave; a multiple of 1000"`
}

// Bounds of the settings.
const (
	maxRate     = 20_000
	maxHoldDown = time.Hour
	minVerify   = 100 * time.Millisecond
	maxVerify   = time.Hour
	minTimeout  = 100 * time.Millisecond
	maxTimeout  = time.Minute
	// maxTable leaves room for maxTables where an int has 32 bits.
	maxTable = (math.MaxInt32/maxTables - 1) * maxTables
	// maxTables is the number of routing tables from Config.Table on.
	maxTables = 1000
	// maxWaiting bounds the probes that wait for an answer.
	maxWaiting = 1 << 16
)

// Validate returns an error of one line for each setting that is out of its
// range.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if _, err := parsePatterns("PINGER_SLAVES", c.Slaves); err != nil {
		errs = append(errs, err)
	} else if len(c.Slaves) == 0 {
		bad("PINGER_SLAVES is not set: takes %s", patternsTake)
	}
	if _, err := parsePatterns("PINGER_MASTERS", c.Masters); err != nil {
		errs = append(errs, err)
	}
	for _, keep := range []struct {
		variable string
		on       bool
	}{{"PINGER_ROUTE", c.Route}, {"PINGER_PROXY", c.Proxy}} {
		if keep.on && len(c.Masters) == 0 {
			bad("%s=true: needs PINGER_MASTERS, the interfaces whose links have the targets' prefixes", keep.variable)
		}
	}
	if c.Verify < minVerify || c.Verify > maxVerify {
		bad("PINGER_VERIFY=%v: takes %v to %v", c.Verify, minVerify, maxVerify)
	}
	if c.Rate < 1 || c.Rate > maxRate {
		bad("PINGER_RATE=%d: takes 1 to %d, the most probes in any second", c.Rate, maxRate)
	} else if c.Rate < len(c.Slaves) {
		bad("PINGER_RATE=%d: takes at least the number of slaves (%d), for a command sends a probe out of each", c.Rate, len(c.Slaves))
	}
	if c.HoldDown < 0 || c.HoldDown > maxHoldDown {
		bad("PINGER_HOLD_DOWN=%v: takes 0s to %v", c.HoldDown, maxHoldDown)
	}
	if c.Timeout < minTimeout || c.Timeout > maxTimeout {
		bad("PINGER_TIMEOUT=%v: takes %v to %v", c.Timeout, minTimeout, maxTimeout)
	} else if c.mostWaiting() > maxWaiting {
		bad("PINGER_TIMEOUT=%v: too long with PINGER_RATE=%d, no more than %d probes can wait for an answer", c.Timeout, c.Rate, maxWaiting)
	}
	if c.Table < maxTables || c.Table > maxTable || c.Table%maxTables != 0 {
		bad("PINGER_TABLE=%d: takes a multiple of %d from %d to %d, the first of %d routing tables", c.Table, maxTables, maxTables, maxTable, maxTables)
	}
	return errors.Join(errs...)
}

// mostWaiting is the most probes that Rate lets out within Timeout.
func (c Config) mostWaiting() int {
	return c.Rate * int((c.Timeout+time.Second-1)/time.Second)
}

// pattern selects interfaces: by name or glob, or, with a valid prefix, by the
// addresses that they hold.
type pattern struct {
	text   string
	prefix netip.Prefix
}

const patternsTake = "names, globs or address prefixes of interfaces, comma separated"

// parsePatterns reads the value of a variable.
func parsePatterns(variable string, list []string) ([]pattern, error) {
	var patterns []pattern
	for _, text := range list {
		text = strings.TrimSpace(text)
		p := pattern{text: text}
		bad := func(what string) ([]pattern, error) {
			return nil, fmt.Errorf("%s: %s: takes %s", variable, what, patternsTake)
		}
		switch {
		case text == "":
			return bad("has an empty entry")
		case strings.Contains(text, "/"): // never part of an interface's name
			prefix, err := netip.ParsePrefix(text)
			if err != nil || !prefix.Addr().Is6() || prefix.Addr().Is4In6() {
				return bad(fmt.Sprintf("%q is not an IPv6 prefix", text))
			}
			if prefix.Addr().IsLinkLocalUnicast() {
				return bad(fmt.Sprintf("%q names no interface, for each of them holds a link-local address", text))
			}
			p.prefix = prefix.Masked()
		default:
			if _, err := path.Match(text, ""); err != nil {
				return bad(fmt.Sprintf("%q is not a glob", text))
			}
			if p.exact() && len(text) >= unix.IFNAMSIZ {
				return bad(fmt.Sprintf("%q is longer than an interface's name can be", text))
			}
		}
		patterns = append(patterns, p)
	}
	return patterns, nil
}

// exact reports whether the pattern is the name of one interface.
func (p pattern) exact() bool {
	return !p.prefix.IsValid() && !strings.ContainsAny(p.text, `*?[\`)
}

func (p pattern) matches(l *link) bool {
	switch {
	case p.exact():
		return p.text == l.name
	case l.loopback:
		return false
	case p.prefix.IsValid():
		for _, a := range l.addresses {
			if p.prefix.Contains(a.addr) {
				return true
			}
		}
		return false
	}
	matched, _ := path.Match(p.text, l.name)
	return matched
}
