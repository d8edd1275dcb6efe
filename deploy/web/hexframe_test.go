package web

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// frameBytes is an NS, which has bytes that read like characters of hexadecimal.
func frameBytes() []byte {
	b, _ := hex.DecodeString("3333ff000042020000000001" + "86dd" + "6000000000203aff" + "fe800000000000000000000000000001" + "ff0200000000000000000001ff000042" +
		"8700" + "6162" + "00000000" + "20010db8000000000000000000000042" + "0101020000000001")
	return b
}

// dump prints bytes with offsets as a program does.
func dump(b []byte, line func(offset int, part []byte, text string) string) string {
	var s strings.Builder
	for at := 0; at < len(b); at += 16 {
		part := b[at:min(at+16, len(b))]
		text := strings.Map(func(r rune) rune {
			if r < ' ' || r > '~' {
				return '.'
			}
			return r
		}, string(bytes.Runes(part)))
		s.WriteString(line(at, part, text) + "\n")
	}
	return s.String()
}

// pairs prints bytes in groups of n.
func pairs(b []byte, n int) string {
	var groups []string
	for at := 0; at < len(b); at += n {
		groups = append(groups, hex.EncodeToString(b[at:min(at+n, len(b))]))
	}
	return strings.Join(groups, " ")
}

func TestParseFrame(t *testing.T) {
	frame := frameBytes()
	tcpdump := dump(frame, func(at int, part []byte, _ string) string { return fmt.Sprintf("\t0x%04x:  %s", at, pairs(part, 2)) })
	for name, text := range map[string]string{
		"digits":      hex.EncodeToString(frame),
		"capitals":    strings.ToUpper(hex.EncodeToString(frame)),
		"colons":      strings.ReplaceAll(pairs(frame, 1), " ", ":"),
		"escapes":     `\x` + strings.ReplaceAll(pairs(frame, 1), " ", `\x`),
		"C":           "0x" + strings.ReplaceAll(pairs(frame, 1), " ", ", 0x"),
		"lines":       pairs(frame[:40], 1) + "\r\n" + pairs(frame[40:], 1) + "\r\n",
		"tcpdump -xx": "12:00:00.000000 IP6 fe80::1 > ff02::1:ff00:42: ICMP6, neighbor solicitation, who has 2001:db8::42, length 32\n" + tcpdump,
		"tcpdump -XX": dump(frame, func(at int, part []byte, text string) string {
			return fmt.Sprintf("\t0x%04x:  %-39s  %s", at, pairs(part, 2), text)
		}),
		"Wireshark": dump(frame, func(at int, part []byte, text string) string {
			return fmt.Sprintf("%04x   %-47s   %s", at, pairs(part, 1), text)
		}),
		"tshark": dump(frame, func(at int, part []byte, text string) string {
			return fmt.Sprintf("%04x  %-47s   %s", at, pairs(part, 1), text)
		}),
		"xxd by hand": dump(frame, func(at int, part []byte, text string) string {
			return fmt.Sprintf("%08x: %-39s  %s", at, pairs(part, 2), text)
		}),
		"hexdump -C":   hex.Dump(frame),
		"null address": pairs(append([]byte{0, 0, 0x5e, 0}, frame[4:]...), 2),
	} {
		want := frame
		if name == "null address" {
			want = append([]byte{0, 0, 0x5e, 0}, frame[4:]...)
		}
		if got, err := parseFrame(text); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v\n%x, want\n%x\n%s", name, err, got, want, text)
		}
	}
	if path, err := exec.LookPath("xxd"); err == nil {
		c := exec.CommandContext(t.Context(), path)
		c.Stdin = bytes.NewReader(frame)
		out, err := c.Output()
		must(t, err)
		if got, err := parseFrame(string(out)); err != nil || !bytes.Equal(got, frame) {
			t.Errorf("xxd: %v\n%x\n%s", err, got, out)
		}
	}
	for text, want := range map[string]string{
		"": "empty", " \n": "empty", "xyz": "not hexadecimal", "123": "not hexadecimal", tcpdump + tcpdump: "more than one frame",
		strings.Replace(tcpdump, "0x0010", "0x0020", 1): "comes after 16 bytes", strings.Repeat("00", maxFrame+1): "more than 65536 bytes",
		"0x0000:  33 3": "offset 0000",
	} {
		if _, err := parseFrame(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", text, err, want)
		}
	}
}

func FuzzParseFrame(f *testing.F) {
	f.Add(hex.Dump(frameBytes()))
	f.Add("0000   33 33   33\n0x0010: 3")
	f.Fuzz(func(_ *testing.T, text string) { parseFrame(text) })
}

// A frame is explained on a link, and by an alert.
func TestWhy(t *testing.T) {
	t.Parallel()
	site := full(t)
	_, body := site.post("/why", "frame="+strings.ReplaceAll(hex.Dump(frameBytes()), "\n", "%0A")+"&on="+"r1"+"&direction=out")
	for _, want := range []string{"rules match", "NS fe80::1", "nd.ns.targetaddress", "does not hold", "the ICMPv6 checksum is wrong"} {
		if !strings.Contains(body, want) {
			t.Errorf("the answer lacks %q:\n%s", want, body)
		}
	}
	for frame, want := range map[string]string{"": "It is empty", "00": "not Neighbor Discovery", strings.Repeat("ff", 100): "not Neighbor Discovery"} {
		if answer, body := site.post("/why", "frame="+frame); answer.StatusCode != 400 || !strings.Contains(strings.ToLower(body), strings.ToLower(want)) {
			t.Errorf("%q: %s, want %q", frame, answer.Status, want)
		}
	}
	if _, body := site.get("/why?alert=1"); !strings.Contains(body, "Alert 1") || !strings.Contains(body, "<strong>yes</strong>") {
		t.Errorf("the alert is not explained:\n%s", body)
	}
}
