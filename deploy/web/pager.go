package web

import (
	"net/url"
	"strconv"
)

// pager divides a list into pages.
type pager struct {
	// First and Last are the numbers of the rows of this page, from 1 on, and Rows is how many there are.
	First, Last, Rows int
	// Before and After are the addresses of the pages around this one, empty if there is none.
	Before, After string
	from, to      int
}

// newPager returns the pager of the page that an address names.
func newPager(u *url.URL, rows, per int) pager {
	n, err := strconv.Atoi(u.Query().Get("page"))
	if last := max(0, rows-1)/per + 1; err != nil || n < 1 {
		n = 1
	} else if n > last {
		n = last
	}
	p := pager{Rows: rows, from: (n - 1) * per, to: min(n*per, rows)}
	p.First, p.Last = min(p.from+1, rows), p.to
	address := func(n int) string {
		q := u.Query()
		q.Set("page", strconv.Itoa(n))
		return u.Path + "?" + q.Encode()
	}
	if n > 1 {
		p.Before = address(n - 1)
	}
	if p.to < rows {
		p.After = address(n + 1)
	}
	return p
}
