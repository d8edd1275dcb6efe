// Package capfile reads the Ethernet frames of capture files, pcap and pcapng. It trusts
// nothing in a file: what it allocates is bounded, and every malformed file is an error.
package capfile

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
)

// Reader reads one file.
type Reader struct {
	next   func() (Packet, error)
	number int
}

// NewReader determines the format and reads the header of the file.
func NewReader(r io.Reader) (*Reader, error) {
	br := bufio.NewReaderSize(r, 1<<16)
	magic, err := br.Peek(4)
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("the file is too short")
		}
		return nil, err
	}
	if binary.BigEndian.Uint32(magic) == blockSection {
		ng := &ngReader{r: br}
		return &Reader{next: ng.next}, nil
	}
	next, err := newPcap(br)
	if err != nil {
		return nil, err
	}
	return &Reader{next: next}, nil
}

// Next returns the next packet, io.EOF at the end of the file, or an error with the number
// of the packet, counted from 1, that could not be read.
func (r *Reader) Next() (Packet, error) {
	p, err := r.next()
	switch {
	case err == io.EOF:
		return Packet{}, err
	case err != nil:
		return Packet{}, fmt.Errorf("packet %d: %w", r.number+1, err)
	}
	r.number++
	return p, nil
}

// ReadFile yields the packets of a file. It ends after an error, which names the file.
func ReadFile(path string) iter.Seq2[Packet, error] {
	return func(yield func(Packet, error) bool) {
		f, err := os.Open(path)
		if err != nil {
			yield(Packet{}, fmt.Errorf("read capture: %w", err))
			return
		}
		defer f.Close()
		r, err := NewReader(f)
		if err != nil {
			yield(Packet{}, fmt.Errorf("read capture %s: %w", path, err))
			return
		}
		for {
			p, err := r.Next()
			switch {
			case err == io.EOF:
				return
			case err != nil:
				yield(Packet{}, fmt.Errorf("read capture %s: %w", path, err))
				return
			case !yield(p, nil):
				return
			}
		}
	}
}
