package probe

import (
	"encoding/json"
	"time"

	"github.com/ndmon/ndmon/schemas"
)

const (
	// maxCommand is the largest command in bytes; ruled's have some 300.
	maxCommand = 4096
	// maxID is the longest id of a command in bytes; it is kept while its probes
	// wait.
	maxID = 128
	// maxAhead is how far ahead a command may expire. Only a forged one, or a wrong
	// clock, exceeds it.
	maxAhead = 24 * time.Hour
)

// Handle carries out one relay command in JSON.
func (p *Prober) Handle(data []byte) {
	cmd, refused := parseCommand(data)
	p.carryOut(&cmd, refused)
}

// Relay carries out one relay command of this process.
func (p *Prober) Relay(cmd *schemas.Relay) { p.carryOut(cmd, nil) }

// carryOut carries out a command, unless it is refused already, and reports the verdict.
func (p *Prober) carryOut(cmd *schemas.Relay, refused *refusal) {
	now := p.deps.Now()
	v := verdict{refused: refused}
	if v.refused == nil {
		v.refused = checkCommand(cmd, p.cfg.Host, now)
	}
	switch {
	case v.refused != nil:
	case cmd.Router == nil:
		v = p.decide(cmd, now)
	case p.deps.Routers == nil:
		v.refused = refuse(routersOff, "Router Advertisements are not relayed: PINGER_RA, or --ra of ndmon, is not set")
	default:
		v.outcome = routerMessage
		p.deps.Routers(cmd)
	}
	p.reporter.decided(cmd, v, p.deps.Now().Sub(now))
}

// parseCommand parses a relay command. If it is refused, the result has what could be
// parsed.
func parseCommand(data []byte) (schemas.Relay, *refusal) {
	var cmd schemas.Relay
	if len(data) > maxCommand {
		return cmd, refuse(malformed, "%d bytes, at most %d are read", len(data), maxCommand)
	}
	// ParseJSON accepts what ruled writes. Everything else is left to encoding/json,
	// which is slower and says what is wrong.
	if cmd.ParseJSON(data) != nil {
		cmd = schemas.Relay{}
		if err := json.Unmarshal(data, &cmd); err != nil {
			return cmd, refuse(malformed, "%v", err)
		}
	}
	return cmd, nil
}

// checkCommand refuses a command for what it says itself.
func checkCommand(cmd *schemas.Relay, host string, now time.Time) *refusal {
	switch {
	case cmd.Type != schemas.TypeRelay:
		return refuse(malformed, "type is %q and not %q", cmd.Type, schemas.TypeRelay)
	case cmd.ID == "" || len(cmd.ID) > maxID:
		return refuse(malformed, "id has %d bytes, allowed are 1 to %d", len(cmd.ID), maxID)
	case cmd.Time.IsZero() || cmd.Expires.IsZero():
		return refuse(malformed, "time or expires is missing")
	case cmd.Host != host && cmd.Host != schemas.EveryHost:
		return refuse(otherHost, "for host %q, this is %q", cmd.Host, host)
	}
	if m := cmd.Router; m != nil && m.Message != schemas.RouterAdvertisement && m.Message != schemas.RouterSolicitation {
		return refuse(malformed, "router message is %q", m.Message)
	} else if m != nil && cmd.Target != m.Group() {
		return refuse(badTarget, "target: a router %s goes to %v", m.Message, m.Group())
	} else if err := schemas.CheckTarget(cmd.Target); m == nil && err != nil {
		return refuse(badTarget, "target: %v", err)
	}
	if !now.Before(cmd.Expires) {
		return refuse(expired, "expired %v ago by this host's clock", now.Sub(cmd.Expires).Round(time.Millisecond))
	}
	if ahead := cmd.Expires.Sub(now); ahead > maxAhead {
		return refuse(farAhead, "expires in %v by this host's clock, allowed are at most %v", ahead.Round(time.Second), maxAhead)
	}
	return nil
}
