package web

import (
	"context"
	"net/http"
	"slices"

	"github.com/ndmon/ndmon/deploy/fleet"
	"github.com/ndmon/ndmon/deploy/web/model"
)

// fleetPage has the data of the page of the fleet.
type fleetPage struct {
	model.Fleet
	Columns []string
	Rows    []fleetRow
	Pager   pager
}

// fleetRow is a daemon.
type fleetRow struct {
	Cells []string
	Amiss bool
}

func (s *server) fleet(_ context.Context, r *http.Request) (any, error) {
	d := fleetPage{Fleet: s.model.Fleet(), Columns: fleet.Columns()}
	if d.Report == nil {
		return d, nil
	}
	rows := slices.Clone(d.Report.Rows)
	slices.SortStableFunc(rows, func(a, b fleet.Row) int { // those with a fault first
		return min(len(b.Amiss), 1) - min(len(a.Amiss), 1)
	})
	d.Pager = newPager(r.URL, len(rows), rowsPerPage)
	for i := range rows[d.Pager.from:d.Pager.to] {
		row := &rows[d.Pager.from+i]
		d.Rows = append(d.Rows, fleetRow{row.Cells(), len(row.Amiss) > 0})
	}
	return d, nil
}
