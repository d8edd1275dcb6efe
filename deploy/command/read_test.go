package command

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/schemas/process"
)

// Reading a capture file ends with a summary, which lists what could not be read. The exit status is 1 for a file that is damaged, or in
// which nothing can be read.
func TestReadFiles(t *testing.T) {
	const formats, corpus = "../../sensor/testdata/formats/", "../../sensor/testdata/corpus/"
	whole, err := os.ReadFile(corpus + "thc-kill_router6.pcap")
	if err != nil {
		t.Fatal(err)
	}
	zipped, err := os.ReadFile(formats + "mixed.pcapng.gz")
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, data []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	wireless := bytes.Clone(whole)
	wireless[20] = 105
	for name, test := range map[string]struct {
		file   string
		status int
		want   string
	}{
		"mixed": {formats + "mixed.pcapng.gz", process.ExitOK, `17 frames, 11 of them Neighbor Discovery, on 3 links, from 6 stations
  ALERTS  SEVERITY  RULE
       6  info      new-station       New station
       1  info      new-router        First router on the link: it is learned
       1  info      ra-lifetime-zero  Router Advertisement of a default router with router lifetime 0: hosts stop using
                  it by default
not read in FILE: 2 packets of link type 105 (IEEE802_11)
not read in FILE: 2 packets of interfaces that are not Ethernet (ARPHRD 772)
`},
		"cut": {write("cut.pcap", whole[:len(whole)-1]), process.ExitFailure, `2 frames, 2 of them Neighbor Discovery, on 1 link, from 1 station
  ALERTS  SEVERITY  RULE
       1  warning   ra-eui64-mismatch  Router Advertisement from a link-local address derived from another Ethernet
                  address than the sender's: forged, or the router changed its Ethernet address
       1  info      new-router         First router on the link: it is learned
       1  info      new-station        New station
       1  info      ra-preference      Router Advertisement or route with an invalid preference
ndmon: read FILE: packet 3: the file is truncated
`},
		"cut gzip": {write("cut.pcapng.gz", zipped[:30]), process.ExitFailure, "ndmon: read FILE: packet 1: the file is truncated\n"},
		"wireless": {write("wireless.pcap", wireless), process.ExitFailure, "ndmon: read FILE: all packets are of link type 105 (IEEE802_11)\n"},
		"nothing":  {corpus + "thc-toobig6.pcap", process.ExitOK, "3 frames, 0 of them Neighbor Discovery, on 0 links, from 0 stations\nno alerts\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			status := process.Execute(New(false), []string{"-l", "off", "-r", test.file}, &stdout, &stderr)
			got := regexp.MustCompile(regexp.QuoteMeta(test.file)).ReplaceAllString(stderr.String(), "FILE")
			if diff := cmp.Diff(test.want, got); diff != "" || status != test.status {
				t.Errorf("exit status %d (-want +got):\n%s", status, diff)
			}
		})
	}
}
