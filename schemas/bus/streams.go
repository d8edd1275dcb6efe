package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/schemas"
)

// StreamConfig has the limits of the streams that EnsureStreams makes.
type StreamConfig struct {
	EventsInMemory bool          `split_words:"true" default:"false" desc:"keep the events in the server's memory, not on its disk"`
	EventsBytes    int64         `split_words:"true" default:"1073741824" desc:"maximum size of the stream of events, in bytes; the oldest are dropped"`
	EventsAge      time.Duration `split_words:"true" default:"24h" desc:"age at which events are dropped"`
	AlertsBytes    int64         `split_words:"true" default:"1073741824" desc:"maximum size of the stream of alerts, in bytes; the oldest are dropped"`
	AlertsAge      time.Duration `split_words:"true" default:"720h" desc:"age at which alerts are dropped"`
	HistoryBytes   int64         `split_words:"true" default:"1073741824" desc:"maximum size of the history of addresses, in bytes, half of it by address and half by station; what was heard least recently is dropped; 0: no history"`
	HistoryAge     time.Duration `split_words:"true" default:"9600h" desc:"age at which the history of an address is dropped, counted from when it was heard last"`
	Replicas       int           `split_words:"true" default:"0" desc:"on how many NATS servers streams and buckets are kept (1 to 3; 0: as many as the cluster has, at most 3)"`
	// NoEvents makes no stream of events. ChangeEvents gives an existing one this age and size.
	NoEvents, ChangeEvents bool `ignored:"true"`
	// NoExporter makes no consumers for exporters.
	NoExporter bool `ignored:"true"`
}

// maxMessage is the maximum size of a message in bytes, the default of the server. The
// event of the largest frame has about 300 KiB, a batch of several events 64 KiB, and an
// alert contains its event.
const maxMessage = 1 << 20

// duplicates is how long the server remembers the ids of messages, at about 200 bytes
// each. That is enough for a lost acknowledgement; ruled itself recognises older alerts.
const duplicates = 15 * time.Second

