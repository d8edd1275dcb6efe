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

	"github.com/ndmon/ndmon/schemas"
)

// Format makes a line of an alert in JSON.
type Format func(alert []byte) (line []byte, err error)

// JSONLine returns a message as it is, on one line.
func JSONLine(message []byte) ([]byte, error) {
	var line bytes.Buffer
	if err := json.Compact(&line, message); err != nil {
		return nil, err
	}
	line.WriteByte('\n')
	return line.Bytes(), nil
}

// TextLine returns a format for people: time, severity, host/interface or the host, rule,
// description and summary. Colour is for a terminal.
func TextLine(colour bool) Format {
	colours := map[schemas.Severity]string{schemas.Info: "\x1b[36m", schemas.Warning: "\x1b[33m", schemas.Critical: "\x1b[1;31m"}
	return func(data []byte) ([]byte, error) {
		var a schemas.Alert
		if err := json.Unmarshal(data, &a); err != nil {
			return nil, err
		}
		severity := fmt.Sprintf("%-8s", Printable(string(a.Severity)))
		if colour {
			severity = colours[a.Severity] + severity + "\x1b[0m"
		}
		what := a.Summary
		if a.Description != "" {
			what = a.Description + ": " + what
		}
		where := a.Host
		if a.Interface != "" {
			where += "/" + a.Interface
		}
		return fmt.Appendf(nil, "%s  %s  %s  %s  %s\n", a.Time.Local().Format("2006-01-02 15:04:05.000"), severity,
			Printable(where), Printable(a.Rule), Printable(what)), nil
	}
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

// writer writes alerts, one per line.
type writer struct {
	io.Writer
	format Format
}

// writeError is an error of the io.Writer. Others are those of an alert that the format
// refuses.
type writeError struct{ error }

func (w writer) write(alert []byte) error {
	line, err := w.format(alert)
	if err != nil {
		return err
	}
	if _, err := w.Write(line); err != nil {
		return writeError{fmt.Errorf("write alert: %w", err)}
	}
	return nil
}
