package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
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

// certificates makes an authority and a certificate for 127.0.0.1 and hubAddress, which is good
// for a server and for a client, and returns their files.
func certificates(t *testing.T) (ca, cert, key string) {
	t.Helper()
	newKey := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(t, err)
		return k
	}
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "nats"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.ParseIP(hubAddress)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
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
	must(t, err)
	seed := readFile(t, seedFile)
	pair, err := nkeys.FromSeed([]byte(strings.TrimSpace(string(seed))))
	must(t, err)
	public, err := pair.PublicKey()
	must(t, err)
	nc, err := nats.Connect(localNATS, append(opts, key, nats.RootCAs(ca), nats.CustomInboxPrefix("_INBOX."+public), nats.SetCustomDialer(from))...)
	if err != nil {
		t.Fatalf("connect with %s: %v", filepath.Base(seedFile), err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// The hosts of TestKeys. The server knows the second one later.
const keysHost, keysOther = "r1", "r2.example.org"

// keyed is a fleet on one host with the keys and the server's configuration that
// ndmon keys makes, over TLS.
type keyed struct {
	t                *testing.T
	r                *lab.Router
	broker           *broker
	dir              string
	ca, cert, key    string
	wire             *lab.Wire
	viewer, operator *nats.Conn
	alerts, results  <-chan *nats.Msg
	// byHand is an operator's command.
	byHand []byte

	ruled, sensor, pinger *lab.Process
}

// keys runs ndmon keys.
func (k *keyed) keys(command string, args ...string) {
	k.t.Helper()
	if p := lab.Start(k.t, program("ndmon", append([]string{"keys", command, k.dir}, args...)...)); p.Wait() != 0 {
		k.t.Fatalf("ndmon keys %s fails: %s", command, p.Stderr)
	}
}

func (k *keyed) seed(user string) string { return filepath.Join(k.dir, user+".nk") }

// as returns a command with the key of a user.
func (k *keyed) as(user string, c lab.Command, env ...string) lab.Command {
	return with(c, append(env, "NATS_NKEY="+k.seed(user), "NATS_CA="+k.ca, "NATS_CERT="+k.cert, "NATS_KEY="+k.key)...)
}

func (k *keyed) startRuled() {
	k.ruled = k.r.Start(k.as("ruled", program("nd-ruled"), "RULED_METRICS=127.0.0.1:9101"))
	k.ruled.Stderr.WaitFor("reading events")
}

// startSensor starts the sensor of a host with the keys of one, startPinger the
// pinger.
func (k *keyed) startSensor(keys, host string, env ...string) {
	k.sensor = k.r.Start(k.as("sensor-"+keys, program("nd-sensor"), append(env, "SENSOR_HOST="+host, "SENSOR_METRICS=127.0.0.1:9102")...))
}

func (k *keyed) startPinger(keys, host, slaves string) {
	k.pinger = k.r.Start(k.as("pinger-"+keys, program("nd-pinger"), "PINGER_HOST="+host, "PINGER_SLAVES="+slaves, "PINGER_METRICS=127.0.0.1:9103"))
}

// wait waits for a result that is the one.
func (k *keyed) wait(what string, is func(result) bool) {
	k.t.Helper()
	for !is(parse[result](k.t, next(k.t, k.results, what).Data)) {
	}
}

// A fleet with keys, over TLS: all of it works, and a host's keys are valid only for
// that host.
func TestKeys(t *testing.T) {
	t.Parallel()
	k := &keyed{t: t, dir: filepath.Join(t.TempDir(), "keys")}
	k.ca, k.cert, k.key = certificates(t)
	k.keys("init", "--hosts", keysHost, "--data", t.TempDir(), "--tls-cert", k.cert, "--tls-key", k.key, "--tls-ca", k.ca)
	k.r = lab.NewRouter(t)
	k.broker = &broker{t: t, at: k.r.Namespace, conf: filepath.Join(k.dir, "nats-server.conf")}
	k.broker.start()
	k.startRuled()
	k.startSensor(keysHost, keysHost, "SENSOR_MASTERS="+lab.Master)
	k.startPinger(keysHost, keysHost, lab.Slave1+","+lab.Slave2)
	for _, p := range []*lab.Process{k.sensor, k.pinger} {
		p.Stderr.WaitFor("connected to NATS")
	}
	k.sensor.Stderr.WaitFor("msg=capturing", "interface="+lab.Master)
	k.pinger.Stderr.WaitFor("pinger ready")
	mutual := nats.ClientCert(k.cert, k.key)
	k.viewer, k.operator = as(t, k.r.Namespace, k.seed("viewer"), k.ca, mutual), as(t, k.r.Namespace, k.seed("operator"), k.ca, mutual)
	k.alerts, k.results = collect(t, k.viewer, "nd.alerts"), collect(t, k.operator, "nd.results.>")
	k.wire = k.r.Upstream.Wire("eth0")

	k.works()
	k.restores()
	k.wasPermitted()
	k.refusesAnotherHost()
	k.learnsHosts()
	k.renewsCertificates()
}

// works: an event becomes an alert, and what the router or an operator looks for
// the pinger finds.
func (k *keyed) works() {
	k.wire.Send(numbered(1))
	if a := parseAlert(k.t, next(k.t, k.alerts, "an alert").Data); numberOf(k.t, a) != 1 || a.Host != keysHost {
		k.t.Errorf("alert %+v", a)
	}
	k.r.Solicit(lab.Host2Address)
	k.wait("the result of a solicitation", func(r result) bool { return r.Slave == lab.Slave2 && r.Status == "reachable" })
	now := time.Now().UTC()
	k.byHand = marshal(schemas.Relay{
		Type: schemas.TypeRelay, ID: "by-hand", Time: now, Expires: now.Add(time.Minute), Host: keysHost, Target: lab.Host1Address,
	})
	publish(k.t, k.operator, "nd.relay."+keysHost, k.byHand)
	k.wait("the result of an operator's command", func(r result) bool { return r.Relay == "by-hand" && r.Status == "reachable" })
	find := k.r.Start(k.as("operator", program("ndmon", "find", lab.Host1Address.String(), "--nats", localNATS)))
	if find.Wait() != 0 || !strings.Contains("\n"+find.Stdout.String(), "\n"+keysHost+"  "+lab.Slave1+"  ") {
		k.t.Errorf("find: %q, %q", find.Stdout, find.Stderr)
	}
}

// restores: the state is stored, read by nd-ruled neighbors, and restored.
func (k *keyed) restores() {
	if p := k.r.Start(k.as("ruled", program("nd-ruled", "neighbors"))); p.Wait() != 0 || !strings.Contains(p.Stdout.String(), keysHost) || p.Stderr.String() != "" {
		k.t.Errorf("neighbors: %q, %q", p.Stdout, p.Stderr)
	}
	learn := k.r.Start(k.as("ruled", program("nd-ruled", "--learn", "2s")))
	learn.Stderr.WaitFor("reading events")
	router := newStation(9)
	k.wire.Send(lab.RouterAdvertisement(router.mac, router.address, 1800).Frame())
	if learn.Wait() != 0 || strings.Contains(learn.Stderr.String(), "level=WARN") {
		k.t.Errorf("learning: %q", learn.Stderr)
	}
	k.ruled.Kill()
	k.startRuled()
	k.ruled.Stderr.WaitFor("going on from the stored state")
	k.wire.Send(numbered(2))
	if a := parseAlert(k.t, next(k.t, k.alerts, "an alert after a restart").Data); numberOf(k.t, a) != 2 {
		k.t.Errorf("alert %+v", a)
	}
	k.broker.Kill()
	k.broker.start()
	k.wire.Send(numbered(3))
	lab.Eventually(k.t, "the alert is stored when the server is back", func() bool {
		js, err := k.viewer.JetStream()
		if err != nil {
			k.t.Fatal(err)
		}
		m, err := js.GetLastMsg(schemas.StreamAlerts, schemas.SubjectAlerts)
		return err == nil && numberOf(k.t, parseAlert(k.t, m.Data)) == 3
	})
}

// wasPermitted: the server refused nothing so far, and all are well.
func (k *keyed) wasPermitted() {
	for name, address := range map[string]string{"nd-ruled": "RULED_METRICS=127.0.0.1:9101", "nd-sensor": "SENSOR_METRICS=127.0.0.1:9102",
		"nd-pinger": "PINGER_METRICS=127.0.0.1:9103"} {
		lab.Eventually(k.t, name+" is well", func() bool { return k.r.Start(with(program(name, "health"), address)).Wait() == 0 })
	}
	for _, nc := range []*nats.Conn{k.viewer, k.operator} {
		if err := nc.LastError(); err != nil && strings.Contains(err.Error(), "ermission") {
			k.t.Error(err)
		}
	}
	for _, p := range []*lab.Process{k.ruled, k.sensor, k.pinger} {
		if status := p.Stop(); status != 0 || strings.Contains(p.Stderr.String(), "ermission") {
			k.t.Errorf("exit status %d, %s", status, p.Stderr)
		}
	}
}

// refusesAnotherHost: the keys of one host are not valid for another, and a daemon
// that tries logs it.
func (k *keyed) refusesAnotherHost() {
	k.startSensor(keysHost, keysOther, "SENSOR_INTERFACES="+lab.Master)
	k.sensor.Stderr.WaitFor("msg=capturing")
	k.startPinger(keysHost, keysOther, lab.Slave1)
	k.wire.Send(numbered(4))
	k.sensor.Stderr.WaitFor(`Permissions Violation for Publish to \"nd.events.r2=2Eexample=2Eorg.`)
	k.pinger.Stderr.WaitFor(`Permissions Violation for Subscription to \"nd.relay.r2=2Eexample=2Eorg\"`)
	for name, address := range map[string]string{"nd-sensor": "SENSOR_METRICS=127.0.0.1:9102", "nd-pinger": "PINGER_METRICS=127.0.0.1:9103"} {
		p := k.r.Start(with(program(name, "health"), address))
		if status := p.Wait(); status != 1 || !strings.HasPrefix(p.Stdout.String(), "NATS: nats: permissions violation") {
			k.t.Errorf("%s health: status %d, %q", name, status, p.Stdout)
		}
	}
}

// learnsHosts: more hosts have rights once the server has read its configuration
// again.
func (k *keyed) learnsHosts() {
	k.keys("add", "--hosts", keysOther)
	k.broker.Signal(syscall.SIGHUP)
	k.broker.Stderr.WaitFor("Reloaded server configuration")
	k.sensor.Stop()
	k.startSensor(keysOther, keysOther, "SENSOR_INTERFACES="+lab.Master)
	k.sensor.Stderr.WaitFor("connected to NATS")
	k.sensor.Stderr.WaitFor("msg=capturing")
	k.startRuled()
	k.wire.Send(numbered(5))
	for {
		if a := parseAlert(k.t, next(k.t, k.alerts, "an alert of the new host").Data); numberOf(k.t, a) == 5 && a.Host == keysOther {
			break
		}
	}
	k.pinger.Stop()
	k.startPinger(keysOther, keysOther, lab.Slave1)
	k.pinger.Stderr.WaitFor("pinger ready")
	lab.Eventually(k.t, "a result of the new host", func() bool {
		// What is sent before it has subscribed is not seen.
		publish(k.t, k.operator, schemas.RelaySubject(keysOther), bytes.Replace(k.byHand, []byte(`"`+keysHost+`"`), []byte(`"`+keysOther+`"`), 1))
		for len(k.results) > 0 {
			if m := parse[result](k.t, (<-k.results).Data); m.Host == keysOther && m.Status == "reachable" {
				return true
			}
		}
		return false
	})
}

// renewsCertificates: so is a certificate that was renewed, and a host that was
// removed has no rights any more.
func (k *keyed) renewsCertificates() {
	k.keys("remove", "--hosts", keysOther)
	newCA, newCert, newKey := certificates(k.t)
	for from, to := range map[string]string{newCA: k.ca, newCert: k.cert, newKey: k.key} {
		content, err := os.ReadFile(from)
		if err != nil {
			k.t.Fatal(err)
		}
		if err := os.WriteFile(to, content, 0o644); err != nil {
			k.t.Fatal(err)
		}
	}
	k.broker.Signal(syscall.SIGHUP)
	for _, p := range []*lab.Process{k.sensor, k.pinger} {
		p.Stderr.WaitFor("lost the connection to NATS")
	}
	viewer := as(k.t, k.r.Namespace, k.seed("viewer"), newCA, nats.ClientCert(newCert, newKey))
	if state := viewer.ConnectedUrl(); state == "" {
		k.t.Error("no connection with the certificate that was renewed")
	}
	lab.Eventually(k.t, "ruled is connected with it", func() bool {
		return k.r.Start(with(program("nd-ruled", "health"), "RULED_METRICS=127.0.0.1:9101")).Wait() == 0
	})
	if log := k.sensor.Stderr.String(); strings.Count(log, "connected to NATS") != 1 {
		k.t.Errorf("the host that was removed comes back:\n%s", log)
	}
}
