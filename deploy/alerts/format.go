// Package alerts writes alerts to standard output: those of this process, and those of a
// fleet that NATS stores (the command ndmon alerts). What an alert means and when it is
// raised is in ruled.
package alerts

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// Format makes the lines of an alert in JSON. It may depend on the alerts before.
type Format func(alert []byte) (lines []byte, err error)

// JSONLine returns a message as it is, on one line.
func JSONLine(message []byte) ([]byte, error) {
	var line bytes.Buffer
	if err := json.Compact(&line, message); err != nil {
		return nil, err
	}
	line.WriteByte('\n')
	return line.Bytes(), nil
}

// Printable replaces control characters, with which a hostile name could change what a
// terminal shows.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}

// writer writes alerts.
type writer struct {
	io.Writer
	format Format
}

// writeError is an error of the io.Writer. Others are those of an alert that the format
// refuses.
type writeError struct{ error }

func (w writer) write(alert []byte) error {
	line, err := w.format(alert)
	if err != nil || len(line) == 0 {
		return err
	}
	if _, err := w.Write(line); err != nil {
		return writeError{fmt.Errorf("write alert: %w", err)}
	}
	return nil
}
