package replay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/ruled/central"
	"github.com/ndmon/ndmon/ruled/rulefile"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/sensor/capfile"
	"github.com/ndmon/ndmon/sensor/decode"
)

// captured calls each with the events of capture files. An interface without a name in the file has that of the file.
func captured(files []string, host string, each func(*schemas.Event)) error {
	var d decode.Decoder
	for _, file := range files {
		name, _, _ := strings.Cut(filepath.Base(file), ".")
		for p, err := range capfile.ReadFile(file) {
			if err != nil {
				return err
			}
			e, ok := d.Decode(p.Data, p.Length)
			if !ok {
				continue
			}
			e.Type, e.ID, e.Time, e.Direction, e.Host = schemas.TypeEvent, fmt.Sprintf("%s-%d", name, p.Number), p.Time, schemas.In, host
			if e.Interface = p.Interface; e.Interface == "" {
				e.Interface = name
			}
			each(e)
		}
	}
	return nil
}

// recorded calls each with the stored events, and returns how many lines are no event.
func recorded(ctx context.Context, js jetstream.JetStream, each func(*schemas.Event)) (invalid int, err error) {
	stream, err := js.Stream(ctx, schemas.StreamEvents)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return 0, fmt.Errorf("there is no stream %s: an ndmon records events with --record", schemas.StreamEvents)
	}
	if err != nil {
		return 0, fmt.Errorf("look up stream %s: %w", schemas.StreamEvents, bus.Explain(js, err))
	}
	var e schemas.Event
	err = bus.ReadStored(ctx, stream, stream.CachedInfo().State.FirstSeq, false, func(msg jetstream.Msg, _ uint64) {
		for line := range bytes.Lines(msg.Data()) {
			if line = bytes.TrimSpace(line); e.ParseJSON(line) != nil {
				invalid++
				continue
			}
			each(&e)
		}
	})
	return invalid, err
}

// inForce returns the newest central rules, or the built-in ones if there are none.
func inForce(ctx context.Context, js jetstream.JetStream) (*rulefile.Set, error) {
	store, err := central.Open(ctx, js, false)
	if err == nil {
		var newest *central.Revision
		if newest, err = store.Newest(ctx); err == nil {
			return rulefile.Parse(newest.Name(), newest.Data)
		}
	}
	if errors.Is(err, central.ErrNone) {
		return rulefile.Builtin(), nil
	}
	return nil, err
}
