package glob

import (
	"path"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true}, {"", "a", false}, {"a", "a", true}, {"a", "b", false}, {"a", "ab", false}, {"ab", "a", false},
		{"?", "", false}, {"?", "a", true}, {"?", "é", true}, {"?", "ab", false}, {"??", "é", false},
		{"*", "", true}, {"*", "anything", true}, {"**", "", true}, {"*?", "", false}, {"*?", "€", true}, {"*??", "€", false},
		{"eth*", "eth0.100", true}, {"eth*", "et", false}, {"*.100", "eth0.100", true}, {"*.100", "eth0.1000", false},
		{"a*b*c", "abc", true}, {"a*b*c", "axxbxxbc", true}, {"a*b*c", "axxbxx", false}, {"a*bc*c", "abcbc", true},
		{"*a?c*", "xabcabd", true}, {"*a?d*", "xabcabd", true}, {"*aa", "aaa", true},
		{"?", "\xff", true}, {"*?b", "\xe2\x82b", true},
		{"*", "https://example.com/", true}, {"a?b", "a/b", true}, {"*/x", "a/b/x", true},

		{"[a]", "a", true}, {"[a]", "[a]", false}, {"eth[01]", "eth1", true}, {"eth[01]", "eth2", false}, {"eth[01]", "eth", false},
		{"eth[0-3]*", "eth2.5", true}, {"eth[0-37]", "eth7", true}, {"eth[0-3]", "eth4", false}, {"[^a-c]", "d", true}, {"[^a-c]", "b", false},
		{"[a^]", "^", true}, {"*[0-9]", "a1b2", true}, {"*[0-9]x", "1y2x", true}, {"[á-ű]", "é", true}, {"[^a]", "", false}, {"[/]", "/", true},

		{`\*`, "*", true}, {`\*`, `\x`, false}, {`eth\[0\]`, "eth[0]", true}, {`eth\[0\]`, "eth0", false}, {`[\]\-\\]x`, "]x", true},
		{`[\]\-\\]`, "-", true}, {`[\]\-\\]`, `\`, true}, {`a\\b`, `a\b`, true}, {`\é`, "é", true}, {"a]", "a]", true},
	} {
		if err := Check(tt.pattern); err != nil {
			t.Errorf("%q %v", tt.pattern, err)
		}
		if got := Match(tt.pattern, tt.text); got != tt.want {
			t.Errorf("Match(%q, %q) = %t", tt.pattern, tt.text, got)
		}
	}
}

func TestCheck(t *testing.T) {
	for _, pattern := range []string{"[", "eth[", "x*[", "[]", "[^]", "[]a]", "[a", "[a-", "[a-]", "[-a]", "[a-z", `a\`, `[\`, `[a-\`} {
		if err := Check(pattern); err == nil || !strings.HasPrefix(err.Error(), "is not a glob") {
			t.Errorf("%q: %v", pattern, err)
		}
	}
}

func TestLiteralPrefix(t *testing.T) {
	for pattern, want := range map[string]string{"eth0": "eth0", "eth*": "eth", "a?*": "a", "eth[01]": "eth", `a\*`: "a", "*a": ""} {
		if got := LiteralPrefix(pattern); got != want || HasMeta(pattern) != (want != pattern) {
			t.Errorf("%q: %q, HasMeta %t", pattern, got, HasMeta(pattern))
		}
	}
}

// TestMatchTime matches what would take for ever if every way were tried.
func TestMatchTime(t *testing.T) {
	begin := time.Now()
	if Match(strings.Repeat("*a", 500)+"b", strings.Repeat("a", 100000)) {
		t.Error("it matches")
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestAllocations(t *testing.T) {
	if n := testing.AllocsPerRun(10, func() { Match("*[a-c]?é[^x]*z", "aaabéyyyz") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzMatch compares with path.Match, whose * and ? stop at a slash and whose * may match a
// part of a character, and with a regular expression.
func FuzzMatch(f *testing.F) {
	f.Add("a*b?c", "axxbyc")
	f.Add("*?*??", "€a")
	f.Add(`[^a-c\]]*\?`, "xy?")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if len(pattern) > 100 || len(text) > 1000 || !utf8.ValidString(pattern) || !utf8.ValidString(text) {
			return
		}
		want, malformed := path.Match(pattern, text)
		if err := Check(pattern); !strings.Contains(pattern, "\ufffd") && (err != nil) != (malformed != nil) {
			t.Fatalf("Check(%q): %v, path.Match says %v", pattern, err, malformed)
		} else if err != nil {
			return
		}
		got := Match(pattern, text)
		if !strings.ContainsFunc(pattern+text, func(r rune) bool { return r == '/' || r > 0x7f }) && got != want {
			t.Errorf("Match(%q, %q) = %t, not as path.Match", pattern, text, got)
		}
		if !strings.ContainsAny(pattern, `[\`) {
			expression := strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(pattern))
			if want := regexp.MustCompile("(?s)^(" + expression + ")$").MatchString(text); got != want {
				t.Errorf("Match(%q, %q) = %t, not as %s", pattern, text, got, expression)
			}
		}
		if !strings.HasPrefix(text, LiteralPrefix(pattern)) && got {
			t.Errorf("%q matches %q, but does not start with %q", text, pattern, LiteralPrefix(pattern))
		}
	})
}
