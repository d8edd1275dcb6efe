package notify

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/ndmon/ndmon/deploy/lab"
)

// rsyslog is Debian's rsyslogd on loopback, which writes what it receives into a file.
type rsyslog struct {
	*lab.Process
	t       *testing.T
	command lab.Command
	port    int
	file    string
}

func startRsyslog(t *testing.T, transport string) *rsyslog {
	t.Helper()
	if modules, err := filepath.Glob("/usr/lib/*/rsyslog/lmnsd_gtls.so"); transport == "tls" && (err != nil || modules == nil) {
		missing(t, "rsyslog-gnutls")
	}
	dir := t.TempDir()
	r := &rsyslog{t: t, port: freePort(t), file: filepath.Join(dir, "received")}
	input, settings := fmt.Sprintf(`input(type="imtcp" address="127.0.0.1" port="%d")`, r.port), ""
	switch transport {
	case "udp":
		input = fmt.Sprintf("module(load=\"imudp\")\n"+`input(type="imudp" address="127.0.0.1" port="%d" rcvbufSize="4m")`, r.port)
	case "tls":
		cert, key := certificate(t, dir)
		settings = fmt.Sprintf(`global(DefaultNetstreamDriver="gtls" DefaultNetstreamDriverCAFile="%s" DefaultNetstreamDriverCertFile="%[1]s" DefaultNetstreamDriverKeyFile="%s")
`, cert, key)
		input = `module(load="imtcp" StreamDriver.Name="gtls" StreamDriver.Mode="1" StreamDriver.AuthMode="anon")` + "\n" + input
	}
	if transport == "tcp" {
		input = `module(load="imtcp")` + "\n" + input
	}
	config := filepath.Join(dir, "rsyslog.conf")
	must(t, os.WriteFile(config, fmt.Appendf(nil, `global(workDirectory="%s")
%s%s
template(name="all" type="string" string="%%pri%% %%timestamp:::date-rfc3339%% %%hostname%% %%app-name%% %%msgid%% %%structured-data%% %%msg%%\n")
action(type="omfile" file="%s" template="all")
`, dir, settings, input, r.file), 0o600))
	r.command = lab.Command{Path: debian(t, "rsyslogd"), Args: []string{"-n", "-f", config, "-i", filepath.Join(dir, "pid")}}
	r.start()
	return r
}

// to is the receiver of a Notifier.
func (r *rsyslog) to(transport string) string {
	to := fmt.Sprintf("syslog+%s://127.0.0.1:%d#name=receiver", transport, r.port)
	if transport == "tls" {
		to += "&ca=" + filepath.Join(filepath.Dir(r.file), "cert.pem")
	}
	return to
}

func (r *rsyslog) start() { r.Process = lab.Start(r.t, r.command) }

func (r *rsyslog) ids() []string { return found(r.t, r.file, `id="`) }

// certificate makes a certificate for 127.0.0.1 that is its own authority.
func certificate(t *testing.T, dir string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &private.PublicKey, private)
	must(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	must(t, err)
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	must(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	must(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600))
	return cert, key
}

// lasting returns how long a receiver is away: NDMON_AWAY=5m, or a few seconds.
func lasting(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("NDMON_AWAY")
	if text == "" {
		return 2 * time.Second
	}
	d, err := time.ParseDuration(text)
	must(t, err)
	return d
}

// rate is how many alerts per second are stored while a receiver is away.
const rate = 1000

// While rsyslog is stopped or hangs under 1,000 alerts per second, no alert is lost and none is doubled.
func TestRsyslogAway(t *testing.T) {
	for _, transport := range []string{"tcp", "tls"} {
		t.Run(transport, func(t *testing.T) {
			r, f := startRsyslog(t, transport), newFixture(t, 1<<30)
			f.start(r.to(transport))
			stop := f.flow(rate)
			f.away(func() { r.Stop() }, r.start)
			if transport == "tcp" {
				f.away(func() { r.Signal(syscall.SIGSTOP) }, func() { r.Signal(syscall.SIGCONT) })
			}
			stop()
			f.complete(r.ids)
		})
	}
}

// A datagram that no one receives is sent again. Those that a server has not read when it stops are lost: see docs/receivers.md.
func TestRsyslogDatagrams(t *testing.T) {
	r, f := startRsyslog(t, "udp"), newFixture(t, 1<<30)
	f.start(r.to("udp"))
	f.store(100)
	f.complete(r.ids)
	r.Stop()
	f.store(300)
	lab.Eventually(t, "alerts wait", func() bool { return f.metric("nd_notify_waiting", "receiver", "") == 300 })
	r.start()
	f.complete(r.ids)
}

// away makes a receiver unreachable for a while, and logs what that costs.
func (f *fixture) away(begin, end func()) {
	f.t.Helper()
	n := f.stored.Load()
	lab.Eventually(f.t, "alerts flow", func() bool { return f.stored.Load() > n+rate/2 })
	begin()
	var peak uint64
	for until := time.Now().Add(lasting(f.t)); time.Now().Before(until); time.Sleep(50 * time.Millisecond) { // the length of the trouble, not a condition
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		peak = max(peak, m.HeapInuse)
	}
	waiting := f.metric("nd_notify_waiting", "receiver", "")
	end()
	begun := time.Now()
	for left := waiting + 1; left > rate/20; {
		lab.Eventually(f.t, "fewer wait", func() bool {
			now := f.metric("nd_notify_waiting", "receiver", "")
			fewer := now < left || now <= rate/20
			left = min(left, now)
			return fewer
		})
	}
	f.t.Logf("%v alerts waited, and were delivered after %v; heap in use at most %d MB", waiting, time.Since(begun).Round(time.Millisecond), peak>>20)
}
