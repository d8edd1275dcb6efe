package schemas

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ndmon/ndmon/schemas/internal/wire"
)

// TypeSilence is the value of the member "type" of a Silence.
const TypeSilence = "nd.silence.v1"

// BucketSilences is the key-value store of the silences, by Silence.Key. SubjectSilences covers their messages.
const (
	BucketSilences  = "ND_SILENCES"
	SubjectSilences = prefixSilences + ">"
	prefixSilences  = "$KV." + BucketSilences + "."
)

// The values of Silence.Kind.
const (
	// Acknowledged: the alerts until Silence.Time are known. One that comes later is shown.
	Acknowledged = "acknowledged"
	// Silenced: no alert is shown until Silence.Until.
	Silenced = "silenced"
)

// Bounds of a silence.
const (
	// MaxSilence is the longest time for which a silence is in force.
	MaxSilence = 90 * 24 * time.Hour
	// MaxReason bounds its texts, in bytes, and maxSilenceKey its key.
	MaxReason     = 400
	maxSilenceKey = 1024
)

// Silence is the message nd.silence.v1: a user acknowledged or silenced the alerts of a rule on a link, of one station or of
// all. It changes what people are shown, and no alert.
type Silence struct {
	Type string    `json:"type" enum:"nd.silence.v1"`
	Kind string    `json:"kind" enum:"acknowledged,silenced"`
	Time time.Time `json:"time"`
	// Until is when it ends.
	Until time.Time `json:"until"`
	// Who is the user, as the page that the user used knows, and Reason is why.
	Who    string `json:"who"`
	Reason string `json:"reason"`
	Rule   string `json:"rule"`
	// Host, Interface and the VLANs are the link.
	Host      string  `json:"host"`
	Interface string  `json:"interface"`
	VLAN      *uint16 `json:"vlan,omitempty"`
	InnerVLAN *uint16 `json:"innervlan,omitempty"`
	// Ethernet is the station, nil for all.
	Ethernet *MAC `json:"ethernet,omitempty"`
}

var silenceCodec = wire.NewCodec[Silence]()

// AppendJSON appends the silence as JSON.
func (s *Silence) AppendJSON(to []byte) []byte { return silenceCodec.Append(to, s) }

// ParseJSON reads a silence as strictly as Event.ParseJSON.
func (s *Silence) ParseJSON(data []byte) error { return silenceCodec.Parse(data, s) }

// Key returns the key of the silence, which is that of every silence of the same rule, link and station: the newest applies.
func (s *Silence) Key() string {
	station := "-"
	if s.Ethernet != nil {
		station = strings.ReplaceAll(s.Ethernet.String(), ":", "")
	}
	return EscapeToken(s.Rule) + "." + EscapeToken(s.Host) + "." + EscapeToken(s.Interface) + "." + vlanToken(s.VLAN, s.InnerVLAN) + "." + station
}

// Subject returns the subject on which the silence is stored.
func (s *Silence) Subject() string { return prefixSilences + s.Key() }

// Check returns an error for a silence that must not be stored.
func (s *Silence) Check() error {
	switch after := s.Until.Sub(s.Time); {
	case after <= 0 || after > MaxSilence:
		return fmt.Errorf("it must end within %d days", MaxSilence/(24*time.Hour))
	case s.Rule == "":
		return errors.New("it has no rule")
	case len(s.Who) > MaxReason || len(s.Reason) > MaxReason:
		return fmt.Errorf("name and reason may have %d bytes each", MaxReason)
	case !utf8.ValidString(s.Who + s.Reason + s.Rule + s.Host + s.Interface):
		return errors.New("a text in it is not UTF-8")
	case len(s.Key()) > maxSilenceKey:
		return errors.New("the names of rule, host and interface are too long")
	}
	return nil
}
