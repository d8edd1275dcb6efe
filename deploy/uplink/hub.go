// Package uplink connects an edge, an ndmon that evaluates its own links, to the hub of its fleet: it makes
// the embedded NATS server a leaf node of the hub, and forwards the alerts. What else may cross is decided by
// the permissions of the edge's key at the hub.
package uplink

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/ndmon/ndmon/deploy/keys"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
)

// leafPort is the port for leaf nodes at a hub.
const leafPort = "7422"

// Hub is how an edge reaches its hub.
type Hub struct {
	// Host is the host of the key.
	Host string
	// Inboxes is the prefix of the subjects for answers from the hub.
	Inboxes string

	urls []*url.URL
	seed string      // of the edge's key
	tls  *tls.Config // nil without TLS
}

// HostOf returns the host of a key, which is in the name of its file: edge-HOST.nk, as ndmon keys makes it, or HOST.nk.
func HostOf(key string) string {
	return strings.TrimSuffix(strings.TrimPrefix(filepath.Base(key), "edge-"), ".nk")
}

// Open returns the hub at a comma-separated list of URLs, for the key in a file. The files for TLS are those of cfg.
func Open(urls, key string, cfg bus.Config) (Hub, error) {
	h := Hub{Host: HostOf(key)}
	scheme := ""
	for _, text := range strings.Split(urls, ",") {
		if before, _, ok := strings.Cut(text, "://"); ok {
			scheme = before + "://"
		} else {
			text = scheme + text
		}
		u, err := url.Parse(text)
		if err != nil || u.Hostname() == "" || u.Scheme != "tls" && u.Scheme != "nats-leaf" {
			return h, fmt.Errorf("--hub: %q is not a URL such as tls://hub.example.org or nats-leaf://hub.example.org:%s", text, leafPort)
		}
		if u.Port() == "" {
			u.Host = net.JoinHostPort(u.Hostname(), leafPort)
		}
		h.urls = append(h.urls, u)
	}
	seed, err := os.ReadFile(key)
	if err != nil {
		return h, fmt.Errorf("--key: %w", err)
	}
	pair, err := nkeys.FromSeed(bytes.TrimSpace(seed))
	if err == nil {
		var user string
		user, err = pair.PublicKey()
		h.seed, h.Inboxes = string(bytes.TrimSpace(seed)), nats.InboxPrefix+user
	}
	if err != nil {
		return h, fmt.Errorf("--key: %s is not the key of an edge, which ndmon keys makes: %w", key, err)
	}
	if h.urls[0].Scheme == "tls" {
		h.tls, err = tlsConfig(cfg)
	}
	return h, err
}

func tlsConfig(cfg bus.Config) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if cfg.CA != "" {
		pem, err := os.ReadFile(cfg.CA)
		if err != nil {
			return nil, fmt.Errorf("NATS_CA: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("NATS_CA: %s has no certificate in PEM", cfg.CA)
		}
	}
	if (cfg.Cert == "") != (cfg.Key == "") {
		return nil, errors.New("NATS_CERT, NATS_KEY: need each other")
	}
	if cfg.Cert != "" {
		pair, err := tls.LoadX509KeyPair(cfg.Cert, cfg.Key)
		if err != nil {
			return nil, fmt.Errorf("NATS_CERT, NATS_KEY: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// Times after which the server of an edge finds that its hub is away.
const (
	pingInterval = 5 * time.Second
	pings        = 2
)

// Join makes a server with these options a leaf node of the hub.
//
// The hub decides what the key may publish and subscribe to. In addition, nothing of the edge's own streams and
// state ever crosses, whatever the hub allows.
func (h Hub) Join(o *server.Options) {
	token := schemas.EscapeToken(h.Host)
	o.ServerName, o.JetStreamDomain = "ndmon-"+token, token
	o.PingInterval, o.MaxPingsOut = pingInterval, pings
	own := []string{
		schemas.SubjectAlerts, schemas.SubjectStored, schemas.SubjectBatches, schemas.SubjectFences, schemas.SubjectHistory, "nd.state.>", "$JS.>", "$KV.>", "$O.>",
		schemas.CopyAPI + ".>", schemas.OriginAPI + ".>", schemas.CopyDeliver + ".>",
	}
	o.LeafNode.Remotes = []*server.RemoteLeafOpts{{
		LocalAccount: keys.Account, URLs: h.urls, Nkey: h.seed, TLS: h.tls != nil, TLSConfig: h.tls,
		DenyExports: append(own[:len(own):len(own)], schemas.SubjectRelayAll, "nd.relay.>"),
		// nats-server applies these in both directions to subscriptions with wildcards.
		DenyImports: own,
		// The edges of a fleet have nothing to say to each other.
		RequestIsolation: true,
	}}
}
