package notify

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// position is the newest alert that a receiver has, in a file that this process has locked.
type position struct {
	file *os.File
	// known is false for a receiver that is new.
	known bool
	// created is when the stream was made, and alert the sequence number there. Both are zero for a receiver that is older than
	// the stream.
	created time.Time
	alert   uint64
}

// positionFormat has a fixed length, so that each position overwrites the one before.
const (
	positionFormat = "%020d %s\n"
	positionTime   = "2006-01-02T15:04:05.000000000Z"
)

// openPosition opens the position of a receiver, in a directory that it makes.
func openPosition(dir, name string) (*position, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of the positions of receivers: %w", err)
	}
	path := filepath.Join(dir, url.PathEscape(name)+".position")
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the position of receiver %s: %w", name, err)
	}
	p := &position{file: file}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = errors.New("another process delivers to this receiver")
	}
	if err == nil {
		err = p.read()
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

func (p *position) read() error {
	text, err := io.ReadAll(p.file)
	if err != nil || len(text) == 0 {
		return err
	}
	var created string
	if _, err = fmt.Sscanf(string(text), positionFormat, &p.alert, &created); err == nil {
		p.created, err = time.Parse(positionTime, created)
	}
	if err != nil {
		return fmt.Errorf("%q is not a position (remove the file to begin with the next alert): %w", text, err)
	}
	p.known = true
	return nil
}

// set notes a position. A killed process leaves the former one or this one. Only the first is written through to the disk:
// after a power failure, an older position means that alerts are delivered again, and none that they are not.
func (p *position) set(created time.Time, alert uint64) error {
	first := !p.known
	p.known, p.created, p.alert = true, created, alert
	_, err := p.file.WriteAt(fmt.Appendf(nil, positionFormat, alert, created.UTC().Format(positionTime)), 0)
	if err == nil && first {
		err = p.file.Sync()
	}
	return err
}
