package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas"
)

// What was stored and not written when ndmon is killed, the next one writes: standard
// output has each alert of the stream, however often that is. An alert that was just being
// stored may be on standard output alone.
//
// It has each once, unless ndmon is killed between a line and the note of it, which are in
// two files: a note before the line would lose the alert instead. So the last line of a killed
// ndmon may come a second time, and also its first one if it was still writing what the ndmon
// before it had missed. No other line may.
func TestKilledAgainAndAgain(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	data, out := t.TempDir(), file(t)
	f := startFlow(t, r.Upstream.Wire("eth0"))
	start := func() *lab.Process {
		p := r.Start(into(out, program("ndmon", "-i", lab.Master, "--data", data)))
		p.Stderr.WaitFor("msg=capturing")
		return p
	}
	const kills = 20
	ends := []int{0} // how many lines there are at each kill
	for range kills {
		p := start()
		f.wait(300)
		p.Kill()
		ends = append(ends, len(written(t, out)))
	}
	p := start()
	f.wait(100)
	f.end()
	nc := connect(t, r.Namespace, localNATS)
	lab.Eventually(t, "the last alert is written and stored", func() bool {
		on, stored := numbers(t, written(t, out)), numbers(t, storedAlerts(t, nc))
		last := int(f.sent.Load()) - 1
		return on[len(on)-1] == last && stored[len(stored)-1] == last
	})
	lines := map[string]int{}
	cut := map[string]bool{} // the first and the last line of each process that was killed
	for i, a := range written(t, out) {
		if lines[a.ID]++; lines[a.ID] > 1 && !cut[a.ID] {
			t.Errorf("line %d has alert %s again; the processes were killed behind the lines %v", i+1, a.ID, ends)
		}
		cut[a.ID] = slices.Contains(ends, i) || slices.Contains(ends, i+1)
	}
	ids := map[string]bool{}
	for _, a := range storedAlerts(t, nc) {
		if ids[a.ID] {
			t.Errorf("alert %s is stored twice", a.ID)
		}
		if lines[a.ID] == 0 {
			t.Errorf("alert %s is stored and not written", a.ID)
		}
		ids[a.ID] = true
	}
	const inFlight = 64
	if n := len(lines) - len(ids); n > kills*inFlight {
		t.Errorf("%d alerts are written and not stored", n)
	}
	p.Stop()
}

// Streams that are deleted are made again, and what comes after that is written and
// stored, by ndmon and in a fleet.
func TestStreamsAreDeleted(t *testing.T) {
	for _, name := range []string{schemas.StreamAlerts, schemas.StreamEvents} {
		t.Run("ndmon "+name, func(t *testing.T) {
			t.Parallel()
			r := lab.NewRouter(t)
			p := monitor(t, r, "--record", "1h")
			nc := connect(t, r.Namespace, localNATS)
			f := startFlow(t, r.Upstream.Wire("eth0"))
			f.wait(300)
			deleteStream(t, jet(t, nc), name)
			p.Stderr.WaitFor("streams were deleted, made them again")
			f.wait(300)
			frames := f.end()
			lab.Eventually(t, "the last alert is written", func() bool {
				on := numbers(t, printed(t, p))
				return len(on) > 0 && on[len(on)-1] == frames-1
			})
			if name == schemas.StreamAlerts {
				exactlyOnce(t, "standard output", frames, printed(t, p))
			}
			lab.Eventually(t, "what came behind the gap is stored", func() bool {
				stored := numbers(t, storedAlerts(t, nc))
				return len(stored) > 100 && stored[len(stored)-1] == frames-1
			})
			stop(t, p)
		})
		t.Run("fleet "+name, func(t *testing.T) {
			t.Parallel()
			p := startPipeline(t)
			p.flowing(t)
			deleteStream(t, jet(t, p.nc), name)
			p.ruled.Stderr.WaitFor("streams were deleted, made them again")
			p.flowing(t)
			frames := p.flow.end()
			lab.Eventually(t, "the last alert is stored", func() bool {
				stored := numbers(t, storedAlerts(t, p.nc))
				return len(stored) > 0 && stored[len(stored)-1] == frames-1
			})
			// A subscriber may see twice what was on its way, not more often.
			times := map[string]int{}
			for _, a := range p.subscribed(t) {
				if times[a.ID]++; times[a.ID] == 3 {
					t.Errorf("a subscriber got alert %s three times", a.ID)
				}
			}
			if name == schemas.StreamAlerts && len(times) != frames {
				t.Errorf("a subscriber got %d alerts of %d", len(times), frames)
			}
		})
	}
}

