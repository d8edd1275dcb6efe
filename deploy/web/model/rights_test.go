package model

import "testing"

func TestCovers(t *testing.T) {
	for _, tc := range []struct {
		pattern, subject string
		want             bool
	}{
		{"nd.relay", "nd.relay", true},
		{"nd.relay", "nd.relay.r1", false},
		{"nd.relay.r1", "nd.relay", false},
		{"nd.*", "nd.relay", true},
		{"nd.*", "nd.relay.r1", false},
		{"nd.>", "nd.relay.r1", true},
		{"nd.relay.>", "nd.relay", false},
		{"$KV.ND_SILENCES.>", "$KV.ND_SILENCES.x", true},
		{">", "nd", true},
		{"*", "nd", true},
		{"", "nd", false},
	} {
		if got := covers(tc.pattern, tc.subject); got != tc.want {
			t.Errorf("%s covers %s: %v", tc.pattern, tc.subject, got)
		}
	}
}
