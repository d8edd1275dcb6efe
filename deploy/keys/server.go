package keys

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Server is the configuration of the server, or of each server of a cluster, besides its
// users. Its paths are paths on the server.
type Server struct {
	// Data is the directory of what the server stores.
	Data string
	// Cert and Key, if set, are files for TLS.
	Cert, Key string
	// CA, if set, is a file with the authorities of client certificates. Clients must have
	// one then.
	CA string
	// Cluster has the names or addresses of the servers of a cluster, each with or without a
	// port for clients. Without it, there is one server.
	Cluster []string
}

// clientPort is the port for clients. The port for the other servers of a cluster and that
// for edges have the same distance from it on every server.
const (
	clientPort = 4222
	routePort  = 6222
	edgePort   = 7422
)

func (s Server) check() error {
	switch {
	case s.Data == "":
		return errors.New("--data: is empty: use a directory")
	case (s.Cert == "") != (s.Key == ""):
		return errors.New("--tls-cert, --tls-key: need each other")
	case s.CA != "" && s.Cert == "":
		return errors.New("--tls-ca: needs --tls-cert and --tls-key; it is for client certificates")
	}
	for _, path := range []string{s.Data, s.Cert, s.Key, s.CA} {
		if !printable(path) {
			return fmt.Errorf("%q is not a path of printable characters", path)
		}
	}
	if n := len(slices.Compact(slices.Sorted(slices.Values(s.Cluster)))); len(s.Cluster) > 0 && (n < 3 || n < len(s.Cluster)) {
		return fmt.Errorf("--servers: %s: a cluster needs three or more different servers, because two of three must agree", strings.Join(s.Cluster, ","))
	}
	for _, name := range s.Cluster {
		host, port := splitServer(name)
		if host == "" || port < 1 || port > 65535-edgePort+clientPort || strings.ContainsFunc(host, notInHost) {
			return fmt.Errorf("--servers: %q is not the name or address of a server, with or without :PORT", name)
		}
	}
	return nil
}

func notInHost(r rune) bool {
	return !strings.ContainsRune("-_.:", r) && (r > 'z' || r < '0' || r > '9' && r < 'A' || r > 'Z' && r < 'a')
}

// splitServer returns the host and the port for clients of a server of a cluster. The port is
// zero if it is not a number.
func splitServer(name string) (host string, port int) {
	if net.ParseIP(name) != nil {
		return name, clientPort
	}
	host, text, err := net.SplitHostPort(name)
	if err != nil {
		return name, clientPort
	}
	port, err = strconv.Atoi(text)
	if err != nil {
		return host, 0
	}
	return host, port
}

// urls returns the URLs of a cluster's servers for clients or routes, given that port of a
// server with the default ports.
func (s Server) urls(port int) []string {
	var urls []string
	for _, name := range s.Cluster {
		host, p := splitServer(name)
		urls = append(urls, "tls://"+net.JoinHostPort(host, strconv.Itoa(p+port-clientPort)))
	}
	return urls
}

// SyncInterval is the interval at which JetStream flushes its files to the disk. With the
// server's default, a power failure loses the alerts of two minutes.
const SyncInterval = 2 * time.Second

// batches bounds the batches of alerts that are stored at the same time: one for each edge when
// all of them return at once, and one for each nd-ruled.
const batches = 10_000

// write writes the configuration of the server into the directory of the keys, or that of each
// server of a cluster into a directory of its own, with certificates. Those of the routes are
// always of an authority for this cluster: any server with a certificate of it is let in.
func (s Server) write(dir string) error {
	if len(s.Cluster) == 0 {
		return create(filepath.Join(dir, ServerFile), serverConfig(s, ""))
	}
	ca, err := newAuthority(dir)
	if err != nil {
		return err
	}
	for _, name := range s.Cluster {
		own := filepath.Join(dir, name)
		if err := os.Mkdir(own, 0o700); err != nil {
			return fmt.Errorf("make the directory of a server: %w", err)
		}
		host, _ := splitServer(name)
		if err := errors.Join(ca.issue(own, host), create(filepath.Join(own, ServerFile), serverConfig(s, name))); err != nil {
			return err
		}
	}
	return nil
}

// serverConfig returns the server's configuration without its users. Name is that of a server
// of a cluster.
func serverConfig(s Server, name string) []byte {
	host, port := splitServer(name)
	data := s.Data
	if name == "" {
		name, port = "ndmon", clientPort
	} else {
		data = filepath.Join(data, strings.ReplaceAll(name, ":", "-"))
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		host = "::"
	}
	listen := func(p int) string { return quote(net.JoinHostPort(host, strconv.Itoa(port+p-clientPort))) }
	var b bytes.Buffer
	fmt.Fprintf(&b, `# NATS server of an ndmon fleet. ndmon keys init made it once: you may change it.

server_name: %s
listen: %s

jetstream {
  # The directory of events, alerts and the state of nd-ruled.
  store_dir: %s
  # A power failure loses what was stored in this time.
  sync_interval: "%v"
  # An edge that was away stores its alerts in batches, one at a time.
  limits { batch { max_inflight_per_stream: %d, max_inflight_total: %d } }
}

# The accounts and their users. ndmon keys add and remove rewrite this file; the server
# reads it again when it reloads its configuration.
include %s
`, quote(name), listen(clientPort), quote(data), SyncInterval, batches, batches, quote(UsersFile))
	tls := s.tls()
	b.WriteString("\n" + tls)
	fmt.Fprintf(&b, "\n# Edges join here: ndmon --hub.\nleafnodes {\n  listen: %s\n%s}\n", listen(edgePort), indent(tls))
	if len(s.Cluster) > 0 {
		own := fmt.Sprintf("tls {\n  cert_file: %s\n  key_file: %s\n  ca_file: %s\n  verify: true\n}\n", quote(certFile), quote(keyFile), quote(caFile))
		fmt.Fprintf(&b, "\n# The other servers. Paths are relative to the directory in which the server starts.\ncluster {\n  name: \"ndmon\"\n  listen: %s\n%s  routes: %s\n}\n",
			listen(routePort), indent(own), list(s.urls(routePort)))
	}
	return b.Bytes()
}

// tls returns the settings for TLS of clients and edges, or the empty string.
func (s Server) tls() string {
	if s.Cert == "" && len(s.Cluster) > 0 {
		s.Cert, s.Key = certFile, keyFile
	}
	if s.Cert == "" {
		return ""
	}
	settings := fmt.Sprintf("tls {\n  cert_file: %s\n  key_file: %s\n", quote(s.Cert), quote(s.Key))
	if s.CA != "" {
		settings += fmt.Sprintf("  # Clients must have a certificate of one of these authorities.\n  ca_file: %s\n  verify: true\n", quote(s.CA))
	}
	return settings + "}\n"
}

func indent(lines string) string {
	var b strings.Builder
	for line := range strings.Lines(lines) {
		b.WriteString("  " + line)
	}
	return b.String()
}
