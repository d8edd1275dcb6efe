package terminal

import (
	"io"
	"sync"
)

// Progress is a line at the bottom of a terminal that changes. What else is written there has to go through Writer.
type Progress struct {
	mu    sync.Mutex
	w     io.Writer
	shown bool
}

// NewProgress returns a Progress on a terminal.
func NewProgress(w io.Writer) *Progress { return &Progress{w: w} }

// Show replaces the line. An empty text removes it.
func (p *Progress) Show(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	if text != "" {
		io.WriteString(p.w, text)
		p.shown = true
	}
}

func (p *Progress) clear() {
	if p.shown {
		io.WriteString(p.w, "\r\x1b[K")
		p.shown = false
	}
}

// Writer returns a writer to w that removes the line before it writes.
func (p *Progress) Writer(w io.Writer) io.Writer { return writer{p, w} }

type writer struct {
	*Progress
	to io.Writer
}

func (w writer) Write(text []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clear()
	return w.to.Write(text)
}
