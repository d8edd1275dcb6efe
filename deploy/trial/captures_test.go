package trial

import (
	"bufio"
	"cmp"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ndmon/ndmon/ruled/link"
	"github.com/ndmon/ndmon/ruled/link/router"
	"github.com/ndmon/ndmon/ruled/rulefile"
	"github.com/ndmon/ndmon/ruled/vendors"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/sensor/capfile"
	"github.com/ndmon/ndmon/sensor/decode"
)

// The two corpora, each a folder with a manifest.
const (
	toolsFolder = "../../sensor/testdata/corpus"
	livesFolder = "testdata/captures"
)

// capture is a capture file and its row in the manifest.
type capture struct {
	name    string // in the folder, without .pcap
	path    string
	class   string
	frames  int
	from    int // first frame of the attack
	command string
	remark  string
	routers []router.Router
}

// harmless reports whether the capture is of honest traffic.
func (c capture) harmless() bool { return strings.HasPrefix(c.class, "harmless") }

// rowsOf returns the cells of the rows of the table in a manifest.
func rowsOf(t *testing.T, folder string, columns int) [][]string {
	t.Helper()
	f, err := os.Open(filepath.Join(folder, "MANIFEST.md"))
	must(t, err)
	defer f.Close()
	var rows [][]string
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if !strings.HasPrefix(lines.Text(), "| `") {
			continue
		}
		text := strings.ReplaceAll(strings.Trim(lines.Text(), "| "), `\|`, "\x00")
		cells := strings.Split(text, "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(strings.ReplaceAll(cells[i], "\x00", `\|`))
		}
		cells = append(cells, make([]string, max(0, columns-len(cells)))...)
		if len(cells) != columns {
			t.Fatalf("%s: %d columns instead of %d: %s", f.Name(), len(cells), columns, lines.Text())
		}
		rows = append(rows, cells)
	}
	must(t, lines.Err())
	return rows
}

// toolCaptures returns the captures of sensor/testdata/corpus.
func toolCaptures(t *testing.T) []capture {
	t.Helper()
	router := routersOf(t, "02:00:00:00:00:04 fe80::ff:fe00:4 2001:db8:1::/64")
	var all []capture
	for _, row := range rowsOf(t, toolsFolder, 7) {
		all = append(all, newCapture(t, toolsFolder, row[0], capture{
			class: row[1], frames: number(t, row[2]), from: 1, command: row[5], remark: row[6], routers: router,
		}))
	}
	return all
}

// lifeCaptures returns the captures of deploy/trial/testdata/captures.
func lifeCaptures(t *testing.T) []capture {
	t.Helper()
	var all []capture
	for _, row := range rowsOf(t, livesFolder, 7) {
		c := capture{class: row[1], frames: number(t, row[2]), from: 1, command: row[4], remark: row[6], routers: routersOf(t, row[5])}
		if !c.harmless() {
			c.from = number(t, row[3])
		}
		all = append(all, newCapture(t, livesFolder, row[0], c))
	}
	return all
}

func newCapture(t *testing.T, folder, file string, c capture) capture {
	t.Helper()
	file = strings.Trim(file, "`")
	c.name, c.path = strings.TrimSuffix(filepath.Base(file), ".pcap"), filepath.Join(folder, file)
	return c
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	must(t, err)
	return n
}

// routersOf reads the routers in a manifest. It does not have their parameters, so
// these are not compared.
func routersOf(t *testing.T, text string) []router.Router {
	t.Helper()
	if text == "" {
		return nil
	}
	var all []router.Router
	for _, part := range strings.Split(text, ";") {
		words := strings.Fields(part)
		r := router.Router{Volatile: true}
		var err error
		if r.MAC, err = schemas.ParseMAC(words[0]); err != nil {
			t.Fatal(err)
		}
		r.LinkLocal = netip.MustParseAddr(words[1])
		for i, word := range words[2:] {
			switch words[1+i] {
			case "dns":
				r.RDNSS = append(r.RDNSS, router.DNS{Address: netip.MustParseAddr(word)})
			case "domain":
				r.DNSSL = append(r.DNSSL, router.Domain{Domain: word})
			case "route":
				r.Routes = append(r.Routes, router.Route{Prefix: netip.MustParsePrefix(word)})
			default:
				if word != "dns" && word != "domain" && word != "route" {
					r.Prefixes = append(r.Prefixes, router.Prefix{Prefix: netip.MustParsePrefix(word)})
				}
			}
		}
		all = append(all, r)
	}
	return all
}

// iface is the interface of all captures, so that what one of them shows of the link
// applies to the others.
const iface = "eth0"

