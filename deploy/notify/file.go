package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// fileTail is how much of a file is searched for alerts that were written before this process: more than a batch has.
const fileTail = 4 << 20

// newFile returns how to append alerts to a file, one per line. The file is opened each time, so that it may be moved.
func newFile(path string) (send, error) {
	if err := absolute(path); err != nil {
		return nil, err
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	first := true
	return func(_ context.Context, list []*alert) (taken int, err error) {
		if len(list) == 0 {
			return 0, nil
		}
		file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return 0, err
		}
		defer file.Close()
		if first {
			if taken, err = written(file, list); err != nil {
				return 0, err
			}
			first = taken == len(list)
		}
		if err := appendLines(file, list[taken:]); err != nil {
			return taken, err
		}
		return len(list), nil
	}, nil
}

// appendLines appends alerts, all or none.
func appendLines(file *os.File, list []*alert) error {
	var lines bytes.Buffer
	for _, a := range list {
		lines.Write(a.data)
		lines.WriteByte('\n')
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if _, err := file.Write(lines.Bytes()); err != nil {
		return errors.Join(err, file.Truncate(info.Size()))
	}
	return nil
}

// written returns how many of the alerts are in the file already: those that a process wrote that was killed before it noted
// its position. It removes the line that such a process has not finished.
func written(file *os.File, list []*alert) (n int, err error) {
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	tail := make([]byte, min(info.Size(), fileTail))
	if _, err := file.ReadAt(tail, info.Size()-int64(len(tail))); err != nil && err != io.EOF {
		return 0, fmt.Errorf("read the end of the file: %w", err)
	}
	if whole := bytes.LastIndexByte(tail, '\n') + 1; whole < len(tail) && (whole > 0 || info.Size() <= fileTail) {
		if err := file.Truncate(info.Size() - int64(len(tail)-whole)); err != nil {
			return 0, fmt.Errorf("remove an unfinished line: %w", err)
		}
	}
	for n < len(list) && bytes.Contains(tail, append(bytes.Clone(list[n].data), '\n')) {
		n++
	}
	return n, nil
}
