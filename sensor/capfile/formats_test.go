package capfile

import (
	"encoding/hex"
	"math"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A packet that cannot be read is skipped and counted, and the one after it is read.
func TestSkips(t *testing.T) {
	pcap := words(magicMicroseconds, 4<<16|2, 0, 0, 65535, linkEthernet)
	good := join(section, ethernet, enhanced)
	for name, tt := range map[string]struct {
		file []byte
		want string
	}{
		"pcap more than sent": {join(pcap, words(0, 0, 4, 3), []byte("abcd"), words(1, 0, 4, 64), []byte("abcd")), "with more captured bytes than it had"},
		"no interface":        {join(section, enhanced, good), "of an interface that the file does not describe"},
		"other section":       {join(section, ethernet, section, enhanced, good), "of an interface that the file does not describe"},
		"cooked":              {join(section, block(blockInterface, words(113, 0)...), enhanced, good), "that ends before its cooked header does"},
		"short interface":     {join(section, block(blockInterface, 1), enhanced, good), "of an interface whose description is too short"},
		"long option":         {join(section, block(blockInterface, append(words(1, 0), 2, 0, 255, 255)...), enhanced, good), "of an interface whose description has an option that is too long"},
		"resolution":          {join(section, described(optionResolution, 20), enhanced, good), "of an interface whose time resolution is impossible"},
		"binary resolution":   {join(section, described(optionResolution, 0x80|64), enhanced, good), "of an interface whose time resolution is impossible"},
		"no resolution":       {join(section, described(optionResolution), enhanced, good), "of an interface whose time resolution is impossible"},
		"short offset":        {join(section, described(optionOffset, 1), enhanced, good), "of an interface whose time offset is not 8 bytes long"},
		"late":                {join(section, described(optionOffset, words(math.MaxUint32, math.MaxInt32)...), enhanced, good), "whose time is not between the years 1970 and 9999"},
		"early":               {join(section, described(optionOffset, words(0, 1<<31)...), enhanced, good), "whose time is not between the years 1970 and 9999"},
		"short packet":        {join(section, ethernet, block(blockEnhanced, 0), good), "whose block is too short"},
		"short simple":        {join(section, ethernet, block(blockSimple), good), "whose block is too short"},
		"too much captured":   {join(section, ethernet, block(blockEnhanced, words(0, 0, 0, 5, 5, 0)...), good), "whose length exceeds that of its block"},
		"more than sent":      {join(section, ethernet, block(blockEnhanced, words(0, 0, 0, 4, 3, 0)...), good), "with more captured bytes than it had"},
		"wireless":            {join(section, block(blockInterface, words(105, 0)...), enhanced, good), "of link type 105 (IEEE802_11)"},
	} {
		t.Run(name, func(t *testing.T) {
			packets, skipped, err := readSkipping(tt.file)
			if diff := cmp.Diff([]Skipped{{tt.want, 1}}, skipped); diff != "" || err != nil || len(packets) != 1 || string(packets[0].Data) != "abcd" {
				t.Errorf("%d packets, %v, skipped (-want +got):\n%s", len(packets), err, diff)
			}
		})
	}
	var many []byte
	for i := range 100 {
		many = append(many, join(section, block(blockInterface, words(uint32(300+i), 0)...), enhanced)...)
	}
	if _, skipped, err := readSkipping(many); err != nil || len(skipped) != maxReasons || skipped[maxReasons-1].Packets != 100-maxReasons+1 {
		t.Errorf("%v, %v", skipped, err)
	}
}

// The captures of tcpdump on all interfaces are Ethernet frames of these, and compression and foreign packets change nothing.
func TestFormats(t *testing.T) {
	const peer, own = "020000000003", "020000000001"
	frame := func(p Packet) string { return p.Interface + " " + hex.EncodeToString(p.Data[:14]) }
	cooked := []string{
		"if3 333300000002020000000103" + "86dd", "if2 3333ff000001" + peer + "86dd", "if2 000000000000" + own + "86dd", "if2 000000000000" + peer + "86dd",
		"if2 000000000000" + own + "86dd", "if2 3333ff000077" + own + "86dd", "if2 3333ff000077" + own + "86dd",
	}
	loopback := Skipped{"of interfaces that are not Ethernet (ARPHRD 772)", 2}
	for name, want := range map[string]struct {
		packets int
		last    []string
		skipped []Skipped
	}{
		"any-sll2.pcap":   {7, cooked, []Skipped{loopback}},
		"any-sll.pcap":    {7, nil, []Skipped{loopback}},
		"mixed.pcapng":    {13, cooked, []Skipped{{"of link type 105 (IEEE802_11)", 2}, loopback}},
		"mixed.pcapng.gz": {13, cooked, []Skipped{{"of link type 105 (IEEE802_11)", 2}, loopback}},
	} {
		data, err := os.ReadFile("../testdata/formats/" + name)
		check(t, err)
		packets, skipped, err := readSkipping(data)
		if diff := cmp.Diff(want.skipped, skipped); diff != "" || err != nil || len(packets) != want.packets {
			t.Errorf("%s: %d packets, %v, skipped (-want +got):\n%s", name, len(packets), err, diff)
			continue
		}
		var last []string
		for _, p := range packets[len(packets)-len(want.last):] {
			last = append(last, frame(p))
		}
		if diff := cmp.Diff(want.last, last); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
