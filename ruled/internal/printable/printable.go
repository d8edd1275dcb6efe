// Package printable makes strings of unknown origin fit to be shown in a message of one line.
package printable

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxQuoted is how many characters of a string Quote shows.
const MaxQuoted = 80

// Quote returns a string as a Go literal in one line, shortened to MaxQuoted characters.
func Quote(s string) string { return strconv.Quote(Shorten(s, MaxQuoted)) }

// Shorten returns the first characters of a string, at most so many, with an ellipsis if there are more.
func Shorten(s string, most int) string {
	if len(s) <= most {
		return s
	}
	n := 0
	for i := range s {
		if n == most {
			return s[:i] + "…"
		}
		n++
	}
	return s
}

// Replace returns the first characters of a string, at most so many, with ? for each that is not printable.
func Replace(s string, most int) string {
	return strings.Map(func(c rune) rune {
		if c == utf8.RuneError || !unicode.IsPrint(c) {
			return '?'
		}
		return c
	}, Shorten(s, most))
}

// Unprintable says what is wrong with a name or description: it has more than so many
// bytes, or a character that is neither printable nor a space. It returns "" for a good one.
func Unprintable(s string, most int) string {
	if len(s) > most {
		return fmt.Sprintf("has %d bytes; at most %d are taken", len(s), most)
	}
	for _, c := range s {
		if !unicode.IsPrint(c) && !unicode.Is(unicode.Zs, c) {
			return fmt.Sprintf("has the character %U in it", c)
		}
	}
	return ""
}
