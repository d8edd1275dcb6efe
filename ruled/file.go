package ruled

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// readRegular reads a regular file up to the byte behind the limit, by which its
// parser knows that it is too large. Other files may have no end, and opening a
// named pipe waits for a writer.
func readRegular(path string, limit int64) ([]byte, error) {
	// Before it is opened, which is enough to have some devices do something.
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, notRegular(path)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// It may be another file by now.
	if info, err = f.Stat(); err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, notRegular(path)
	}
	return io.ReadAll(io.LimitReader(f, limit+1))
}

func notRegular(path string) error { return fmt.Errorf("%s is not a regular file", path) }