// EnsureStreams makes the streams ND_EVENTS and ND_ALERTS if they do not exist, and, on a server
// with the keys of ndmon keys, the copy of the alerts for readers and the consumers for exporters.
// Of an existing stream it changes only what the program depends on: it limits the size of messages
// if that is unlimited, and a stream of single events, as earlier versions had, stores batches
// from then on. It returns the names of the streams that it has made.
func EnsureStreams(ctx context.Context, js jetstream.JetStream, cfg StreamConfig) (made []string, err error) {
	stream := func(name, description, subjects string, bytes int64, age time.Duration) jetstream.StreamConfig {
		return jetstream.StreamConfig{
			Name: name, Description: description, Subjects: []string{subjects}, Discard: jetstream.DiscardOld,
			MaxBytes: bytes, MaxAge: age, MaxMsgSize: maxMessage, Duplicates: min(duplicates, age),
			AllowAtomicPublish: true, // see Publisher
		}
	}
	events := stream(schemas.StreamEvents, "decoded ND frames, in batches", schemas.SubjectBatches, cfg.EventsBytes, cfg.EventsAge)
	events.SubjectTransform = &jetstream.SubjectTransformConfig{Source: schemas.BatchesFrom, Destination: schemas.BatchesTo}
	alerts := stream(schemas.StreamAlerts, "alerts", schemas.SubjectAlerts, cfg.AlertsBytes, cfg.AlertsAge)
	alerts.RePublish = &jetstream.RePublish{Source: schemas.SubjectAlerts, Destination: schemas.SubjectStored}
	// Fences expire, so that no one has to delete those of processes that have ended. Nats-Rollup would do without that,
	// but anyone who may publish an alert could then delete all others.
	alerts.Subjects, alerts.AllowMsgTTL, alerts.AllowDirect = append(alerts.Subjects, schemas.SubjectFences), true, true
	if cfg.EventsInMemory {
		events.Storage = jetstream.MemoryStorage
	}
	history := stream(schemas.StreamHistory, "which station used which address", schemas.SubjectHistory, cfg.HistoryBytes/2, cfg.HistoryAge)
	history.MaxMsgsPerSubject, history.AllowDirect, history.Compression = 1, true, jetstream.S2Compression
	stations := history
	stations.Name, stations.Description, stations.Subjects, stations.AllowAtomicPublish = schemas.StreamStations, "ND_HISTORY by station", nil, false
	stations.Sources = []*jetstream.StreamSource{{Name: schemas.StreamHistory, SubjectTransforms: []jetstream.SubjectTransformConfig{{Source: schemas.StationsFrom, Destination: schemas.StationsTo}}}}
	streams := []jetstream.StreamConfig{events, alerts}
	if cfg.NoEvents {
		streams = streams[1:]
	}
	all := streams
	if cfg.HistoryBytes > 0 {
		all = append(slices.Clip(streams), history, stations)
	}
	for _, c := range all {
		c.Replicas = cfg.Replicas
		isNew, err := ensureStream(ctx, js, c, cfg.ChangeEvents && c.Name == schemas.StreamEvents)
		if err == nil {
			err = grow(ctx, js, c.Name, cfg.Replicas)
		}
		if c.MaxMsgsPerSubject == 1 && errors.As(err, new(*jetstream.APIError)) {
			continue // such as for lack of storage: everything else works, and who writes the history says that it cannot
		}
		if err != nil {
			return made, fmt.Errorf("make stream %s: %w", c.Name, Explain(js, err))
		}
		if isNew {
			made = append(made, c.Name)
		}
	}
	if err := ensureSilences(ctx, js, cfg.Replicas); err != nil {
		return made, err
	}
	isNew, err := ensureCopy(ctx, js, streams, !cfg.NoExporter)
	if err != nil {
		return made, fmt.Errorf("make the copy of stream %s for readers: %w", schemas.StreamAlerts, err)
	}
	if isNew {
		made = append(made, schemas.StreamAlerts+" for readers")
	}
	return made, nil
}

// checkInterval is how often StreamsDue receives without a sign of a deleted stream.
const checkInterval = 30 * time.Second

// StreamsDue returns a channel that receives when it is time to call EnsureStreams again, until
// stop is called: when the server is reached, when it says that a stream was deleted, and every 30 seconds.
func (c *Conn) StreamsDue() (due <-chan struct{}, stop func(), err error) {
	signals := make(chan struct{}, 1)
	signal := func() {
		select {
		case signals <- struct{}{}:
		default:
		}
	}
	advisories, err := c.nc.Subscribe(schemas.SubjectDeleted, func(*nats.Msg) { signal() })
	if err != nil {
		return nil, nil, fmt.Errorf("subscribe to the server's advisories about streams: %w", err)
	}
	c.OnConnect(func(bool) { signal() })
	ticker, ended := time.NewTicker(checkInterval), make(chan struct{})
	go func() {
		for {
			select {
			case <-ended:
				return
			case <-ticker.C:
				signal()
			}
		}
	}()
	return signals, func() {
		advisories.Unsubscribe() // it fails only if the connection is closed
		ticker.Stop()
		close(ended)
	}, nil
}

