package rules_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/ndmon/ndmon/ruled/rules"
)

func TestGlob(t *testing.T) {
	for _, tt := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true}, {"", "a", false}, {"a", "a", true}, {"a", "b", false}, {"a", "ab", false}, {"ab", "a", false},
		{"?", "", false}, {"?", "a", true}, {"?", "é", true}, {"?", "ab", false}, {"??", "é", false},
		{"*", "", true}, {"*", "anything", true}, {"**", "", true}, {"*?", "", false}, {"*?", "€", true}, {"*??", "€", false},
		{"eth*", "eth0.100", true}, {"eth*", "et", false}, {"*.100", "eth0.100", true}, {"*.100", "eth0.1000", false},
		{"a*b*c", "abc", true}, {"a*b*c", "axxbxxbc", true}, {"a*b*c", "axxbxx", false}, {"a*bc*c", "abcbc", true},
		{"*a?c*", "xabcabd", true}, {"*a?d*", "xabcabd", true}, {"*aa", "aaa", true}, {"[a]", "a", false}, {"[a]", "[a]", true},
		{`\*`, `\x`, true}, {"?", "\xff", true}, {"*?b", "\xe2\x82b", true},
	} {
		if got := rules.Glob(tt.pattern, tt.text); got != tt.want {
			t.Errorf("glob(%q, %q) = %t", tt.pattern, tt.text, got)
		}
	}
}

// TestGlobTime matches what would take for ever if every way were tried.
func TestGlobTime(t *testing.T) {
	begin := time.Now()
	if rules.Glob(strings.Repeat("*a", 500)+"b", strings.Repeat("a", 100000)) {
		t.Error("it matches")
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

func FuzzGlob(f *testing.F) {
	f.Add("a*b?c", "axxbyc")
	f.Add("*?*??", "€a")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if len(pattern) > 100 || len(text) > 1000 || !utf8.ValidString(pattern) || !utf8.ValidString(text) {
			return
		}
		if got, want := rules.Glob(pattern, text), globExpression(pattern).MatchString(text); got != want {
			t.Errorf("glob(%q, %q) = %t", pattern, text, got)
		}
		if !strings.HasPrefix(text, rules.LiteralHead(pattern)) && rules.Glob(pattern, text) {
			t.Errorf("%q matches %q, but does not start with %q", text, pattern, rules.LiteralHead(pattern))
		}
	})
}
