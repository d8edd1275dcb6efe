package capfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// corpus are the captures that the sensor and the decoder are tested with.
const corpus = "../testdata/corpus/*.pcap"

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// readAll reads what can be read of a file. The packets have no numbers.
func readAll(data []byte) (packets []Packet, err error) {
	packets, _, err = readSkipping(data)
	return packets, err
}

// readSkipping is readAll that also returns what was skipped.
func readSkipping(data []byte) (packets []Packet, skipped []Skipped, err error) {
	r, err := NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, nil, err
	}
	for {
		p, err := r.Next()
		if err == io.EOF {
			return packets, r.Skipped(), nil
		}
		if err != nil {
			return packets, r.Skipped(), err
		}
		p.Data, p.Number = bytes.Clone(p.Data), 0
		packets = append(packets, p)
	}
}

// asNg writes packets with pcapgo's writer of pcapng.
func asNg(t testing.TB, packets []Packet, i pcapgo.NgInterface) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := pcapgo.NewNgWriterInterface(&b, i, pcapgo.DefaultNgWriterOptions)
	check(t, err)
	for _, p := range packets {
		ci := gopacket.CaptureInfo{Timestamp: p.Time, CaptureLength: len(p.Data), Length: p.Length}
		check(t, w.WritePacket(ci, p.Data))
	}
	check(t, w.Flush())
	return b.Bytes()
}