// ensureStream makes a stream. An existing one gets the limits only if limits is true.
func ensureStream(ctx context.Context, js jetstream.JetStream, c jetstream.StreamConfig, limits bool) (made bool, err error) {
	stream, err := js.Stream(ctx, c.Name)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		err = replicated(js, c.Replicas, func(n int) error {
			c.Replicas = n
			_, err := js.CreateStream(ctx, c)
			return err
		})
		made = err == nil
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			err = nil // another process has just made it
		}
		return made, err
	case err != nil:
		return false, err
	}
	now, changed := stream.CachedInfo().Config, false
	if now.MaxMsgSize < 0 {
		now.MaxMsgSize, changed = c.MaxMsgSize, true
	}
	if slices.Equal(now.Subjects, []string{schemas.SubjectEvents}) {
		now.Subjects, now.Description, changed = c.Subjects, c.Description, true
	}
	if now.RePublish == nil && c.RePublish != nil {
		now.RePublish, changed = c.RePublish, true
	}
	if !now.AllowAtomicPublish { // that of an earlier version
		if c.AllowMsgTTL {
			now.Subjects = append(now.Subjects, schemas.SubjectFences)
		}
		now.AllowAtomicPublish, now.AllowDirect, now.AllowMsgTTL = true, now.AllowDirect || c.AllowDirect, c.AllowMsgTTL
		now.SubjectTransform, changed = c.SubjectTransform, true
	}
	if limits && (now.MaxBytes != c.MaxBytes || now.MaxAge != c.MaxAge) {
		now.MaxBytes, now.MaxAge, now.Duplicates, changed = c.MaxBytes, c.MaxAge, c.Duplicates, true
	}
	if changed {
		if _, err := js.UpdateStream(ctx, now); err != nil {
			return false, fmt.Errorf("update it: %w", err)
		}
	}
	return false, nil
}

// silencesBytes bounds the silences, which users make: a full bucket refuses more.
const silencesBytes = 4 << 20

// ensureSilences makes the bucket in which the pages of a fleet share what users acknowledged or silenced. A server that refuses
// it, such as for lack of storage, serves everything else: pages say that it is missing.
func ensureSilences(ctx context.Context, js jetstream.JetStream, replicas int) error {
	_, err := KeyValue(ctx, js, jetstream.KeyValueConfig{
		Bucket: schemas.BucketSilences, Description: "alerts that users acknowledged or silenced", TTL: schemas.MaxSilence,
		MaxBytes: silencesBytes, MaxValueSize: 8 << 10, LimitMarkerTTL: time.Hour, Replicas: replicas,
	})
	if errors.As(err, new(*jetstream.APIError)) {
		return nil
	}
	return err
}

// ensureCopy makes the copy of the alerts, and the consumers for exporters, if the
// server has the accounts for them. A copy that is ahead of the stream is that of a
// deleted stream and would never get another alert, so it is made again.
func ensureCopy(ctx context.Context, js jetstream.JetStream, streams []jetstream.StreamConfig, exporter bool) (made bool, err error) {
	readers, err := jetstream.NewWithAPIPrefix(js.Conn(), schemas.CopyAPI)
	if err != nil {
		return false, err
	}
	existing, err := readers.Stream(ctx, schemas.StreamAlerts)
	switch {
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, nats.ErrNoResponders):
		return false, nil // a server without these accounts
	case err != nil && !errors.Is(err, jetstream.ErrStreamNotFound):
		return false, err
	}
	exported := map[string]string{schemas.StreamAlerts: schemas.SubjectAlerts, schemas.StreamEvents: schemas.SubjectBatches}
	for _, c := range streams {
		if !exporter {
			break
		}
		if _, err := js.CreateOrUpdateConsumer(ctx, c.Name, jetstream.ConsumerConfig{
			Durable: schemas.ConsumerExporter, Description: "for a program that exports the messages", AckPolicy: jetstream.AckExplicitPolicy,
			FilterSubject: exported[c.Name],
		}); err != nil {
			return false, fmt.Errorf("make consumer %s of stream %s: %w", schemas.ConsumerExporter, c.Name, err)
		}
	}
	stream, err := js.Stream(ctx, schemas.StreamAlerts)
	if err != nil {
		return false, err
	}
	origin := stream.CachedInfo()
	if existing != nil {
		if existing.CachedInfo().State.LastSeq <= origin.State.LastSeq {
			return false, nil
		}
		if err := readers.DeleteStream(ctx, schemas.StreamAlerts); err != nil {
			return false, err
		}
	}
	_, err = readers.CreateStream(ctx, jetstream.StreamConfig{
		Name:        schemas.StreamAlerts,
		Description: "alerts, a copy for readers",
		Discard:     jetstream.DiscardOld,
		MaxBytes:    origin.Config.MaxBytes,
		MaxAge:      origin.Config.MaxAge,
		Mirror: &jetstream.StreamSource{
			Name: schemas.StreamAlerts, FilterSubject: schemas.SubjectAlerts,
			External: &jetstream.ExternalStream{APIPrefix: schemas.OriginAPI, DeliverPrefix: schemas.CopyDeliver},
		},
	})
	return err == nil, err
}

