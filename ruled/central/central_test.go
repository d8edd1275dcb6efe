package central

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/schemas/bus/bustest"
)

func dial(t *testing.T) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(bustest.Start(t, t.TempDir(), -1).ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func open(t *testing.T, js jetstream.JetStream) *Store {
	t.Helper()
	s, err := Open(within(t), js, true)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRevisions(t *testing.T) {
	js, ctx := dial(t), within(t)
	if _, err := Open(ctx, js, false); !errors.Is(err, ErrNone) {
		t.Errorf("opened without a store: %v", err)
	}
	if _, err := Fetch(ctx, js.Conn(), Newest); !errors.Is(err, ErrNone) {
		t.Errorf("fetched without a store: %v", err)
	}
	s := open(t, js)
	if _, err := Fetch(ctx, js.Conn(), Newest); !errors.Is(err, ErrNone) {
		t.Errorf("fetched from an empty store: %v", err)
	}
	if _, err := s.Newest(ctx); !errors.Is(err, ErrNone) {
		t.Errorf("the newest of an empty store: %v", err)
	}
	want := []*Revision{
		{Revision: 1, Author: "ann@h1", Rules: "3", Message: "the first one", Data: []byte("<rules/>")},
		{Revision: 2, Author: "bob@h2", Rules: "1", Data: []byte("<rules><rule/></rules>")},
		{Revision: 4, Message: "deleted", Data: []byte(Builtin)},
		{Revision: 5, Data: []byte("text")},
	}
	for i, r := range want[:2] {
		if got, err := s.Push(ctx, r, uint64(i)); err != nil || got != r.Revision {
			t.Fatalf("push %d: revision %d, %v", i, got, err)
		}
	}
	kv, err := js.KeyValue(ctx, bucket)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		func() error { _, err := kv.PutString(ctx, "other", "x"); return err }(), // revision 3
		kv.Delete(ctx, "rules"),
		func() error { _, err := kv.PutString(ctx, "rules", "text"); return err }(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.List(ctx)
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Revision{}, "Time")); diff != "" || err != nil {
		t.Errorf("list (-want +got): %v\n%s", err, diff)
	}
	for _, r := range got {
		one, err := s.Revision(ctx, r.Revision)
		if diff := cmp.Diff(r, one); diff != "" || err != nil || r.Time.IsZero() {
			t.Errorf("revision %d: %v\n%s", r.Revision, err, diff)
		}
	}
	for _, none := range []uint64{3, 6} {
		if _, err := s.Revision(ctx, none); !errors.Is(err, ErrNone) {
			t.Errorf("revision %d: %v", none, err)
		}
	}
	newest, err := s.Newest(ctx)
	if diff := cmp.Diff(got[3], newest); diff != "" || err != nil {
		t.Errorf("the newest: %v\n%s", err, diff)
	}
	fetched, err := Fetch(ctx, js.Conn(), Newest)
	if diff := cmp.Diff(got[3], fetched); diff != "" || err != nil {
		t.Errorf("fetched: %v\n%s", err, diff)
	}
}

// cluster returns a connection to a cluster of three servers.
func cluster(t *testing.T) jetstream.JetStream {
	t.Helper()
	var routes []*url.URL
	var ports [3]int
	for i := range ports {
		free, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ports[i] = free.Addr().(*net.TCPAddr).Port
		routes = append(routes, &url.URL{Scheme: "nats", Host: free.Addr().String()})
		free.Close()
	}
	var servers []*server.Server
	for i, port := range ports {
		servers = append(servers, bustest.StartWith(t, &server.Options{
			ServerName: fmt.Sprint("n", i), Port: -1, JetStream: true, StoreDir: t.TempDir(), Routes: routes,
			Cluster: server.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: port},
		}))
	}
	nc, err := nats.Connect(servers[0].ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	ready := time.NewTicker(10 * time.Millisecond)
	defer ready.Stop()
	complete := func(s *server.Server) bool { return len(s.JetStreamClusterPeers()) == len(ports) } // only of a leader
	for ctx := within(t); !slices.ContainsFunc(servers, complete); {
		select {
		case <-ctx.Done():
			t.Fatal("the cluster is not ready")
		case <-ready.C:
		}
	}
	return js
}

// Of two pushes at once, one is refused, also where each makes the store. (A cluster does not answer several
// requests at once to make it.)
func TestPushesAtOnce(t *testing.T) {
	t.Run("server", func(t *testing.T) { pushAtOnce(t, dial(t), 1) })
	t.Run("cluster", func(t *testing.T) {
		js := cluster(t)
		open(t, js)
		pushAtOnce(t, js, 3)
	})
}

func pushAtOnce(t *testing.T, js jetstream.JetStream, replicas int) {
	ctx := within(t)
	var pushes sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		pushes.Go(func() {
			s, err := Open(ctx, js, true)
			if err == nil {
				_, err = s.Push(ctx, &Revision{Data: fmt.Append(nil, i)}, 0)
			}
			errs[i] = err
		})
	}
	pushes.Wait()
	stored := 0
	for _, err := range errs {
		if err == nil {
			stored++
		} else if !strings.Contains(err.Error(), "another revision than 0 is the newest now: nothing is pushed") {
			t.Error(err)
		}
	}
	s := open(t, js)
	if list, err := s.List(ctx); stored != 1 || err != nil || len(list) != 1 {
		t.Errorf("%d are stored, list %v, %v", stored, list, err)
	}
	if got := s.stream.CachedInfo().Config.Replicas; got != replicas {
		t.Errorf("%d replicas, want %d", got, replicas)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	s, ctx := open(t, dial(t)), within(t)
	for i := range uint64(kept + 3) {
		if _, err := s.Push(ctx, &Revision{}, i); err != nil {
			t.Fatal(err)
		}
	}
	if list, err := s.List(ctx); err != nil || len(list) != kept || list[0].Revision != 4 {
		t.Errorf("%d revisions, %v", len(list), err)
	}
	if _, err := s.Push(ctx, &Revision{Data: make([]byte, 1<<20)}, kept+3); err == nil || !strings.Contains(err.Error(), "the rules have 1048576 bytes, and the NATS server takes messages of at most 1048576 (max_payload)") {
		t.Errorf("too large: %v", err)
	}
}

func TestNewerThan(t *testing.T) {
	now := time.Now()
	five := &Revision{Revision: 5, Time: now}
	for _, tt := range []struct {
		r    Revision
		want bool
	}{
		{Revision{Revision: 5, Time: now}, false},
		{Revision{Revision: 4, Time: now.Add(-time.Second)}, false}, // from a server that is behind
		{Revision{Revision: 6, Time: now.Add(-time.Second)}, true},  // from a server whose clock is behind
		{Revision{Revision: 1, Time: now.Add(time.Second)}, true},   // from a new store
	} {
		if got := tt.r.NewerThan(five); got != tt.want {
			t.Errorf("%v is newer: %v", tt.r, got)
		}
	}
	if !five.NewerThan(&Revision{}) {
		t.Error("a revision is not newer than none")
	}
}
