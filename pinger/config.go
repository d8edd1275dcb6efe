package pinger

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/ndmon/ndmon/pinger/kernel"
	"github.com/ndmon/ndmon/pinger/probe"
	"github.com/ndmon/ndmon/schemas/iface"
)

// Config is read from the environment with the prefix PINGER. The names are derived
// from the fields' (split_words) instead of an envconfig tag, because with such a tag
// envconfig also reads a variable without the prefix, and HOST and TABLE may be set for
// other reasons.
type Config struct {
	// Host is the name of this host in subjects and messages; if empty, the kernel's
	// host name.
	Host string `split_words:"true" desc:"name of this host in subjects and messages (default: the host name)"`
	// Slaves are patterns of interfaces (iface.Pattern).
	Slaves []string `split_words:"true" desc:"slave interfaces, comma separated: names, globs (lan*), or address prefixes (2001:db8::/64: the interface that holds an address in it)"`
	// Masters are like Slaves. They are needed with Route and Proxy.
	Masters []string `split_words:"true" desc:"master interfaces, like the slaves; needed with PINGER_ROUTE and PINGER_PROXY: only targets in a prefix that is on-link at a master get a host route"`
	// Route and Proxy keep host routes to targets that are found behind a slave.
	Route bool `split_words:"true" desc:"keep a /128 route to each target found behind a slave"`
	Proxy bool `split_words:"true" desc:"answer solicitations on the masters for the targets found behind the slaves, and between the slaves"`
	// DAD needs Proxy.
	DAD bool `split_words:"true" desc:"answer duplicate address detection too, while the address is alive behind another interface; needs PINGER_PROXY"`
	// RA relays Router Advertisements and Solicitations. It needs Proxy.
	RA bool `split_words:"true" desc:"relay Router Advertisements from the masters to the slaves, and Router Solicitations to the masters; needs PINGER_PROXY"`
	// Verify is from 100 ms to 1 h.
	Verify time.Duration `split_words:"true" default:"1s" desc:"how often a target with a host route is verified to be still there; less often with more than 200 targets"`
	// Rate is from 1 to 20,000. The default is what the kernel itself sends at most
	// while addresses on two links are scanned: its neighbour table has 1024 entries,
	// and it solicits for each three times in 3 s.
	Rate int `split_words:"true" default:"2000" desc:"most probes in any second, all slaves together: solicitations, or echoes where those cannot be sent"`
	// HoldDown is from 0 (none) to 1 h. A target is solicited three times, 1 s
	// apart (RFC 4861, section 10: MAX_MULTICAST_SOLICIT and RETRANS_TIMER), as the
	// kernel does on the master meanwhile: another probe in these 3 s is useless.
	HoldDown time.Duration `split_words:"true" default:"3s" desc:"time in which a target is probed at most once; doubles each time that it is silent, up to 30s"`
	// Timeout is from 100 ms to 1 min, for all three.
	Timeout time.Duration `split_words:"true" default:"3s" desc:"time to wait for an answer; a target is solicited three times in it"`
	// Heartbeat is from 1 s to 1 h, or 0 for none.
	Heartbeat time.Duration `split_words:"true" default:"10s" desc:"how often the pinger publishes that it runs, 1s to 1h, so that ruled raises an alert when it falls silent; 0: never"`
	// Table is a multiple of 1000 from 1000 to 2147482000, so that the tables of two
	// pingers do not overlap. The tables from Table to Table+999 are the pinger's own.
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
	// maxTable leaves space for kernel.MaxTables where an int has 32 bits.
	maxTable = (math.MaxInt32/kernel.MaxTables - 1) * kernel.MaxTables
)

// Validate returns an error with one line for each setting that is out of its range.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if _, err := iface.ParsePatterns(c.Slaves); err != nil {
		bad("PINGER_SLAVES: %w", err)
	} else if len(c.Slaves) == 0 {
		bad("PINGER_SLAVES is not set: takes names, globs or address prefixes of interfaces, comma separated")
	}
	if _, err := iface.ParsePatterns(c.Masters); err != nil {
		bad("PINGER_MASTERS: %w", err)
	}
	if c.DAD && !c.Proxy {
		bad("PINGER_DAD=true: needs PINGER_PROXY=true, which answers solicitations")
	}
	for _, keep := range []struct {
		variable string
		on       bool
	}{{"PINGER_ROUTE", c.Route}, {"PINGER_PROXY", c.Proxy}} {
		if keep.on && len(c.Masters) == 0 {
			bad("%s=true: needs PINGER_MASTERS, the interfaces on whose links the targets' prefixes are", keep.variable)
		}
	}
	if c.RA && !c.Proxy {
		bad("PINGER_RA=true: needs PINGER_PROXY, because the hosts get addresses that only a proxy makes reachable")
	}
	if c.Verify < minVerify || c.Verify > maxVerify {
		bad("PINGER_VERIFY=%v: takes %v to %v", c.Verify, minVerify, maxVerify)
	}
	if c.Heartbeat != 0 && (c.Heartbeat < time.Second || c.Heartbeat > time.Hour) {
		bad("PINGER_HEARTBEAT=%v: takes 1s to 1h, or 0 for none", c.Heartbeat)
	}
	if c.Rate < 1 || c.Rate > maxRate {
		bad("PINGER_RATE=%d: takes 1 to %d, the most probes in any second", c.Rate, maxRate)
	} else if c.Rate < len(c.Slaves) {
		bad("PINGER_RATE=%d: takes at least the number of slaves (%d), because a command sends a probe out of each", c.Rate, len(c.Slaves))
	}
	if c.HoldDown < 0 || c.HoldDown > maxHoldDown {
		bad("PINGER_HOLD_DOWN=%v: takes 0s to %v", c.HoldDown, maxHoldDown)
	}
	if c.Timeout < minTimeout || c.Timeout > maxTimeout {
		bad("PINGER_TIMEOUT=%v: takes %v to %v", c.Timeout, minTimeout, maxTimeout)
	} else if c.mostWaiting() > probe.MaxWaiting {
		bad("PINGER_TIMEOUT=%v: too long with PINGER_RATE=%d, at most %d probes can wait for an answer", c.Timeout, c.Rate, probe.MaxWaiting)
	}
	if c.Table < kernel.MaxTables || c.Table > maxTable || c.Table%kernel.MaxTables != 0 {
		bad("PINGER_TABLE=%d: takes a multiple of %d from %d to %d, the first of %d routing tables", c.Table, kernel.MaxTables, kernel.MaxTables, maxTable, kernel.MaxTables)
	}
	return errors.Join(errs...)
}

// keepsHostRoutes reports whether the locations of targets are kept.
func (c Config) keepsHostRoutes() bool { return c.Route || c.Proxy }

// mostWaiting returns how many probes at most may be sent within Timeout.
func (c Config) mostWaiting() int {
	return c.Rate * int((c.Timeout+time.Second-1)/time.Second)
}
