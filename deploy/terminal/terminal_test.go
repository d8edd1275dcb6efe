package terminal

import (
	"bytes"
	"testing"
)

// The progress is removed before anything else is written.
func TestProgress(t *testing.T) {
	var out bytes.Buffer
	p := NewProgress(&out)
	w := p.Writer(&out)
	p.Show("1 %")
	p.Show("2 %")
	w.Write([]byte("alert\n"))
	w.Write([]byte("another\n"))
	p.Show("3 %")
	p.Show("")
	if got, want := out.String(), "1 %\r\x1b[K2 %\r\x1b[Kalert\nanother\n3 %\r\x1b[K"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestNoTerminal(t *testing.T) {
	if w := new(bytes.Buffer); Is(w) || Width(w) != 0 || Colour(w) {
		t.Error("a buffer is a terminal")
	}
}
