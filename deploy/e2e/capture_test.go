package e2e

import (
	"bytes"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// corpus returns the path of a capture of real traffic.
func corpus(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "sensor", "testdata", "corpus", name+".pcap"))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// captured is a frame of a capture file.
type captured struct {
	at   time.Time
	data []byte
}

// readCapture reads a file of the corpus.
func readCapture(t *testing.T, path string) []captured {
	t.Helper()
	file := readFile(t, path)
	r, err := pcapgo.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	var list []captured
	source := gopacket.NewPacketSource(r, layers.LayerTypeEthernet)
	source.NoCopy = true
	for p := range source.Packets() {
		list = append(list, captured{p.Metadata().Timestamp.UTC(), p.Data()})
	}
	return list
}

// discovery returns the frames that are Neighbor Discovery.
func discovery(list []captured) []captured {
	var nd []captured
	for _, c := range list {
		if factsOf(c.data) != nil {
			nd = append(nd, c)
		}
	}
	return nd
}

// pcap makes a pcap file of frames.
func pcap(t *testing.T, list ...captured) []byte {
	t.Helper()
	var b bytes.Buffer
	w := pcapgo.NewWriterNanos(&b)
	must(t, w.WriteFileHeader(1<<16, layers.LinkTypeEthernet))
	for _, c := range list {
		must(t, w.WritePacket(c.info(0), c.data))
	}
	return b.Bytes()
}

// pcapng makes a pcapng file of frames on an interface.
func pcapng(t *testing.T, iface string, list ...captured) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := pcapgo.NewNgWriterInterface(&b, pcapgo.NgInterface{
		Name: iface, LinkType: layers.LinkTypeEthernet, TimestampResolution: 9,
	}, pcapgo.DefaultNgWriterOptions)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range list {
		must(t, w.WritePacket(c.info(0), c.data))
	}
	must(t, w.Flush())
	return b.Bytes()
}

func (c captured) info(iface int) gopacket.CaptureInfo {
	return gopacket.CaptureInfo{Timestamp: c.at, CaptureLength: len(c.data), Length: len(c.data), InterfaceIndex: iface}
}
