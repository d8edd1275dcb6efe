// Package terminal knows the terminal that a program writes to: its width, and whether it wants colours. What is written is not here.
package terminal

import (
	"io"
	"os"

	"golang.org/x/term"
)

// Width returns the number of columns of the terminal that w is, 0 if it is none.
func Width(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	columns, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return columns
}

// Is reports whether w is a terminal.
func Is(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Colour reports whether w is a terminal whose user has not refused colours (https://no-color.org).
func Colour(w io.Writer) bool { return Is(w) && os.Getenv("NO_COLOR") == "" }
