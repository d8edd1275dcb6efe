package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ndmon/ndmon/deploy/lab"
)

// A receiver of an edge and one of its hub get every alert once and in order, though ndmon and ndmon alerts are killed.
func TestReceivers(t *testing.T) {
	t.Parallel()
	here, state := filepath.Join(t.TempDir(), "here"), t.TempDir()
	e := newEdge(t, "--alert-to", "file:"+here)
	e.startHub()
	there := filepath.Join(t.TempDir(), "there")
	start := func() *lab.Process {
		p := e.hub.at.Start(e.as("viewer", program("ndmon", "alerts", "--to", "file:"+there+"#name=there", "--state", state)))
		lab.Eventually(t, "the receiver has a position", func() bool {
			position, err := os.ReadFile(filepath.Join(state, "there.position"))
			return err == nil && len(position) > 0
		})
		return p
	}
	viewer, p := start(), e.start()
	f := startFlow(t, e.Upstream.Wire("eth0"))
	f.wait(200)
	viewer.Kill()
	f.wait(100)
	p.Kill()
	p, viewer = e.start(), start()
	f.wait(200)
	f.end()
	var want []string
	lab.Eventually(t, "the hub has what the edge has stored", func() bool {
		want = ids(e.stored())
		return len(want) > 300 && len(want) == len(e.atHub())
	})
	lab.Eventually(t, "the receiver of the edge has all", func() bool { return len(written(t, here)) >= len(want) })
	all := ids(storedAlerts(t, e.nc))
	lab.Eventually(t, "the receiver of the hub has all", func() bool { return len(written(t, there)) >= len(all) })
	equal(t, "alerts of the edge", want, ids(written(t, here)))
	equal(t, "alerts of the hub", all, ids(written(t, there)))
	stop(t, viewer, p)
}