func deleteStream(t *testing.T, js jetstream.JetStream, name string) {
	t.Helper()
	must(t, js.DeleteStream(t.Context(), name))
}

// spoiling loses the newest of what was stored: of a server that runs, through its
// JetStream, or of one that has ended, in its folder.
type spoiling struct {
	name    string
	running func(t *testing.T, s jetstream.Stream)
	ended   string // the stream whose blocks are torn
}

// However the newest alerts and events were lost, by hand or with the disk, all goes
// on at the next start.
func TestNewestIsGone(t *testing.T) {
	for _, lost := range []spoiling{
		{name: "deleted", running: func(t *testing.T, s jetstream.Stream) {
			must(t, s.DeleteMsg(t.Context(), s.CachedInfo().State.LastSeq))
		}},
		{name: "purged", running: func(t *testing.T, s jetstream.Stream) {
			must(t, s.Purge(t.Context()))
		}},
		{name: "torn alerts", ended: "ND_ALERTS"},
		{name: "torn events", ended: "ND_EVENTS"},
		{name: "torn state", ended: "OBJ_ND_STATE"},
		{name: "all are torn", ended: "*"},
	} {
		for _, end := range []string{"stopped", "killed"} {
			if end == "killed" && lost.name == "torn state" {
				continue // it is stored once a minute, and at an orderly end
			}
			if lost.name != "torn events" { // those of ndmon are in memory
				t.Run(fmt.Sprintf("ndmon %s %s", end, lost.name), func(t *testing.T) {
					t.Parallel()
					lost.ofNdmon(t, end)
				})
			}
			t.Run(fmt.Sprintf("fleet %s %s", end, lost.name), func(t *testing.T) {
				t.Parallel()
				lost.ofFleet(t, end)
			})
		}
	}
}

func (lost spoiling) ofNdmon(t *testing.T, end string) {
	r := lab.NewRouter(t)
	data := t.TempDir()
	p := monitor(t, r, "--data", data)
	wire := r.Upstream.Wire("eth0")
	for n := range 300 {
		wire.Send(numbered(n))
	}
	p.Stdout.WaitFor(fmt.Sprintf(`"reachabletimer":%d,`, 299))
	nc := connect(t, r.Namespace, localNATS)
	lab.Eventually(t, "all are stored", func() bool { return stream(t, nc, schemas.StreamAlerts).CachedInfo().State.Msgs == 300 })
	if lost.running != nil {
		lost.running(t, stream(t, nc, schemas.StreamAlerts))
	}
	nc.Close()
	finish(p, end)
	if lost.ended != "" {
		tear(t, data, lost.ended)
	}
	p = monitor(t, r, "--data", data)
	wire.Send(numbered(301))
	p.Stdout.WaitFor(fmt.Sprintf(`"reachabletimer":%d,`, 301))
	nc = connect(t, r.Namespace, localNATS)
	lab.Eventually(t, "the alert behind the gap is stored", func() bool {
		return slices.Contains(numbers(t, storedAlerts(t, nc)), 301)
	})
	p.Stop()
}

func (lost spoiling) ofFleet(t *testing.T, end string) {
	p := startPipeline(t)
	p.flowing(t)
	p.flow.end()
	p.sensor.Stop()
	finish(p.ruled, end)
	if lost.running != nil {
		lost.running(t, stream(t, p.nc, schemas.StreamAlerts))
	}
	finish(p.broker.Process, end)
	if lost.ended != "" {
		tear(t, p.broker.dir, lost.ended)
	}
	p.broker.start()
	p.ruled = startRuled(p.r.Namespace)
	p.sensor = startSensor(p.r)
	const last = 1_000_000
	p.r.Upstream.Wire("eth0").Send(numbered(last))
	lab.Eventually(t, "the alert behind the gap is stored", func() bool {
		return slices.Contains(numbers(t, storedAlerts(t, p.nc)), last)
	})
}

