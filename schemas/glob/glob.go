// Package glob is the one dialect of patterns for strings: for the interfaces of a configuration
// and for the values of rules. It is path.Match's, except that * and ? also match a slash:
//
//	?        one character
//	*        any characters, or none
//	[a-z0]   one character in the class
//	[^a-z0]  one character outside the class
//	\c       the character c, also in a class
package glob

import (
	"errors"
	"strings"
	"unicode/utf8"
)

const meta = `*?[\`

// HasMeta reports whether the pattern has a character with a meaning. Without one
// it matches only itself.
func HasMeta(pattern string) bool { return strings.ContainsAny(pattern, meta) }

// LiteralPrefix returns what every text that matches the pattern starts with: all
// that precedes the first character with a meaning.
func LiteralPrefix(pattern string) string {
	if i := strings.IndexAny(pattern, meta); i >= 0 {
		return pattern[:i]
	}
	return pattern
}

// Check returns why the pattern is not a glob, as the end of a sentence that begins
// with it, or nil.
func Check(pattern string) error {
	for pattern != "" {
		_, rest, ok := one(pattern, 0)
		if !ok {
			return errors.New("is not a glob: a bracket is not closed or empty, a range has no end, or a backslash ends it")
		}
		pattern = rest
	}
	return nil
}

// Match reports whether all of the text matches the pattern, which Check accepts. It takes at most
// as many steps as the product of the lengths, because what follows a * is tried at one position
// after the other, and never again what precedes it. It does not allocate.
func Match(pattern, text string) bool {
	star, from := "", "" // the pattern behind the last *, and the text that it was last tried on
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
			if matched, patternRest, textRest := first(pattern, text); matched {
				pattern, text = patternRest, textRest
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

// first matches the first character of the text, or the first byte of one, with the first
// element of the pattern.
func first(pattern, text string) (matched bool, patternRest, textRest string) {
	if c := pattern[0]; c != '?' && c != '[' && c != '\\' {
		return c == text[0], pattern[1:], text[1:]
	}
	r, size := utf8.DecodeRuneInString(text)
	matched, patternRest, ok := one(pattern, r)
	return matched && ok, patternRest, text[size:]
}

// one matches a character with the first element of a pattern that is not empty. It
// returns the pattern behind the element, and not ok if the element is malformed.
func one(pattern string, r rune) (matched bool, rest string, ok bool) {
	switch pattern[0] {
	case '*', '?':
		return true, pattern[1:], true
	case '[':
		return class(pattern[1:], r)
	}
	c, rest, ok := character(pattern)
	return c == r, rest, ok
}

// class matches a character with a class whose opening bracket has been read.
func class(pattern string, r rune) (matched bool, rest string, ok bool) {
	rest, negated := strings.CutPrefix(pattern, "^")
	for first := true; ; first = false {
		if !first && strings.HasPrefix(rest, "]") {
			return matched != negated, rest[1:], true
		}
		if rest == "" || rest[0] == ']' || rest[0] == '-' {
			return false, "", false
		}
		var low, high rune
		if low, rest, ok = character(rest); !ok {
			return false, "", false
		}
		high = low
		if end, isRange := strings.CutPrefix(rest, "-"); isRange {
			if end == "" || end[0] == ']' || end[0] == '-' {
				return false, "", false
			}
			if high, rest, ok = character(end); !ok {
				return false, "", false
			}
		}
		matched = matched || low <= r && r <= high
	}
}

// character reads a character that may follow a backslash.
func character(pattern string) (c rune, rest string, ok bool) {
	pattern = strings.TrimPrefix(pattern, `\`)
	c, size := utf8.DecodeRuneInString(pattern)
	return c, pattern[size:], size > 0
}
