//go:build linux

package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas"
)

// certificates makes an authority and a certificate for 127.0.0.1, which is good
// for a server and for a client, and returns their files.
func certificates(t *testing.T) (ca, cert, key string) {
	t.Helper()
	newKey := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "nats"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	caKey, leafKey := newKey(), newKey()
	file := func(name, kind string, der []byte, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		return write(t, name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	der, err := x509.CreateCertificate(rand.Reader, authority, authority, &caKey.PublicKey, caKey)
	ca = file("ca.pem", "CERTIFICATE", der, err)
	der, err = x509.CreateCertificate(rand.Reader, leaf, authority, &leafKey.PublicKey, caKey)
	cert = file("cert.pem", "CERTIFICATE", der, err)
	der, err = x509.MarshalPKCS8PrivateKey(leafKey)
	key = file("key.pem", "PRIVATE KEY", der, err)
	return ca, cert, key
}

// as connects as the user of a seed file, over TLS.
func as(t *testing.T, from *lab.Namespace, seedFile, ca string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	key, err := nats.NkeyOptionFromSeed(seedFile)
	if err != nil {
		t.Fatal(err)
	}
	seed, err := os.ReadFile(seedFile)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := nkeys.FromSeed([]byte(strings.TrimSpace(string(seed))))
	if err != nil {
		t.Fatal(err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(localNATS, append(opts, key, nats.RootCAs(ca), nats.CustomInboxPrefix("_INBOX."+public), nats.SetCustomDialer(from))...)
	if err != nil {
		t.Fatalf("connect with %s: %v", filepath.Base(seedFile), err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// A fleet with the keys and the server's configuration that ndmon keys makes,
// over TLS: all of it works, and a host's keys are good for that host alone.
func TestKeys(t *testing.T) {
	t.Parallel()
	const host, other = "r1", "r2.example.org"
	ca, cert, key := certificates(t)
	dir := filepath.Join(t.TempDir(), "keys")
	if p := lab.Start(t, program("ndmon", "keys", "init", dir, "--hosts", host, "--data", t.TempDir(), "--tls-cert", cert, "--tls-key", key, "--tls-ca", ca)); p.Wait() != 0 {
		t.Fatal("no keys are made")
	}
	r := lab.NewRouter(t)
	b := &broker{t: t, at: r.Namespace, conf: filepath.Join(dir, "nats-server.conf")}
	b.start()
	seed := func(name string) string { return filepath.Join(dir, name+".nk") }
	run := func(name, user string, env ...string) *lab.Process {
		return r.Start(with(program(name), append(env, "NATS_NKEY="+seed(user), "NATS_CA="+ca, "NATS_CERT="+cert, "NATS_KEY="+key)...))
	}
	startRuled := func() *lab.Process {
		ruled := run("nd-ruled", "ruled", "RULED_METRICS=127.0.0.1:9101")
		ruled.Stderr.WaitFor("reading events")
		return ruled
	}
	ruled := startRuled()
	sensor := run("nd-sensor", "sensor-"+host, "SENSOR_HOST="+host, "SENSOR_MASTERS="+lab.Master, "SENSOR_METRICS=127.0.0.1:9102")
	pinger := run("nd-pinger", "pinger-"+host, "PINGER_HOST="+host, "PINGER_SLAVES="+lab.Slave1+","+lab.Slave2, "PINGER_METRICS=127.0.0.1:9103")
	for _, p := range []*lab.Process{sensor, pinger} {
		p.Stderr.WaitFor("connected to NATS")
	}
	sensor.Stderr.WaitFor("msg=capturing", "interface="+lab.Master)
	pinger.Stderr.WaitFor("pinger ready")
	mutual := nats.ClientCert(cert, key)
	viewer, operator := as(t, r.Namespace, seed("viewer"), ca, mutual), as(t, r.Namespace, seed("operator"), ca, mutual)
	alerts, results := collect(t, viewer, "nd.alerts"), collect(t, operator, "nd.results.>")

	// An event becomes an alert.
	wire := r.Upstream.Wire("eth0")
	wire.Send(numbered(1))
	if a := parseAlert(t, next(t, alerts, "an alert").Data); numberOf(t, a) != 1 || a.Host != host {
		t.Errorf("alert %+v", a)
	}
	// What the router looks for its pinger finds, and so does an operator.
	r.Solicit(lab.Host2Address)
	reachable := func(why string) {
		t.Helper()
		for {
			if m := parse[result](t, next(t, results, why).Data); m.Slave == lab.Slave2 && m.Status == "reachable" {
				return
			}
		}
	}
	reachable("the result of a solicitation")
	now := time.Now().UTC()
	data, err := json.Marshal(schemas.Relay{
		Type: schemas.TypeRelay, ID: "by-hand", Time: now, Expires: now.Add(time.Minute), Host: host, Target: lab.Host1Address,
	})
	if err != nil {
		t.Fatal(err)
	}
	publish(t, operator, "nd.relay."+host, data)
	for {
		if m := parse[result](t, next(t, results, "the result of an operator's command").Data); m.Relay == "by-hand" && m.Status == "reachable" {
			break
		}
	}
	find := r.Start(with(program("ndmon", "find", lab.Host1Address.String(), "--nats", localNATS),
		"NATS_NKEY="+seed("operator"), "NATS_CA="+ca, "NATS_CERT="+cert, "NATS_KEY="+key))
	if find.Wait() != 0 || !strings.HasPrefix(find.Stdout.String(), host+"  "+lab.Slave1+"  ") {
		t.Errorf("find: %q, %q", find.Stdout, find.Stderr)
	}

	// The state is stored, read by nd-ruled neighbors, and restored.
	neighbors := with(program("nd-ruled", "neighbors"), "NATS_NKEY="+seed("ruled"), "NATS_CA="+ca, "NATS_CERT="+cert, "NATS_KEY="+key)
	if p := r.Start(neighbors); p.Wait() != 0 || !strings.Contains(p.Stdout.String(), host) || p.Stderr.String() != "" {
		t.Errorf("neighbors: %q, %q", p.Stdout, p.Stderr)
	}
	learn := r.Start(with(program("nd-ruled", "--learn", "2s"), neighbors.Env...))
	learn.Stderr.WaitFor("reading events")
	router := newStation(9)
	wire.Send(lab.RouterAdvertisement(router.mac, router.address, 1800).Frame())
	if learn.Wait() != 0 || strings.Contains(learn.Stderr.String(), "level=WARN") {
		t.Errorf("learning: %q", learn.Stderr)
	}
	ruled.Kill()
	ruled = startRuled()
	ruled.Stderr.WaitFor("going on from the stored state")
	wire.Send(numbered(2))
	if a := parseAlert(t, next(t, alerts, "an alert after a restart").Data); numberOf(t, a) != 2 {
		t.Errorf("alert %+v", a)
	}
	b.Kill()
	b.start()
	wire.Send(numbered(3))
	lab.Eventually(t, "the alert is stored when the server is back", func() bool {
		js, err := viewer.JetStream()
		if err != nil {
			t.Fatal(err)
		}
		m, err := js.GetLastMsg(schemas.StreamAlerts, schemas.SubjectAlerts)
		return err == nil && numberOf(t, parseAlert(t, m.Data)) == 3
	})

	// All that was done was permitted, and all are well.
	for name, address := range map[string]string{"nd-ruled": "RULED_METRICS=127.0.0.1:9101", "nd-sensor": "SENSOR_METRICS=127.0.0.1:9102",
		"nd-pinger": "PINGER_METRICS=127.0.0.1:9103"} {
		lab.Eventually(t, name+" is well", func() bool { return r.Start(with(program(name, "health"), address)).Wait() == 0 })
	}
	for _, nc := range []*nats.Conn{viewer, operator} {
		if err := nc.LastError(); err != nil && strings.Contains(err.Error(), "ermission") {
			t.Error(err)
		}
	}
	for _, p := range []*lab.Process{ruled, sensor, pinger} {
		if status := p.Stop(); status != 0 || strings.Contains(p.Stderr.String(), "ermission") {
			t.Errorf("exit status %d, %s", status, p.Stderr)
		}
	}

	// With the keys of one host nothing is done for another, and who tries says so.
	sensor = run("nd-sensor", "sensor-"+host, "SENSOR_HOST="+other, "SENSOR_INTERFACES="+lab.Master, "SENSOR_METRICS=127.0.0.1:9102")
	sensor.Stderr.WaitFor("msg=capturing")
	pinger = run("nd-pinger", "pinger-"+host, "PINGER_HOST="+other, "PINGER_SLAVES="+lab.Slave1, "PINGER_METRICS=127.0.0.1:9103")
	wire.Send(numbered(4))
	sensor.Stderr.WaitFor(`Permissions Violation for Publish to \"nd.events.r2=2Eexample=2Eorg.`)
	pinger.Stderr.WaitFor(`Permissions Violation for Subscription to \"nd.relay.r2=2Eexample=2Eorg\"`)
	for name, address := range map[string]string{"nd-sensor": "SENSOR_METRICS=127.0.0.1:9102", "nd-pinger": "PINGER_METRICS=127.0.0.1:9103"} {
		p := r.Start(with(program(name, "health"), address))
		if status := p.Wait(); status != 1 || !strings.HasPrefix(p.Stdout.String(), "NATS: nats: permissions violation") {
			t.Errorf("%s health: status %d, %q", name, status, p.Stdout)
		}
	}

	// More hosts are known once the server has read its configuration again.
	if p := lab.Start(t, program("ndmon", "keys", "add", dir, "--hosts", other)); p.Wait() != 0 {
		t.Fatal("no more keys are made")
	}
	b.Signal(syscall.SIGHUP)
	b.Stderr.WaitFor("Reloaded server configuration")
	sensor.Stop()
	sensor = run("nd-sensor", "sensor-"+other, "SENSOR_HOST="+other, "SENSOR_INTERFACES="+lab.Master)
	sensor.Stderr.WaitFor("connected to NATS")
	sensor.Stderr.WaitFor("msg=capturing")
	startRuled()
	wire.Send(numbered(5))
	for {
		if a := parseAlert(t, next(t, alerts, "an alert of the new host").Data); numberOf(t, a) == 5 && a.Host == other {
			break
		}
	}
	pinger.Stop()
	pinger = run("nd-pinger", "pinger-"+other, "PINGER_HOST="+other, "PINGER_SLAVES="+lab.Slave1)
	pinger.Stderr.WaitFor("pinger ready")
	lab.Eventually(t, "a result of the new host", func() bool {
		// What is sent before it has subscribed is not seen.
		publish(t, operator, schemas.RelaySubject(other), bytes.Replace(data, []byte(`"`+host+`"`), []byte(`"`+other+`"`), 1))
		for len(results) > 0 {
			if m := parse[result](t, (<-results).Data); m.Host == other && m.Status == "reachable" {
				return true
			}
		}
		return false
	})

	// So is a certificate that was renewed, and a host that is not there any more.
	if p := lab.Start(t, program("ndmon", "keys", "remove", dir, "--hosts", other)); p.Wait() != 0 {
		t.Fatal("no keys are removed")
	}
	newCA, newCert, newKey := certificates(t)
	for from, to := range map[string]string{newCA: ca, newCert: cert, newKey: key} {
		content, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b.Signal(syscall.SIGHUP)
	for _, p := range []*lab.Process{sensor, pinger} {
		p.Stderr.WaitFor("lost the connection to NATS")
	}
	viewer = as(t, r.Namespace, seed("viewer"), newCA, nats.ClientCert(newCert, newKey))
	if state := viewer.ConnectedUrl(); state == "" {
		t.Error("no connection with the certificate that was renewed")
	}
	lab.Eventually(t, "ruled is connected with it", func() bool {
		return r.Start(with(program("nd-ruled", "health"), "RULED_METRICS=127.0.0.1:9101")).Wait() == 0
	})
	if log := sensor.Stderr.String(); strings.Count(log, "connected to NATS") != 1 {
		t.Errorf("the host that was removed comes back:\n%s", log)
	}
}
