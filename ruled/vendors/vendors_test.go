package vendors

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/schemas"
)

func mac(t testing.TB, s string) schemas.MAC {
	t.Helper()
	m, err := schemas.ParseMAC(s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestBuiltin(t *testing.T) {
	table := Builtin()
	if table.Len() < 45_000 {
		t.Errorf("%d prefixes, want at least 45,000", table.Len())
	}
	if day, err := time.Parse(time.DateOnly, table.Date()); err != nil || day.Year() < 2022 {
		t.Errorf("date %q, want a day of 2022 or later", table.Date())
	}
	for _, test := range []struct{ mac, want string }{
		{"00:00:0c:01:02:03", "Cisco Systems, Inc"},
		{"00:1b:21:ff:ff:ff", "Intel Corporate"},
		{"fc:fe:c2:00:00:00", "Invensys Controls UK Limited"},
		{"00:55:da:0f:ff:ff", "Shinko Technos co.,ltd."}, // 28 bits
		{"20:85:93:b0:00:01", "IOG Products LLC"},
		{"70:b3:d5:f2:f0:00", "TELEPLATFORMS"}, // 36 bits
		{"70:b3:d5:f2:ff:ff", "TELEPLATFORMS"},
		{"00:50:c2:7d:50:00", "DEUTA-WERKE GmbH"}, // of the IAB registry
		{"00:00:00:00:00:01", "XEROX CORPORATION"},
		{"00:00:00:00:00:00", ""},
		{"52:54:00:12:34:56", ""}, // locally administered
		{"02:60:8c:00:00:01", ""},
		{"33:33:00:00:00:01", ""},
		{"01:00:0c:cc:cc:cc", ""},
		{"ff:ff:ff:ff:ff:ff", ""},
		{"fc:ff:ff:00:00:00", ""}, // not assigned
	} {
		if got := table.Lookup(mac(t, test.mac)); got != test.want {
			t.Errorf("%s: %q, want %q", test.mac, got, test.want)
		}
	}
}

// The table as it lies in the binary is what Append writes of it, so in order and without lines that are left out.
func TestBuiltinIsCanonical(t *testing.T) {
	table := Builtin()
	again, err := Parse("again", table.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	if again.Len() != table.Len() || !bytes.Equal(again.Append(nil), table.Append(nil)) {
		t.Error("the table is not the same when it is written and read again")
	}
	if len(builtin) > 700<<10 {
		t.Errorf("vendors.txt.gz has %d bytes", len(builtin))
	}
}

func TestParse(t *testing.T) {
	for _, test := range []struct {
		name string
		file string
		// want is what Append writes.
		want string
		date string
	}{
		{
			name: "manuf",
			file: "# Copyright 1998 Gerald Combs\n" +
				"# https://standards-oui.ieee.org/oui/oui.csv:\n" +
				"#   Last-Modified: Sun, 25 Aug 2024 08:01:19 GMT\n" +
				"#   Last-Modified: Sat, 24 Aug 2024 08:01:19 GMT\n\n" +
				"00:00:0C\tCisco\tCisco Systems, Inc\n" +
				"00:00:13\tCamex\n" +
				"00:00:18\tWebsterC\tWebster Computer Corporation\t# Appletalk/Ethernet Gateway\n" +
				"00:00:D1\tAdaptec\t\tAdaptec, Inc.\t# \"Nodem\" product\n" +
				"00:00:D2\tSbe\t\t# of the year 2001-02-03\n" +
				"00:50:C2:00:00:00/36\tTLSInter\tT.L.S. Corp.\n" +
				"00-55-DA-00-00-00/28\tShinkoTe\tShinko Technos co.,ltd.\n" +
				"00.00.0E Fujitsu # Fujitsu Limited\n" +
				"00:00:0f   Next Inc. #1\n" +
				"00:00:10/24 Sytek\n" +
				"00:00:0C:07:AC:00/40\tAll-HSRP-routers\n" +
				"00:E0:2B:00:00:04\tEDP\n" +
				"01:0E:CF\tPN-MC\t\tPROFINET Multicast\n" +
				"02:04:06\tBbnInter\tBBN\t# internal usage (not registered)\n",
			want: "00000C\tCisco Systems, Inc\n00000E\tFujitsu\n00000F\tNext Inc. #1\n000010\tSytek\n000013\tCamex\n" +
				"000018\tWebster Computer Corporation\n0000D1\tAdaptec, Inc.\n0000D2\tSbe\n0050C2000\tT.L.S. Corp.\n" +
				"0055DA0\tShinko Technos co.,ltd.\n",
			date: "2024-08-25",
		},
		{
			name: "oui.txt",
			file: "OUI/MA-L                                                    Organization                                 \r\n" +
				"company_id                                                  Organization                                 \r\n" +
				"                                                            Address                                      \r\n\r\n" +
				"00-22-72   (hex)\t\tAmerican Micro-Fuel Device Corp.\r\n" +
				"002272     (base 16)\t\tAmerican Micro-Fuel Device Corp.\r\n" +
				"\t\t\t\t110001 Buchanan Loop\r\n\t\t\t\tFACADE\tWA\r\n\t\t\t\tUS\r\n\r\n" +
				"00-00-0C   (hex)\t\tCisco Systems, Inc\r\n\r\n" +
				"00-00-0D   (hex)\t\tFibronics Ltd.",
			want: "00000C\tCisco Systems, Inc\n00000D\tFibronics Ltd.\n002272\tAmerican Micro-Fuel Device Corp.\n",
		},
		{
			name: "mam.txt and oui36.txt",
			file: "74-1A-E0   (hex)\t\tPrivate\n900000-9FFFFF     (base 16)\t\tPrivate\n\n" +
				"70-B3-D5   (hex)\t\tTELEPLATFORMS\nF2F000-F2FFFF     (base 16)\t\tTELEPLATFORMS\n\t\t\t\tRU\n\n" +
				"70-B3-D5   (hex)\t\tNo part\n719000-719FFE     (base 16)\t\tNo part\n" +
				"70-B3-D5   (hex)\t\tNo part\n719-71A     (base 16)\t\tNo part\n" +
				"70-B3-D5   (hex)\t\tNo part\n71900x-719FFF     (base 16)\t\tNo part\n" +
				"70-B3-D5   (hex)\t\tNo part\n719000-719FFx     (base 16)\t\tNo part\n" +
				"719000-719FFF     (base 16)\t\tOf no block\n",
			want: "70B3D5F2F\tTELEPLATFORMS\n741AE09\tPrivate\n",
		},
		{
			name: "CSV",
			file: "# 2022-08-27\nRegistry,Assignment,Organization Name,Organization Address\r\n" +
				"MA-L,00000C,\"Cisco Systems, Inc\",\"170 West\r\nTasman Drive\"\r\n" +
				"MA-L,0CB937,\"Ubee \"\"B\"\" #1\",x\n" +
				"Registry,Assignment,Organization Name,Organization Address\n" +
				"MA-M,741AE09,Private,\nMA-S,70B3D5F2F,TELEPLATFORMS\nMA-L,00000D\nMA-L,00000E,,\nMA-L,xyz,Faulty,\n" +
				"CID,0A2A33,Digistor,\nIAB,0050C27D5,DEUTA-WERKE GmbH,DE\nMA-L,70B3D5,IEEE Registration Authority,US\n",
			want: "00000C\tCisco Systems, Inc\n0050C27D5\tDEUTA-WERKE GmbH\n0CB937\tUbee \"B\" #1\n" +
				"70B3D5F2F\tTELEPLATFORMS\n741AE09\tPrivate\n",
			date: "2022-08-27",
		},
		{
			name: "CSV without a heading",
			file: "\ufeffMA-L,00000C,Cisco,\n",
			want: "00000C\tCisco\n",
		},
		{
			name: "nmap-mac-prefixes",
			file: "# $Id: nmap-mac-prefixes 38442 2022-08-31 22:53:46Z dmiller $ generated\n" +
				"00000C Cisco Systems\n70b3d5f2f Teleplatforms # 1\n741AE09 Private\n525400 QEMU virtual NIC\n",
			want: "00000C\tCisco Systems\n70B3D5F2F\tTeleplatforms # 1\n741AE09\tPrivate\n",
			date: "2022-08-31",
		},
		{
			name: "our own",
			file: "# 2024-08-25 our own\n00000C\tCisco Systems, Inc\n# 2030-01-01\n000018\t#1 # (hex)\n",
			want: "00000C\tCisco Systems, Inc\n000018\t#1 # (hex)\n",
			date: "2024-08-25",
		},
		{
			name: "of two lines for a prefix the last holds",
			file: "00000C\tFirst\n00000D\tOther\n00:00:0C\tLast\n0000:0C\tNone\n00000D\tIEEE Registration Authority\n",
			want: "00000C\tLast\n",
		},
		{
			name: "faulty prefixes among good ones",
			file: "00000\tfive\n00000000\teight\n00:00:0C/24x\tmask\n00:00:0C/\tmask\n00:00:0C/-24\tmask\n00:00:0C/28\tmask\n" +
				"00:00:0C:00:00:00/25\tmask\n00:00:0C:00:00:00/99999999999999999999\tmask\n00:00:0C:00:00:00:00/24\tlong\n" +
				":00:00:0C\tx\n00:00:0C:\tx\n00:00-0C\tx\n00::00:0C\tx\n00000C:\tx\n000:00:0C\tx\n/24\tx\n/\tx\n" +
				"00000C\n00000C\t\n00000C \t \n0000GC\tx\n00000C\x00\tx\n00000D\tgood\n",
			want: "00000D\tgood\n",
		},
		{
			name: "names that cannot be printed",
			file: "00000C\ta\x00b\xff\xc3\x1b[31m\u202ec\u2028d\n00000D\t  \x01  Müller \v\f & \u00a0 Söhne  \n",
			want: "00000C\ta\ufffdb\ufffd\ufffd\ufffd[31m\ufffdc d\n00000D\t\ufffd Müller & Söhne\n",
		},
		{
			name: "long names",
			file: "00000C\t" + strings.Repeat("ü", 1<<20) + "\n00000D\t" + strings.Repeat("x", 127) + " y\n00000E\t" +
				strings.Repeat("x", 127) + "ü\n",
			want: "00000C\t" + strings.Repeat("ü", 64) + "\n00000D\t" + strings.Repeat("x", 127) + "\n00000E\t" +
				strings.Repeat("x", 127) + "\n",
		},
		{
			name: "dates that are none",
			file: "# 2024-02-30 99 Foo 2024 12024-01-011\n# " + strings.Repeat("x", 1000) + " 2024-01-01\n" +
				strings.Repeat("#\n", maxComments) + "# 2024-01-01\n00000C\tCisco\n",
			want: "00000C\tCisco\n",
		},
		{
			name: "no vendor but those left out",
			file: "525400\tQEMU\n",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			table, err := Parse("vendors", []byte(test.file))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, string(table.Append(nil))); diff != "" {
				t.Error(diff)
			}
			if table.Date() != test.date {
				t.Errorf("date %q, want %q", table.Date(), test.date)
			}
			if want := strings.Count(test.want, "\n"); table.Len() != want {
				t.Errorf("%d prefixes, want %d", table.Len(), want)
			}
		})
	}
}

func TestParseError(t *testing.T) {
	for _, test := range []struct{ name, file, want string }{
		{"nothing", "", "oui: no line names a vendor"},
		{"comments", "# 2024-01-01\n\n", "oui: no line names a vendor"},
		{"only a heading", "Registry,Assignment,Organization Name,Organization Address\n", "oui: no line names a vendor"},
		{"text", "\n# <\n<html>\n", `oui:3: "<html>" is not a prefix of an Ethernet address and its vendor, such as "00:00:0C\tCisco Systems, Inc"; no line of the file is`},
		{"UTF-16", "\xff\xfe0\x000\x00", `oui:1: "\xff\xfe0\x000\x00" is not a prefix of an Ethernet address and its vendor, such as "00:00:0C\tCisco Systems, Inc"; no line of the file is`},
		{"a huge line", strings.Repeat("0", 1<<20), `oui:1: "` + strings.Repeat("0", 80) + `"… is not a prefix of an Ethernet address and its vendor, such as "00:00:0C\tCisco Systems, Inc"; no line of the file is`},
		{"CSV", "MA-L,,Cisco,x\n", `oui:1: "MA-L,,Cisco" is not a prefix of an Ethernet address and its vendor, such as "00:00:0C\tCisco Systems, Inc"; no line of the file is`},
		{"a quotation without end", "# \"\nMA-L,00000C,Cisco,x\nMA-L,00000D,\"Fibronics,x\nMA-L,00000E,Fujitsu,x\n", `oui:3: broken CSV: record on line 3; parse error on line 4, column 23: extraneous or missing " in quoted-field`},
		{"a quotation that is too long", "MA-L,00000D,\"Fibronics,x\n" + strings.Repeat("x\n", maxRecord/2), "oui:1: broken CSV: a record of more than 65536 bytes; does a quotation not end?"},
		{"too many columns", "MA-L,00000C,Cisco,x\nMA-L,00000C" + strings.Repeat(",", 1<<20), "oui:2: broken CSV: a record of more than 65536 bytes; does a quotation not end?"},
		{"too many lines", strings.Repeat("00000C x\n", maxPrefixes+1), "oui:1048577: more than 1048576 prefixes"},
		{"too many bytes", strings.Repeat("\n", MaxSize+1), "oui: larger than 67108864 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			table, err := Parse("oui", []byte(test.file))
			if err == nil {
				t.Fatalf("no error but %d prefixes", table.Len())
			}
			if diff := cmp.Diff(test.want, err.Error()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLookup(t *testing.T) {
	table, err := Parse("vendors", []byte("00000C\tL\n00000C8\tM\n00000C8FF\tS\n00000C9\tM9\n00000D001\tS alone\nFCFFFFFFF\tlast\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ mac, want string }{
		{"00:00:0b:ff:ff:ff", ""},
		{"00:00:0c:00:00:00", "L"},
		{"00:00:0c:7f:ff:ff", "L"},
		{"00:00:0c:80:00:00", "M"},
		{"00:00:0c:8f:ef:ff", "M"},
		{"00:00:0c:8f:f0:00", "S"},
		{"00:00:0c:8f:ff:ff", "S"},
		{"00:00:0c:9f:ff:ff", "M9"},
		{"00:00:0c:a0:00:00", "L"},
		{"00:00:0c:ff:ff:ff", "L"},
		{"00:00:0d:00:0f:ff", ""},
		{"00:00:0d:00:10:00", "S alone"},
		{"00:00:0d:00:20:00", ""},
		{"02:00:0c:00:00:00", ""},
		{"01:00:0c:00:00:00", ""},
		{"fc:ff:ff:ff:ff:ff", "last"},
	} {
		if got := table.Lookup(mac(t, test.mac)); got != test.want {
			t.Errorf("%s: %q, want %q", test.mac, got, test.want)
		}
	}
	if got := new(Table).Lookup(mac(t, "00:00:0c:00:00:00")); got != "" {
		t.Errorf("the zero table: %q", got)
	}
}

// naive is the lookup as its definition says it.
func naive(table *Table) func(schemas.MAC) string {
	byPrefix := make(map[string]string)
	for line := range strings.Lines(string(table.Append(nil))) {
		prefix, vendor, _ := strings.Cut(line, "\t")
		byPrefix[prefix] = strings.TrimSuffix(vendor, "\n")
	}
	return func(mac schemas.MAC) string {
		if mac[0]&3 != 0 || mac == (schemas.MAC{}) {
			return ""
		}
		digits := fmt.Sprintf("%012X", mac.Uint64())
		for _, n := range []int{9, 7, 6} {
			if vendor, ok := byPrefix[digits[:n]]; ok {
				return vendor
			}
		}
		return ""
	}
}

func TestLookupAgainstNaive(t *testing.T) {
	table := Builtin()
	want := naive(table)
	random := rand.New(rand.NewPCG(1, 2))
	for _, m := range addresses(table, random, 20_000) {
		if got := table.Lookup(m); got != want(m) {
			t.Fatalf("%s: %q, want %q", m, got, want(m))
		}
		m[random.IntN(6)]++ // next to it
		if got := table.Lookup(m); got != want(m) {
			t.Fatalf("%s: %q, want %q", m, got, want(m))
		}
	}
}

// addresses returns addresses of random prefixes of the table.
func addresses(table *Table, random *rand.Rand, n int) []schemas.MAC {
	list := make([]schemas.MAC, n)
	for i := range list {
		k := table.keys[random.IntN(len(table.keys))]
		number := uint64(k)>>keyShift<<(48-maxBits) | random.Uint64N(1<<(48-k.bits()))
		for j := range list[i] {
			list[i][j] = byte(number >> (40 - 8*j))
		}
	}
	return list
}

func TestLookupDoesNotAllocate(t *testing.T) {
	table := Builtin()
	known, unknown := mac(t, "00:00:0c:01:02:03"), mac(t, "fc:ff:ff:00:00:00")
	if n := testing.AllocsPerRun(100, func() {
		table.Lookup(known)
		table.Lookup(unknown)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"# 2024-08-25\n00:00:0C\tCisco\tCisco Systems, Inc\t# x\n70:B3:D5:00:00:00/36\tT\n00-55-DA-00-00-00/28 S # x\n",
		"00-22-72   (hex)\t\tAmerican\r\n002272     (base 16)\t\tAmerican\r\n\t\t\t\tUS\r\n",
		"70-B3-D5   (hex)\t\tT\nF2F000-F2FFFF     (base 16)\t\tT\n00-00-0C\t(hex)\tx\n",
		"Registry,Assignment,Organization Name,Organization Address\nMA-L,00000C,\"Cisco, \"\"Inc\",\"a\nb\"\n# \"\nMA-S,70B3D5F2F,#1 # x\n",
		"# $Id: nmap-mac-prefixes 38442 2022-08-31 22:53:46Z dmiller $\n00000C Cisco\n00000C8 Part\n00000C8FF Part of it\n",
		"\ufeff00000C\t\xff\x00\u202e\u00a0x\n00000C\tx\n",
		"MA-L,00000C,\"",
		"00000C\t(hex) x\n00-00-0D (hex)\n00000D (base 16) # x\n000000-0FFFFF (base 16)\n",
	} {
		f.Add([]byte(seed), []byte{0, 0, 0xc, 0x8f, 0xf0, 1})
	}
	f.Fuzz(func(t *testing.T, data, address []byte) {
		table, err := Parse("fuzz", data)
		if err != nil {
			return
		}
		text := table.Append(nil)
		for line := range strings.Lines(string(text)) {
			_, vendor, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
			if vendor == "" || len(vendor) > maxName || !utf8.ValidString(vendor) ||
				strings.ContainsFunc(vendor, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("vendor %q", vendor)
			}
		}
		if table.Len() > 0 {
			again, err := Parse("again", text)
			if err != nil {
				t.Fatalf("what Append wrote is refused: %v", err)
			}
			if diff := cmp.Diff(string(text), string(again.Append(nil))); diff != "" {
				t.Error(diff)
			}
		}
		var m schemas.MAC
		copy(m[:], address)
		want := naive(table)
		if got := table.Lookup(m); got != want(m) {
			t.Errorf("%s: %q, want %q", m, got, want(m))
		}
		for _, k := range table.keys[:min(len(table.keys), 10)] {
			number := uint64(k) >> keyShift << (48 - maxBits)
			copy(m[:], address)
			for j := range m {
				m[j] |= byte(number >> (40 - 8*j))
			}
			if got := table.Lookup(m); got != want(m) {
				t.Errorf("%s: %q, want %q", m, got, want(m))
			}
		}
	})
}
