package find

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"

	"github.com/ndmon/ndmon/deploy/history"
	"github.com/ndmon/ndmon/schemas"
)

const (
	// historyWait is the time for the answer of the history. Without it the address is looked for all the same.
	historyWait = time.Second
	// maxHeard is how many places are written where the address was heard, present how long ago it may have been heard by
	// the history where it is.
	maxHeard = 5
	present  = time.Hour
)

// heard writes where the target was heard, the newest first, and reports whether it was heard lately.
func (f *finder) heard(ctx context.Context, w io.Writer) (lately bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, historyWait)
	defer cancel()
	list, _, err := history.Read(ctx, f.nc, history.Query{Prefix: netip.PrefixFrom(f.cfg.Target, f.cfg.Target.BitLen())})
	if errors.Is(err, history.ErrNone) || ctx.Err() != nil {
		return false, nil // there is none, or this key may not read it
	}
	if err != nil {
		return false, err
	}
	slices.SortStableFunc(list, func(a, b schemas.Binding) int { return cmp.Or(b.Last.Compare(a.Last), b.First.Compare(a.First)) })
	now := time.Now()
	for i := range list[:min(len(list), maxHeard)] {
		b := &list[i]
		lately = lately || now.Sub(b.Last) < present
		line := append(b.AppendJSON(nil), '\n')
		if !f.cfg.JSON {
			line = heardLine(b, now)
		}
		if _, err := w.Write(line); err != nil {
			return lately, fmt.Errorf("write where it was heard: %w", err)
		}
	}
	return lately, nil
}

func heardLine(b *schemas.Binding, now time.Time) []byte {
	vendor, contested := "", ""
	if b.Vendor != "" {
		vendor = " (" + printable(b.Vendor) + ")"
	}
	if b.Contested {
		contested = ", which another station claimed too"
	}
	return fmt.Appendf(nil, "heard %v ago on %s from %s%s, since %s%s\n", max(0, now.Sub(b.Last)).Round(time.Second), printable(history.Where(b)), b.Ethernet, vendor,
		b.First.Local().Format(time.DateTime), contested)
}
