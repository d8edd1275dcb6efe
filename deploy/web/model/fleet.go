package model

import (
	"context"
	"slices"
	"time"

	"github.com/ndmon/ndmon/deploy/fleet"
)

// Fleet has the answers of the fleet's daemons, and their time.
type Fleet struct {
	Report *fleet.Report
	At     time.Time
}

const (
	// fleetWait is the time for the answers.
	fleetWait = 2 * time.Second
	// Rates is how many rates of a link are kept: ten minutes.
	Rates = 60
	// maxRates bounds the interfaces whose rates are kept.
	maxRates = 2000
)

// Rate is how many frames came on an interface, over its VLANs.
type Rate struct {
	// PerSecond has the newest rates, the newest last, one for each fleetEach.
	PerSecond []float64

	frames uint64
	at     time.Time
}

func (m *Model) readFleet(ctx context.Context) error {
	report, err := fleet.Ask(ctx, m.Conn.NATS(), fleetWait)
	if err != nil {
		return err
	}
	now := m.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fleet = Fleet{report, now}
	m.addRates(report, now)
	m.version.Add(1)
	return nil
}

// addRates compares the counters of the frames with those before.
func (m *Model) addRates(report *fleet.Report, now time.Time) {
	for i := range report.Rows {
		s := report.Rows[i].DaemonStatus
		if s == nil {
			continue
		}
		for _, f := range s.Frames {
			of := Link{s.Host, f.Interface, -1, -1}
			r := m.rates[of]
			if r == nil {
				if len(m.rates) == maxRates {
					continue
				}
				m.rates[of] = &Rate{frames: f.Frames, at: now}
				continue
			}
			if passed := now.Sub(r.at); f.Frames >= r.frames && passed > 0 {
				rates := append(slices.Clip(r.PerSecond), float64(f.Frames-r.frames)/passed.Seconds())
				r = &Rate{PerSecond: rates[max(0, len(rates)-Rates):]}
			} else { // the capture began again
				r = &Rate{PerSecond: r.PerSecond}
			}
			r.frames, r.at = f.Frames, now
			m.rates[of] = r
		}
	}
	for of, r := range m.rates {
		if now.Sub(r.at) > Rates*fleetEach {
			delete(m.rates, of)
		}
	}
}

// Fleet returns what the daemons answered last. The report is nil before the first answer.
func (m *Model) Fleet() Fleet {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.fleet
}

// Rate returns the rates of an interface, nil if they are not known.
func (m *Model) Rate(host, iface string) []float64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if r := m.rates[Link{host, iface, -1, -1}]; r != nil {
		return r.PerSecond
	}
	return nil
}
