// Package capfile reads the Ethernet frames of capture files, pcap and pcapng, also compressed by gzip, and those that
// Linux captured on all interfaces at once (tcpdump -i any). It trusts nothing in a file: what it allocates is bounded. It
// goes on past a packet that it cannot read, and counts it. A file that is damaged so that the next packet cannot be
// found is an error.
package capfile

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
)

// Reader reads one file.
type Reader struct {
	next    func() (Packet, error)
	number  int
	skipped []Skipped
}

// Skipped counts packets that cannot be read.
type Skipped struct {
	// Why says what is wrong with the packets, such as "of link type 105 (IEEE802_11)".
	Why     string
	Packets int
}

// maxReasons bounds the list of Skipped, which a hostile file could make long.
const maxReasons = 16

// skip is the error of a packet that cannot be read, when the next one can. It is a Skipped.Why.
type skip string

func (s skip) Error() string { return string(s) }

// NewReader determines the format and reads the header of the file.
func NewReader(r io.Reader) (*Reader, error) {
	br := bufio.NewReaderSize(r, 1<<16)
	if magic, _ := br.Peek(2); string(magic) == "\x1f\x8b" {
		unzipped, err := gzip.NewReader(br)
		if err != nil {
			return nil, truncated(err)
		}
		br = bufio.NewReaderSize(unzipped, 1<<16)
	}
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

// Next returns the next packet that can be read, io.EOF at the end of the file, or an error with the number
// of the packet, counted from 1, at which the file is damaged.
func (r *Reader) Next() (Packet, error) {
	for {
		p, err := r.next()
		if why, ok := err.(skip); ok {
			r.number++
			r.count(string(why))
			continue
		}
		switch {
		case err == io.EOF:
			return Packet{}, err
		case err != nil:
			return Packet{}, fmt.Errorf("packet %d: %w", r.number+1, err)
		}
		r.number++
		p.Number = r.number
		return p, nil
	}
}

// Packets returns how many packets the file has so far, with those that were skipped.
func (r *Reader) Packets() int { return r.number }

// Skipped returns which packets could not be read so far.
func (r *Reader) Skipped() []Skipped { return r.skipped }

func (r *Reader) count(why string) {
	i := slices.IndexFunc(r.skipped, func(s Skipped) bool { return s.Why == why })
	switch {
	case i < 0 && len(r.skipped) < maxReasons:
		r.skipped = append(r.skipped, Skipped{why, 1})
		return
	case i < 0:
		i = maxReasons - 1
		r.skipped[i].Why = "that cannot be read for other reasons"
	}
	r.skipped[i].Packets++
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
