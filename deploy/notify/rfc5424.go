package notify

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ndmon/ndmon/deploy/alerts"
	"github.com/ndmon/ndmon/schemas"
)

const (
	// maxSyslog is the size of a message that a server should accept (RFC 5424, section 6.1), in bytes.
	maxSyslog = 2048
	// maxValue bounds a value of the structured data.
	maxValue = 255
	// structuredID is the name of the structured data. 32473 is the number for documentation (RFC 5612): ndmon has none.
	structuredID = "ndmon@32473"
)

// facilities are those of RFC 5424, section 6.2.1, by their names in rsyslog. Its numbers 12 to 15 have no names there.
func facilities() []string {
	return []string{"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "", "", "", "",
		"local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"}
}

// parseFacility returns the number of a facility.
func parseFacility(name string) (int, error) {
	if n := slices.Index(facilities(), name); n >= 0 && name != "" {
		return n, nil
	}
	return 0, fmt.Errorf("facility: %q is not a facility: use daemon, user, local0 to local7, or another one of RFC 5424", name)
}

// rfc5424 returns an alert as a message of syslog. Names and texts may come from the wire.
func rfc5424(a *schemas.Alert, facility int) []byte {
	severity := 2 // critical, also for one that is none of ours
	switch a.Severity {
	case schemas.Warning:
		severity = 4
	case schemas.Info:
		severity = 6
	}
	var data strings.Builder
	for _, p := range [][2]string{{"id", a.ID}, {"rule", a.Rule}, {"host", a.Host}, {"interface", a.Interface}, {"severity", string(a.Severity)}} {
		fmt.Fprintf(&data, ` %s="%s"`, p[0], strings.NewReplacer(`\`, `\\`, `"`, `\"`, `]`, `\]`).Replace(limit(alerts.Printable(p[1]), maxValue)))
	}
	head := fmt.Sprintf("<%d>1 %s %s ndmon - %s [%s%s] \ufeff", facility*8+severity, a.Time.UTC().Format("2006-01-02T15:04:05.000000Z"),
		field(a.Host, 255), field(a.Rule, 32), structuredID, &data)
	return []byte(head + limit(alerts.Printable(what(a)), max(maxSyslog-len(head), 0)))
}

// field returns a text as a field of the header: printable ASCII without spaces, - if it is empty.
func field(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	if s == "" {
		return "-"
	}
	return s[:min(len(s), most)]
}
