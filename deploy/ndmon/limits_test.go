package ndmon

import "testing"

// What is kept in memory is a share of what there is, and adds up to less than half.
func TestLimits(t *testing.T) {
	none := limitsFor(0)
	if none.events != 32<<20 || none.buffer != 0 || none.neighbours != 0 || !none.copy {
		t.Errorf("without a limit: %+v", none)
	}
	for _, mib := range []int64{32, 48, 96, 224, 480, 4096} {
		memory := mib << 20
		l := limitsFor(memory)
		if sum := l.events + 3*int64(l.buffer) + int64(l.neighbours)*300; sum > memory/2 {
			t.Errorf("of %d MiB, %d bytes are for what is kept", mib, sum)
		}
		if l.events < 2<<20 || l.events > none.events || l.copy != (mib >= 400) {
			t.Errorf("of %d MiB: %+v", mib, l)
		}
	}
}
