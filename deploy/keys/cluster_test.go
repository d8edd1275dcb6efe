package keys

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas"
)

// buildServer builds nats-server and returns its path.
func buildServer(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nats-server")
	if out, err := exec.Command("go", "build", "-o", path, "github.com/nats-io/nats-server/v2").CombinedOutput(); err != nil {
		t.Fatalf("build nats-server: %v\n%s", err, out)
	}
	return path
}

// answered waits until JetStream answers: right after its start, a cluster loses requests.
func answered(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	lab.Eventually(t, "JetStream answers", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := js.AccountInfo(ctx)
		return err == nil
	})
}

// Three servers run with what Init made, clients check their certificates, and a stream has
// a copy on each.
func TestCluster(t *testing.T) {
	lab.NeedRoot(t)
	dir := filepath.Join(t.TempDir(), "keys")
	must(t, Init(dir, Hosts{Thin: []string{host1}, Edges: []string{"r3"}}, Server{Data: t.TempDir(), Cluster: []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"}}, local, false))
	c := lab.NewCluster(t, buildServer(t), dir)
	users := usersIn(t, dir)
	key, err := nats.NkeyOptionFromSeed(users["admin"].seedFile(dir))
	must(t, err)
	nc, err := nats.Connect(c.URLs(), key, nats.RootCAs(filepath.Join(dir, caFile)), nats.SetCustomDialer(c.Hub), nats.MaxReconnects(-1),
		nats.PingInterval(time.Second)) // it notices that its server hangs, or is cut off
	must(t, err)
	t.Cleanup(nc.Close)
	js := stream(t, client{nc, t})
	answered(t, js)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "COPIES", Replicas: len(c.Servers)}); err != nil {
		t.Fatal(err)
	}
	faults := []struct{ begin, end func(*lab.Server) }{
		{func(s *lab.Server) { s.Kill() }, func(s *lab.Server) { s.Start(); c.WaitForLeader() }},
		{(*lab.Server).Suspend, (*lab.Server).Resume},
		{(*lab.Server).Cut, (*lab.Server).Mend},
	}
	for i, s := range c.Servers {
		store(t, js, "COPIES", "before "+s.URL)
		faults[i].begin(s)
		lab.Eventually(t, "a message is stored without "+s.URL, func() bool {
			_, err := js.Publish(t.Context(), "COPIES", nil, jetstream.WithMsgID(s.URL), jetstream.WithRetryAttempts(0))
			return err == nil
		})
		faults[i].end(s)
	}
	copies, err := js.Stream(t.Context(), "COPIES")
	must(t, err)
	if n := copies.CachedInfo().State.Msgs; n != 6 {
		t.Errorf("%d messages are stored, want 6", n)
	}
}

// The configuration of each server is accepted by nats-server.
func TestClusterConfiguration(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	names := []string{"n1", "n2.example.org:5222", "2001:db8::3"}
	must(t, Init(dir, Hosts{Thin: []string{host1}}, Server{Data: DefaultData, Cluster: names}, local, false))
	must(t, Add(dir, Hosts{Edges: []string{"r3"}}))
	type config struct {
		Name, Data        string
		Port, Edges       int
		Routes            []string
		RouteTLS, EdgeTLS bool
	}
	routes := []string{"tls://n1:6222", "tls://n2.example.org:7222", "tls://[2001:db8::3]:6222"}
	for name, want := range map[string]config{
		names[0]: {"n1", DefaultData + "/n1", 4222, 7422, routes, true, true},
		names[1]: {names[1], DefaultData + "/n2.example.org-5222", 5222, 8422, routes, true, true},
		names[2]: {names[2], DefaultData + "/2001-db8--3", 4222, 7422, routes, true, true},
	} {
		t.Chdir(filepath.Join(dir, name))
		o, err := server.ProcessConfigFile(ServerFile)
		if err != nil {
			t.Fatal(err)
		}
		got := config{o.ServerName, o.StoreDir, o.Port, o.LeafNode.Port, nil, o.Cluster.TLSConfig != nil, o.LeafNode.TLSConfig != nil}
		for _, r := range o.Routes {
			got.Routes = append(got.Routes, r.String())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if list, err := os.ReadFile(UsersFile); err != nil || !strings.Contains(string(list), "# edge r3") {
			t.Errorf("r3 is not a user of %s: %v", name, err)
		}
	}
	c, err := readClient(dir)
	if want := (Client{"tls://n1:4222,tls://n2.example.org:5222,tls://[2001:db8::3]:4222", filepath.Join(dir, caFile)}); err != nil || c != want {
		t.Errorf("clients have %+v, want %+v: %v", c, want, err)
	}
	// A new cluster replaces the old one.
	must(t, Init(dir, Hosts{Thin: []string{host1}}, plain, local, true))
	for _, name := range append(names, caFile, caKeyFile) {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s is still there", name)
		}
	}
}

// What an edge does through one server reaches clients of all servers, each once.
func TestEdgeOfCluster(t *testing.T) {
	lab.NeedRoot(t)
	program := buildServer(t)
	dir := filepath.Join(t.TempDir(), "keys")
	must(t, Init(dir, Hosts{Edges: []string{edge1}}, Server{Data: t.TempDir(), Cluster: []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"}}, local, false))
	c := lab.NewCluster(t, program, dir)
	users := usersIn(t, dir)
	as := func(name, url string) client {
		key, err := nats.NkeyOptionFromSeed(users[name].seedFile(dir))
		must(t, err)
		nc, err := nats.Connect(url, key, nats.RootCAs(filepath.Join(dir, caFile)), nats.CustomInboxPrefix("_INBOX."+users[name].key), nats.SetCustomDialer(c.Hub))
		must(t, err)
		t.Cleanup(nc.Close)
		return client{nc, t}
	}
	h := &hub{T: t, dir: dir, users: users}
	ruled := as("ruled", c.Servers[0].URL)
	answered(t, stream(t, ruled))
	h.prepare(ruled)

	at := lab.New(t, "edge")
	c.Join(at, "eth0", "192.0.2.50/24")
	own := t.TempDir()
	config, seedFile, err := Local{Directory: own}.Config()
	must(t, err)
	seed, err := os.ReadFile(users["edge-"+edge1].seedFile(dir))
	must(t, err)
	config += fmt.Sprintf(`
server_name: edge
listen: "127.0.0.1:4222"
jetstream { store_dir: %q, domain: edge }
leafnodes { remotes: [ { url: "tls://192.0.2.2:7422", account: NDMON, nkey: %q, tls { ca_file: %q } } ] }
`, own, strings.TrimSpace(string(seed)), filepath.Join(dir, caFile))
	path := filepath.Join(own, "edge.conf")
	must(t, os.WriteFile(path, []byte(config), 0o600))
	at.Start(lab.Command{Path: program, Args: []string{"-c", path}}).Stderr.WaitFor("Server is ready")
	key, err := nats.NkeyOptionFromSeed(seedFile)
	must(t, err)
	nc, err := nats.Connect("nats://127.0.0.1:4222", key, nats.CustomInboxPrefix("_INBOX."+users["edge-"+edge1].key), nats.SetCustomDialer(at))
	must(t, err)
	t.Cleanup(nc.Close)
	edge := client{nc, t}
	h.request(edge, schemas.UplinkPositionSubject(edge1))
	service, err := micro.AddService(nc, micro.Config{Name: "ndmon", Version: "1.0.0"})
	must(t, err)
	must(t, service.AddEndpoint("status", micro.HandlerFunc(func(r micro.Request) { r.Respond([]byte("status")) }),
		micro.WithEndpointSubject(schemas.StatusSubject("ndmon", edge1))))

	var live []*nats.Subscription
	for _, s := range c.Servers {
		viewer := as("viewer", s.URL)
		live = append(live, h.subscribe(viewer, schemas.SubjectAlerts))
		lab.Eventually(t, "the edge answers by "+s.URL, func() bool {
			m, err := viewer.Request(schemas.StatusSubject("ndmon", edge1), nil, time.Second)
			return err == nil && string(m.Data) == "status"
		})
	}
	// Interest in alerts reaches the leader of the stream soon after the subscription.
	lab.Eventually(t, "all see an alert", func() bool {
		_, err := h.ruled.Publish(t.Context(), schemas.SubjectAlerts, []byte("first"))
		must(t, err)
		for _, sub := range live {
			if _, err := sub.NextMsg(time.Second); err != nil {
				return false
			}
		}
		return true
	})
	must(t, batch(t, edge, edge1, 0, "1", "2"))
	after := h.request(edge, schemas.UplinkPositionSubject(edge1)).Header.Get("Nats-Sequence")
	if err := batch(t, edge, edge1, 0, "1", "2"); err == nil {
		t.Error("stored again")
	}
	last, err := strconv.ParseUint(after, 10, 64)
	must(t, err)
	must(t, batch(t, edge, edge1, last, "3"))
	for i, sub := range live {
		var got []string
		for m, err := sub.NextMsg(5 * time.Second); err == nil; m, err = sub.NextMsg(200 * time.Millisecond) {
			if string(m.Data) != "first" {
				got = append(got, string(m.Data))
			}
		}
		if diff := cmp.Diff([]string{"1", "2", "3"}, got); diff != "" {
			t.Errorf("alerts at %s (-want +got):\n%s", c.Servers[i].URL, diff)
		}
	}

	// More hosts change nothing for the edge. nats-server does not end the connection of a leaf node whose
	// user is removed, but does not let it in again.
	reload := func() {
		for _, s := range c.Servers {
			n := len(s.Stderr.String())
			s.Signal(syscall.SIGHUP)
			s.Stderr.WaitForAfter(n, "Reloaded server configuration")
		}
	}
	must(t, Add(dir, Hosts{Thin: []string{host1}, Edges: []string{edge2}}))
	reload()
	last, err = strconv.ParseUint(h.request(edge, schemas.UplinkPositionSubject(edge1)).Header.Get("Nats-Sequence"), 10, 64)
	must(t, err)
	must(t, batch(t, edge, edge1, last, "4"))
	for i, sub := range live {
		if m, err := sub.NextMsg(5 * time.Second); err != nil || string(m.Data) != "4" {
			t.Errorf("after a reload, at %s: %v, %v", c.Servers[i].URL, m, err)
		}
	}
	lab.Eventually(t, "the edge answers after a reload", func() bool {
		_, err := as("viewer", c.Servers[0].URL).Request(schemas.StatusSubject("ndmon", edge1), nil, time.Second)
		return err == nil
	})
	must(t, Remove(dir, Hosts{Edges: []string{edge1}}))
	reload()
	c.Servers[1].Kill()
	c.Servers[1].Start()
	lab.Eventually(t, "the edge is shut out", func() bool {
		_, err := edge.Request(schemas.UplinkPositionSubject(edge1), nil, time.Second)
		return errors.Is(err, nats.ErrNoResponders)
	})
}
