package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// MaxReplicas is on how many servers of a cluster streams and buckets are kept.
const MaxReplicas = 3

// clustered reports whether the server is one of a cluster. That of an edge calls itself one, as every leaf node
// does, by the name of the server.
func clustered(nc *nats.Conn) bool {
	return nc.ConnectedClusterName() != "" && nc.ConnectedClusterName() != nc.ConnectedServerName()
}

// replicated calls create with the number of replicas, or, for 0, with as many as the cluster has servers, at most
// MaxReplicas. Only the server knows how many those are: it refuses more.
func replicated(js jetstream.JetStream, replicas int, create func(replicas int) error) error {
	if replicas > 0 {
		return create(replicas)
	}
	if !clustered(js.Conn()) {
		return create(1)
	}
	var err error
	for n := MaxReplicas; n > 0; n-- {
		var refused *jetstream.APIError
		if err = create(n); !errors.As(err, &refused) || !slices.Contains(tooMany, refused.ErrorCode) {
			return err
		}
	}
	return err
}

// grow adds replicas to a stream that was made while too few servers were there.
func grow(ctx context.Context, js jetstream.JetStream, name string, replicas int) error {
	stream, err := js.Stream(ctx, name)
	if err != nil || replicas > 0 || !clustered(js.Conn()) {
		return err
	}
	cfg := stream.CachedInfo().Config
	if has := cfg.Replicas; has < MaxReplicas {
		err = replicated(js, 0, func(n int) error {
			if cfg.Replicas = n; n <= has {
				return nil // the cluster has no more servers
			}
			_, err := js.UpdateStream(ctx, cfg)
			return err
		})
	}
	return err
}

// tooMany are the server's JSClusterNoPeersErrF, JSInsufficientResourcesErr and, of an edge of a cluster, JSStreamReplicasNotSupportedErr.
var tooMany = []jetstream.ErrorCode{10005, 10023, 10074}

// KeyValue returns a key-value store, which it makes if it does not exist, on cfg.Replicas servers, or for 0 on as many as
// a cluster has, at most MaxReplicas.
func KeyValue(ctx context.Context, js jetstream.JetStream, cfg jetstream.KeyValueConfig) (jetstream.KeyValue, error) {
	find := func() (jetstream.KeyValue, error) { return js.KeyValue(ctx, cfg.Bucket) }
	return bucket(ctx, js, "KV_"+cfg.Bucket, cfg.Replicas, find, func(n int) (jetstream.KeyValue, error) {
		cfg.Replicas = n
		return js.CreateKeyValue(ctx, cfg)
	})
}

// ObjectStore returns an object store, which it makes like KeyValue.
func ObjectStore(ctx context.Context, js jetstream.JetStream, cfg jetstream.ObjectStoreConfig) (jetstream.ObjectStore, error) {
	find := func() (jetstream.ObjectStore, error) { return js.ObjectStore(ctx, cfg.Bucket) }
	return bucket(ctx, js, "OBJ_"+cfg.Bucket, cfg.Replicas, find, func(n int) (jetstream.ObjectStore, error) {
		cfg.Replicas = n
		return js.CreateObjectStore(ctx, cfg)
	})
}

func bucket[B any](ctx context.Context, js jetstream.JetStream, stream string, replicas int, find func() (B, error), create func(replicas int) (B, error)) (B, error) {
	b, err := find()
	if err == nil {
		err = grow(ctx, js, stream, replicas)
	}
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		err = replicated(js, replicas, func(n int) (err error) {
			b, err = create(n)
			return err
		})
	}
	if err != nil {
		_, name, _ := strings.Cut(stream, "_")
		return b, fmt.Errorf("make bucket %s: %w", name, Explain(js, err))
	}
	return b, nil
}