// The corpus, read by pcapgo and by this package, as it is and as pcapng.
func TestCorpus(t *testing.T) {
	files, err := filepath.Glob(corpus)
	if err != nil || len(files) == 0 {
		t.Fatalf("no corpus: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		check(t, err)
		r, err := pcapgo.NewReader(bytes.NewReader(data))
		check(t, err)
		var want []Packet
		for {
			data, ci, err := r.ReadPacketData()
			if err == io.EOF {
				break
			}
			check(t, err)
			want = append(want, Packet{Data: data, Length: ci.Length, Time: ci.Timestamp})
		}
		got, err := readAll(data)
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if !reflect.DeepEqual(want, got) { // quicker than cmp, which shows the difference
			t.Errorf("%s: (-want +got)\n%s", file, cmp.Diff(want, got))
		}

		for i := range want {
			want[i].Interface = "wan 0"
		}
		got, err = readAll(asNg(t, want, pcapgo.NgInterface{Name: "wan 0", LinkType: layers.LinkTypeEthernet, TimestampResolution: 9}))
		if err != nil {
			t.Errorf("%s as pcapng: %v", file, err)
		}
		if !reflect.DeepEqual(want, got) {
			t.Errorf("%s as pcapng: (-want +got)\n%s", file, cmp.Diff(want, got))
		}
	}
}

// A file that is cut has every packet before the cut, and then an error unless it is cut
// between two packets.
func TestTruncated(t *testing.T) {
	packets := []Packet{
		{Data: []byte("one frame"), Length: 9, Time: time.Unix(1700000000, 0).UTC()},
		{Data: []byte("another frame"), Length: 1500, Time: time.Unix(1700000001, 0).UTC()},
	}
	var b bytes.Buffer
	w := pcapgo.NewWriter(&b)
	ends := map[string]map[int]int{"pcap": {}, "pcapng": {}} // packets before a whole file's end
	check(t, w.WriteFileHeader(65535, layers.LinkTypeEthernet))
	ends["pcap"][b.Len()] = 0
	for i, p := range packets {
		check(t, w.WritePacket(gopacket.CaptureInfo{Timestamp: p.Time, CaptureLength: len(p.Data), Length: p.Length}, p.Data))
		ends["pcap"][b.Len()] = i + 1
	}
	i := pcapgo.NgInterface{LinkType: layers.LinkTypeEthernet}
	for n := range len(packets) + 1 {
		ends["pcapng"][len(asNg(t, packets[:n], i))] = n
	}
	ng := asNg(t, packets, i)
	ends["pcapng"][int(binary.LittleEndian.Uint32(ng[4:]))] = 0 // behind the section header

	for format, data := range map[string][]byte{"pcap": b.Bytes(), "pcapng": ng} {
		whole := 0
		for n := range len(data) + 1 {
			got, err := readAll(data[:n])
			count, isEnd := ends[format][n]
			if isEnd {
				whole = max(whole, count)
			}
			if isEnd != (err == nil) {
				t.Errorf("%s cut at %d of %d: %v", format, n, len(data), err)
			}
			if len(got) != whole {
				t.Errorf("%s cut at %d of %d: %d packets, not %d", format, n, len(data), len(got), whole)
			}
		}
	}
}

// block returns a pcapng block in little endian with its body padded.
func block(kind uint32, body ...byte) []byte {
	for len(body)%4 != 0 {
		body = append(body, 0)
	}
	n := uint32(len(body) + 12)
	b := binary.LittleEndian.AppendUint32(nil, kind)
	b = binary.LittleEndian.AppendUint32(b, n)
	b = append(b, body...)
	return binary.LittleEndian.AppendUint32(b, n)
}

// words returns 32-bit words in little endian.
func words(w ...uint32) (b []byte) {
	for _, w := range w {
		b = binary.LittleEndian.AppendUint32(b, w)
	}
	return b
}

var (
	section  = block(blockSection, words(byteOrderMagic, 1, math.MaxUint32, math.MaxUint32)...)
	ethernet = block(blockInterface, words(linkEthernet, 0)...)
	// enhanced is a packet of interface 0 at 1 s with the data "abcd".
	enhanced = block(blockEnhanced, append(words(0, 0, 1_000_000, 4, 64), "abcd"...)...)
)

func described(option uint16, value ...byte) []byte {
	body := append(words(linkEthernet, 0), byte(option), byte(option>>8), byte(len(value)), 0)
	return block(blockInterface, append(body, value...)...)
}

func join(blocks ...[]byte) []byte { return bytes.Join(blocks, nil) }

func TestPcapng(t *testing.T) {
	at := func(t time.Time) []Packet { return []Packet{{Data: []byte("abcd"), Length: 64, Time: t.UTC()}} }
	second := at(time.Unix(1, 0))
	named := at(time.Unix(1, 0))
	named[0].Interface = "eth0"
	for name, tt := range map[string]struct {
		file []byte
		want []Packet
	}{
		"plain":               {join(section, ethernet, enhanced), second},
		"no packets":          {join(section, ethernet), nil},
		"unknown block":       {join(section, block(0xbad, 1, 2, 3), ethernet, enhanced), second},
		"second section":      {join(section, ethernet, section, ethernet, enhanced), second},
		"old packet":          {join(section, ethernet, block(blockPacket, append(words(7<<16, 0, 1_000_000, 4, 64), "abcd"...)...)), second},
		"simple packet":       {join(section, ethernet, block(blockSimple, append(words(4), "abcd"...)...)), []Packet{{Data: []byte("abcd"), Length: 4}}},
		"cut simple packet":   {join(section, block(blockInterface, words(linkEthernet, 4)...), block(blockSimple, append(words(64), "abcd"...)...)), []Packet{{Data: []byte("abcd"), Length: 64}}},
		"name":                {join(section, described(optionName, []byte("eth0")...), enhanced), named},
		"name too long":       {join(section, described(optionName, bytes.Repeat([]byte{'x'}, maxName+1)...), enhanced), second},
		"nanoseconds":         {join(section, described(optionResolution, 9), enhanced), at(time.Unix(0, 1_000_000))},
		"seconds":             {join(section, described(optionResolution, 0), enhanced), at(time.Unix(1_000_000, 0))},
		"power of two":        {join(section, described(optionResolution, 0x80|20), enhanced), at(time.Unix(0, 953674316))},
		"finest decimal":      {join(section, described(optionResolution, 19), enhanced), at(time.Unix(0, 0))},
		"finest power of two": {join(section, described(optionResolution, 0x80|63), enhanced), at(time.Unix(0, 0))},
		"offset":              {join(section, described(optionOffset, words(100, 0)...), enhanced), at(time.Unix(101, 0))},
		"offset back":         {join(section, described(optionOffset, words(math.MaxUint32, math.MaxUint32)...), enhanced), at(time.Unix(0, 0))},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := readAll(tt.file)
			if err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// The same in the other byte order.
func TestBigEndian(t *testing.T) {
	file := join(section, ethernet, enhanced)
	// All fields but the two 16-bit pairs and the packet's data are words.
	for i := 0; i < len(file); i += 4 {
		if string(file[i:i+4]) != "abcd" {
			binary.BigEndian.PutUint32(file[i:], binary.LittleEndian.Uint32(file[i:]))
		}
	}
	copy(file[12:], []byte{0, 1, 0, 0})             // version 1.0
	copy(file[len(section)+8:], []byte{0, 1, 0, 0}) // link type 1
	got, err := readAll(file)
	if err != nil || len(got) != 1 || string(got[0].Data) != "abcd" || got[0].Length != 64 || !got[0].Time.Equal(time.Unix(1, 0)) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestFaults(t *testing.T) {
	pcap := func(magic, version, link uint32) []byte { return words(magic, version, 0, 0, 65535, link) }
	const v24 = 4<<16 | 2
	for name, tt := range map[string]struct {
		file []byte
		want string
	}{
		"empty":            {nil, "too short"},
		"text":             {[]byte("this is certainly no capture file"), "no pcap or pcapng file"},
		"gzip":             {append([]byte{0x1f, 0x8b}, make([]byte, 30)...), "gzip: invalid header"},
		"cut gzip":         {[]byte{0x1f, 0x8b, 8}, "truncated"},
		"pcap version":     {pcap(magicMicroseconds, 3<<16|2, 1), "2.3, not 2.4"},
		"pcap wireless":    {pcap(magicMicroseconds, v24, 105), "all packets are of link type 105 (IEEE802_11)"},
		"pcap 257":         {pcap(magicMicroseconds, v24, 257), "all packets are of link type 257 (unknown)"},
		"pcap huge packet": {join(pcap(magicNanoseconds, v24, 1), words(0, 0, 1<<31, 1<<31)), "packet 1: "},
		"no byte order":    {block(blockSection, words(0, 1, 0, 0)...), "byte order"},
		"short section":    {block(blockSection, words(byteOrderMagic, 1)...), "section header is too short"},
		"version":          {block(blockSection, words(byteOrderMagic, 2, 0, 0)...), "2.0, not 1"},
		"block length":     {join(section, words(6, 7)), "truncated"},
		"odd length":       {join(section, words(6, 33, 0)), "33 bytes"},
		"huge block":       {join(section, words(6, math.MaxUint32-3, 0)), "4294967292 bytes"},
		"two lengths":      {join(section, append(bytes.Clone(enhanced[:len(enhanced)-4]), 99, 0, 0, 0)), "the lengths 36 and 99"},
		"too many":         {join(section, bytes.Repeat(ethernet, maxInterfaces+1)), "more than 4096 interfaces"},
		"second packet":    {join(section, ethernet, enhanced, enhanced[:10]), "packet 2: the file is truncated"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := readAll(tt.file); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, not %q", err, tt.want)
			}
		})
	}
}

// An error of the disk is no end of the file.
func TestReadError(t *testing.T) {
	broken := errors.New("disk on fire")
	for name, file := range map[string][]byte{
		"pcapng": join(section, ethernet), "pcap": words(magicMicroseconds, 4<<16|2, 0, 0, 65535, 1),
	} {
		r, err := NewReader(io.MultiReader(bytes.NewReader(file), failing{broken}))
		check(t, err)
		if _, err := r.Next(); !errors.Is(err, broken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// The seeds are short, because the fuzzer tries to shorten what it finds, for up
// to a minute each, before it goes on.
func FuzzReader(f *testing.F) {
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		for _, magic := range []uint32{0xa1b2c3d4, 0xa1b23c4d} {
			var file []byte
			for _, word := range []uint32{magic, 0, 0, 0, MaxPacket, 1, 1, 999_999, 4, 60} {
				file = order.AppendUint32(file, word)
			}
			order.(binary.ByteOrder).PutUint16(file[4:], 2)
			order.(binary.ByteOrder).PutUint16(file[6:], 4)
			file = append(file, "abcd"...)
			if packets, err := readAll(file); err != nil || len(packets) != 1 {
				f.Fatalf("seed %x: %d packets, %v", file, len(packets), err)
			}
			f.Add(file)
		}
	}
	f.Add(join(section, ethernet, enhanced, block(blockSimple, append(words(4), "abcd"...)...)))
	f.Add(join(section, described(optionResolution, 0x80|20), described(optionOffset, words(1, 1)...), enhanced))
	f.Add(join(section, described(optionName, []byte("eth0")...), block(blockPacket, append(words(0, 0, 1, 4, 4), "abcd"...)...)))
	f.Fuzz(func(t *testing.T, data []byte) {
		packets, _ := readAll(data)
		total := 0
		for _, p := range packets {
			total += len(p.Data)
			if len(p.Data) > MaxPacket || p.Length < len(p.Data) || len(p.Interface) > maxName {
				t.Errorf("%d bytes of %d on %q", len(p.Data), p.Length, p.Interface)
			}
			if y := p.Time.Year(); y < 1 || y > 9999 {
				t.Errorf("time %v", p.Time)
			}
		}
		if total > len(data) && data[0] != 0x1f { // gzip
			t.Errorf("%d bytes of packets in a file of %d", total, len(data))
		}
	})
}

// ReadFile reads what Reader reads, names a bad file in its error, and stops when the loop does.
func TestReadFile(t *testing.T) {
	files, err := filepath.Glob(corpus)
	if err != nil || len(files) == 0 {
		t.Fatalf("no corpus: %v", err)
	}
	data, err := os.ReadFile(files[0])
	check(t, err)
	cut := filepath.Join(t.TempDir(), "cut.pcap")
	check(t, os.WriteFile(cut, data[:len(data)-1], 0o600))
	whole, err := readAll(data)
	check(t, err)
	for i := range whole {
		whole[i].Number = i + 1
	}
	tests := []struct {
		file string
		want []Packet
		err  string
	}{
		{files[0], whole, ""},
		{cut, whole[:len(whole)-1], "read capture " + cut + ": packet " + strconv.Itoa(len(whole)) + ": the file is truncated"},
		{cut + "x", nil, "read capture: open " + cut + "x: no such file or directory"},
	}
	for _, tt := range tests {
		var got []Packet
		message := ""
		for p, err := range ReadFile(tt.file) {
			if err != nil {
				message += err.Error()
				continue
			}
			p.Data = bytes.Clone(p.Data)
			got = append(got, p)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" || message != tt.err {
			t.Errorf("%s: error %q, want %q; packets (-want +got):\n%s", tt.file, message, tt.err, diff)
		}
	}
	for range ReadFile(files[0]) {
		break // a second packet would panic
	}
}
