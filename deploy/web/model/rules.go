package model

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ndmon/ndmon/ruled/central"
	"github.com/ndmon/ndmon/ruled/command"
	"github.com/ndmon/ndmon/ruled/rulefile"
)

// Rules are the rules in force, as far as it is known.
type Rules struct {
	// Source says where they are from.
	Source string
	Set    *rulefile.Set
	data   []byte
}

func (m *Model) readRules(ctx context.Context) error {
	data, source := []byte(nil), "built-in"
	if m.Deps.Rules != "" {
		var err error
		if data, err = command.ReadFile(m.Deps.Rules); err != nil {
			return fmt.Errorf("read the rule file: %w", err)
		}
		source = m.Deps.Rules
	} else if revision, err := central.Fetch(ctx, m.Conn.NATS(), m.Central); err == nil {
		data, source = revision.Data, fmt.Sprintf("central rules, revision %d", revision.Revision)
	} else if !errors.Is(err, central.ErrNone) {
		return err
	}
	before, _ := m.Rules()
	if before.Source == source && bytes.Equal(before.data, data) {
		return nil
	}
	now := Rules{source, rulefile.Builtin(), data}
	if data != nil {
		set, err := rulefile.Parse(source, data)
		if err != nil {
			return err
		}
		now.Set = set
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rules = now
	m.version.Add(1)
	return nil
}

// Rules returns the rules in force, and those of daemons that have others, such as a file of theirs.
func (m *Model) Rules() (rules Rules, others []string) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.fleet.Report == nil {
		return m.rules, nil
	}
	for i := range m.fleet.Report.Rows {
		row := &m.fleet.Report.Rows[i]
		if row.DaemonStatus == nil || row.DaemonStatus.Rules == nil {
			continue
		}
		source := row.DaemonStatus.Rules.Source
		central := row.DaemonStatus.Rules.Revision > 0
		if source == m.rules.Source || central && fmt.Sprintf("central rules, revision %d", row.DaemonStatus.Rules.Revision) == m.rules.Source {
			continue
		}
		if central {
			source = fmt.Sprintf("revision %d of the central rules", row.DaemonStatus.Rules.Revision)
		}
		if text := row.Host + " evaluates " + source; !slices.Contains(others, text) && len(others) < maxOthers {
			others = append(others, text)
		}
	}
	return m.rules, others
}

const maxOthers = 20