// onLink returns the trial of rules on a capture of the link r1/eth0.
func onLink(set *rulefile.Set, path string) Config {
	return Config{Set: set, Capture: path, Host: "r1", Interface: iface, Link: linkConfig(false)}
}

func linkConfig(learn bool) link.Config {
	return link.Config{
		Neighbours: 100_000, ClaimTimeout: time.Hour, Silence: 30 * 24 * time.Hour,
		Learn: learn, Vendor: makers().Lookup,
	}
}

// Both are read once, because there are many captures.
var (
	builtin = sync.OnceValue(rulefile.Builtin)
	makers  = sync.OnceValue(vendors.Builtin)
)

// show has a table observe the first frames of a capture, with their times moved.
func show(t *testing.T, table *link.Table, path string, frames int, move time.Duration) {
	t.Helper()
	eachFrame(t, path, func(n int, p capfile.Packet, e *schemas.Event) bool {
		if e != nil && n < frames {
			e.Time = p.Time.Add(move)
			table.Observe(e)
		}
		return n < frames
	})
}

// eachFrame calls visit with each frame of a capture until it returns false. The event
// is nil if the frame is not Neighbor Discovery.
func eachFrame(t *testing.T, path string, visit func(n int, p capfile.Packet, e *schemas.Event) bool) {
	t.Helper()
	var d decode.Decoder
	n := 0
	for p, err := range capfile.ReadFile(path) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		e, ok := d.Decode(p.Data, p.Length)
		if ok {
			e.Type, e.Host, e.Interface, e.Time = schemas.TypeEvent, "r1", iface, p.Time
		} else {
			e = nil
		}
		if !visit(n, p, e) {
			return
		}
	}
}

// times returns when the first and the last frame of a capture were captured.
func times(t *testing.T, path string) (first, last time.Time) {
	t.Helper()
	eachFrame(t, path, func(n int, p capfile.Packet, _ *schemas.Event) bool {
		if n == 1 {
			first = p.Time
		}
		last = p.Time
		return true
	})
	return first, last
}

// finding is a rule that alerted.
type finding struct {
	Rule     string
	Severity schemas.Severity
}

// find returns the rules whose alerts pass their thresholds from the first frame of
// the attack on, the severest first.
func find(t *testing.T, c capture, table *link.Table) []finding {
	t.Helper()
	var found []finding
	frames, _, err := onLink(builtin(), c.path).frames(table, func(m match) {
		f := finding{m.rule.ID, m.rule.Severity}
		if m.count > 0 && m.rule.Severity != "" && m.frame >= c.from && !slices.Contains(found, f) {
			found = append(found, f)
		}
	}, nil)
	must(t, err)
	if frames != c.frames {
		t.Errorf("%s has %d frames, the manifest says %d", c.name, frames, c.frames)
	}
	slices.SortFunc(found, func(a, b finding) int {
		return cmp.Or(cmp.Compare(rank(b.Severity), rank(a.Severity)), cmp.Compare(a.Rule, b.Rule))
	})
	return found
}

// rank orders severities. "" stands for no finding.
func rank(s schemas.Severity) int {
	return slices.Index([]schemas.Severity{"", schemas.Info, schemas.Warning, schemas.Critical}, s)
}

// severest returns the highest severity of the findings, or "" without one.
func severest(found []finding) schemas.Severity {
	if len(found) == 0 {
		return ""
	}
	return found[0].Severity
}

// alone tries a capture with nothing configured and nothing known.
func alone(t *testing.T, c capture) []finding {
	t.Helper()
	return find(t, c, link.New(linkConfig(false)))
}

// known tries a capture with configured routers: those learned from the honest
// beginning of the capture, or else those in the manifest. A capture of
// sensor/testdata/corpus follows a harmless one that shows the hosts.
func known(t *testing.T, c capture) []finding {
	t.Helper()
	routers := c.routers
	if !c.harmless() && c.from > 1 {
		teacher := link.New(linkConfig(true))
		show(t, teacher, c.path, c.from, 0)
		if learned := teacher.Learned(); len(learned) > 0 {
			routers = learned[0].Routers
		}
	}
	table := link.New(linkConfig(false))
	if len(routers) > 0 {
		table.Configure([]router.Link{{Routers: routers}})
	}
	if strings.HasPrefix(c.path, toolsFolder) {
		const honest = toolsFolder + "/linux-resolution_nud.pcap"
		first, _ := times(t, c.path)
		_, last := times(t, honest)
		show(t, table, honest, 1<<30, first.Sub(last)-time.Minute)
	}
	return find(t, c, table)
}