func finish(p *lab.Process, how string) {
	if how == "killed" {
		p.Kill()
	} else {
		p.Stop()
	}
}

// tear cuts the end off the newest block of a stream.
func tear(t *testing.T, dir, stream string) {
	t.Helper()
	blocks, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", stream, "msgs", "*.blk"))
	if err != nil || len(blocks) == 0 {
		t.Fatalf("blocks of stream %s: %v, %v", stream, blocks, err)
	}
	for _, block := range blocks {
		info, err := os.Stat(block)
		must(t, err)
		must(t, os.Truncate(block, info.Size()*2/3))
	}
}

// An alert of another make, or none at all, is not shown as one, and does not fill the
// log.
func TestAlertsShowsAlertsAlone(t *testing.T) {
	t.Parallel()
	c := startCentral(t)
	c.startRuled()
	p := c.Start(with(program("ndmon", "alerts"), "ALERTS_OUTPUT=text"))
	p.Stderr.WaitFor("connected to NATS")
	js := jet(t, c.nc)
	good := marshal(map[string]any{"type": "nd.alert.v1", "time": "2026-01-02T03:04:05Z", "severity": "info", "host": "x", "interface": "y",
		"rule": "good", "summary": "s", "id": "x", "event": map[string]any{}})
	publish := func(data []byte) {
		t.Helper()
		if _, err := js.Publish(context.Background(), schemas.SubjectAlerts, data); err != nil {
			t.Fatal(err)
		}
	}
	// Those before it has looked at the stream are not its business.
	lab.Eventually(t, "it follows the stream", func() bool {
		publish(good)
		return strings.Contains(p.Stdout.String(), "good")
	})
	for range 50 {
		for _, data := range []string{"garbage", "", "[]", "{}", `{"time":3}`, `{"type":"nd.event.v1"}`} {
			publish([]byte(data))
		}
	}
	publish(bytes.Replace(good, []byte("good"), []byte("last"), 1))
	p.Stdout.WaitFor("last")
	if out := p.Stdout.String(); strings.Contains(out, "0001-01-01") {
		t.Errorf("what is no alert is shown: %s", out)
	}
	if n := strings.Count(p.Stderr.String(), "are not alerts"); n < 1 || n > 3 {
		t.Errorf("%d lines of log for 300 messages that are not alerts:\n%s", n, p.Stderr)
	}
}

func jet(t *testing.T, nc *nats.Conn) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(nc)
	must(t, err)
	return js
}

// However often each part of a fleet is killed, every alert is stored once, and written
// once by who follows them.
func TestFleetIsKilledAgainAndAgain(t *testing.T) {
	const rounds = 20
	for name, round := range map[string]func(t *testing.T, p *pipeline){
		"nd-ruled": func(t *testing.T, p *pipeline) {
			p.ruled.Kill()
			p.ruled = startRuled(p.r.Namespace)
		},
		"nats-server": func(_ *testing.T, p *pipeline) {
			p.broker.Kill()
			p.broker.start()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startPipeline(t)
			follower := p.r.Start(with(builtin("ndmon", "alerts"), "ALERTS_OUTPUT=json"))
			follower.Stderr.WaitFor("connected to NATS")
			// What was stored before it looked is not its business.
			lab.Eventually(t, "it follows the alerts", func() bool { return len(follower.Stdout.Lines()) > 0 })
			for range rounds {
				round(t, p)
				p.flow.wait(200)
			}
			frames := p.flow.end()
			lab.Eventually(t, "the last alert is stored", func() bool {
				stored := numbers(t, storedAlerts(t, p.nc))
				return len(stored) == frames
			})
			exactlyOnce(t, "stream", frames, storedAlerts(t, p.nc))
			lab.Eventually(t, "the last alert is written", func() bool {
				on := numbers(t, printed(t, follower))
				return on[len(on)-1] == frames-1
			})
			on := numbers(t, printed(t, follower))
			if len(on) != frames-on[0] || len(on) != len(printed(t, follower)) {
				t.Errorf("%d lines for %d alerts from %d to %d", len(printed(t, follower)), len(on), on[0], on[len(on)-1])
			}
		})
	}
}