// Explain wraps the error of a request to JetStream if the reason is that JetStream
// is not enabled, with a hint how to enable it. It returns other errors as they are.
func Explain(js jetstream.JetStream, err error) error {
	enabled, _ := js.Conn().ConnectedServerJetStream()
	url := js.Conn().ConnectedUrlRedacted()
	switch {
	case errors.Is(err, nats.ErrNoResponders) && !enabled:
		return fmt.Errorf("JetStream is not enabled on the NATS server at %s (nats-server -js, or jetstream {} in its configuration): %w", url, err)
	case errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return fmt.Errorf("JetStream is not enabled for this account on the NATS server at %s (jetstream: enabled in the account's configuration): %w", url, err)
	}
	return err
}

// behindFor is how long a server's copy of a stream may be behind without getting anything.
const behindFor = 2 * time.Second

// ReadStored calls each for the messages of a stream, in order and starting with a
// sequence number. With headersOnly, the messages have no data. After an error, a call that starts
// behind the last message goes on.
func ReadStored(ctx context.Context, stream jetstream.Stream, from uint64, headersOnly bool, each func(msg jetstream.Msg, seq uint64)) error {
	info := stream.CachedInfo()
	if info.State.Msgs == 0 || from > info.State.LastSeq {
		return nil
	}
	if err := readStored(ctx, stream, from, headersOnly, each); err != nil {
		return fmt.Errorf("read stream %s: %w", info.Config.Name, err)
	}
	return nil
}

// readStored does not use the ordered consumer of nats.go, which makes a consumer for each batch, and tries that for
// ever, whatever the context.
func readStored(ctx context.Context, stream jetstream.Stream, from uint64, headersOnly bool, each func(msg jetstream.Msg, seq uint64)) error {
	consumer, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from, HeadersOnly: headersOnly,
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: time.Minute,
	})
	if err != nil {
		return err
	}
	// Otherwise the server keeps it for InactiveThreshold; an error means no more.
	defer func() { stream.DeleteConsumer(ctx, consumer.CachedInfo().Name) }()
	size := 256 // messages, of up to maxMessage bytes each
	if headersOnly {
		size = 1024
	}
	info := stream.CachedInfo()
	last, moved, read := uint64(0), time.Now(), uint64(0)
	for {
		asked := time.Now()
		batch, err := consumer.FetchNoWait(size)
		if err != nil {
			return err
		}
		before, pending := read, uint64(0)
		for msg := range batch.Messages() {
			meta, err := msg.Metadata()
			if err != nil {
				return err
			}
			if read++; meta.Sequence.Consumer != read {
				return errors.New("messages are missing")
			}
			each(msg, meta.Sequence.Stream)
			last, pending, moved = meta.Sequence.Stream, meta.NumPending, time.Now()
		}
		if err := errors.Join(batch.Error(), ctx.Err()); err != nil {
			return err
		}
		if read == before && time.Since(asked) >= noAnswer {
			return errors.New("the NATS server does not answer")
		}
		if pending > 0 {
			continue
		}
		// The consumer may be at a server whose copy is behind that of the stream's leader. If the newest messages
		// were deleted, none come.
		if last >= info.State.LastSeq || info.Cluster == nil || len(info.Cluster.Replicas) == 0 || time.Since(moved) > behindFor {
			return nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(behindFor / 20):
		}
	}
}

// noAnswer is how long nats.go waits for the answer to FetchNoWait, which does not say that it did not come.
const noAnswer = time.Second
