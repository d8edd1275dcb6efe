package decode_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/gopacket/pcapgo"
)

const corpus = "../testdata/corpus"

// captured is a frame of a capture and its length on the wire.
type captured struct {
	data   []byte
	length int
}

// readCapture returns the frames of a capture: the corpus's, unless its name has
// a folder.
func readCapture(t testing.TB, name string) []captured {
	t.Helper()
	path := name
	if filepath.Base(name) == name {
		path = filepath.Join(corpus, name)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	reader, err := pcapgo.NewReader(file)
	if err != nil {
		t.Fatalf("capture %s: %v", name, err)
	}
	var frames []captured
	for {
		data, info, err := reader.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return frames
		}
		if err != nil {
			t.Fatalf("capture %s, frame %d: %v", name, len(frames), err)
		}
		frames = append(frames, captured{data, info.Length})
	}
}

// captures returns the names of the corpus's captures.
func captures(t testing.TB) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(corpus, "*.pcap"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no captures in %s (%v)", corpus, err)
	}
	for i, path := range paths {
		paths[i] = filepath.Base(path)
	}
	return paths
}
