package hostroute

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What waits on the master for a target is routed again when it has its route, for so many
// targets per second.
func TestPacketsThatWaitAreRoutedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.waits = true
		w.place(roamer, "s2", 0x42)
		w.hint(roamer, w.s2)
		advance(claimWait)
		if diff := cmp.Diff([]string{roamer + " on 50 from 3, route via 11"}, w.take(&w.resent)); diff != "" {
			t.Error(diff)
		}
		for range 2 {
			advance(time.Second)
			for i := range maxResent + 5 {
				target := fmt.Sprintf("2001:db8::%x", time.Now().Unix()&0xff<<8+int64(i))
				w.place(target, "s1", byte(i))
				w.solicited("c", target, "m0", source)
			}
			if n := len(w.take(&w.resent)); n != maxResent {
				t.Errorf("for %d targets, want %d", n, maxResent)
			}
		}
	})
}
