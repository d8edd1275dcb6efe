// Package terminal knows the terminal that a program writes to: its width, and whether it wants colours. What is written is not here.
package terminal

import (
	"io"
	"os"

	"golang.org/x/term"
)

// Size returns the number of columns and rows of the terminal that w is, 0 if it is none.
func Size(w io.Writer) (columns, rows int) {
	if f, ok := w.(*os.File); ok {
		columns, rows, _ = term.GetSize(int(f.Fd())) // 0 with an error
	}
	return columns, rows
}

// Width returns the number of columns as Size does.
func Width(w io.Writer) int {
	columns, _ := Size(w)
	return columns
}

// Is reports whether w is a terminal.
func Is(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Colour reports whether w is a terminal whose user has not refused colours (https://no-color.org).
func Colour(w io.Writer) bool { return Is(w) && os.Getenv("NO_COLOR") == "" }
