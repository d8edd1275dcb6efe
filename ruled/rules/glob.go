package rules

import (
	"strings"
	"unicode/utf8"
)

const wildcards = "*?"

// IsPattern reports whether a string that is asked for is a pattern.
func IsPattern(s string) bool { return strings.ContainsAny(s, wildcards) }

// glob reports whether all of the text matches the pattern, in which * stands
// for any characters, none included, and ? for one. It takes at most as many
// steps as the lengths multiplied: what stands behind a * is tried at one place
// after the other, and never again what stands before.
func glob(pattern, text string) bool {
	star, from := "", "" // the pattern behind the last *, the text that it was last tried on
	inStar := false
	for {
		switch {
		case strings.HasPrefix(pattern, "*"):
			pattern = pattern[1:]
			star, from, inStar = pattern, text, true
			if star == "" {
				return true
			}
			continue
		case pattern == "" && text == "":
			return true
		case pattern != "" && text != "":
			_, size := utf8.DecodeRuneInString(text)
			if pattern[0] == '?' {
				pattern, text = pattern[1:], text[size:]
				continue
			}
			if pattern[0] == text[0] {
				pattern, text = pattern[1:], text[1:]
				continue
			}
		}
		if !inStar || from == "" {
			return false
		}
		_, size := utf8.DecodeRuneInString(from)
		from = from[size:]
		pattern, text = star, from
	}
}

// literalHead returns what every text that matches the pattern starts with.
func literalHead(pattern string) string {
	if i := strings.IndexAny(pattern, wildcards); i >= 0 {
		return pattern[:i]
	}
	return pattern
}
