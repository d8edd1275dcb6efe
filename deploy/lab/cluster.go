package lab

import (
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Cluster is a cluster of NATS servers, each in a namespace of its own. A bridge in Hub joins them.
type Cluster struct {
	// Hub has the bridge and an address on it. Programs and clients in it reach all servers.
	Hub     *Namespace
	Servers []*Server

	ports int
}

// Server is a server of a Cluster, a process that can be started again.
type Server struct {
	*Process
	// At is the server's namespace.
	At *Namespace
	// URL is that for clients. The authority of its certificate is ca.pem in the directory of the keys.
	URL string

	cluster                  *Cluster
	program, directory, port string
}

// clusterBridge is the bridge of a Cluster's hub.
const clusterBridge = "bridge"

// NewCluster starts the nats-server program for each server in a directory that
// ndmon keys init --servers has made. The servers are IPv4 addresses in one prefix of 24 bits,
// with the default ports. Its hub has the address that ends in 254. The data of the servers,
// with ndmon keys init --data, should be in a temporary directory.
func NewCluster(t TB, program, keys string) *Cluster {
	t.Helper()
	c := &Cluster{Hub: New(t, "hub")}
	c.Hub.Bridge(clusterBridge)
	files, err := filepath.Glob(filepath.Join(keys, "*", "nats-server.conf"))
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no servers of a cluster in %s: %v", keys, err)
	}
	for i, file := range files {
		dir, err := filepath.Abs(filepath.Dir(file))
		if err != nil {
			t.Fatalf("find %s: %v", file, err)
		}
		name := filepath.Base(dir)
		address, err := netip.ParseAddr(name)
		if err != nil || !address.Is4() {
			t.Fatalf("%s is not the IPv4 address of a server", name)
		}
		if i == 0 {
			c.Hub.Address(clusterBridge, name[:strings.LastIndex(name, ".")]+".254/24")
		}
		s := &Server{At: New(t, name), URL: "tls://" + name + ":4222", cluster: c, program: program, directory: dir}
		s.port = c.Join(s.At, "eth0", name+"/24")
		c.Servers = append(c.Servers, s)
		s.Start()
	}
	c.WaitForLeader()
	return c
}

// Join connects a namespace to the bridge by an interface with an address, and returns the
// interface of the hub: Hub.Down(port) pulls the cable.
func (c *Cluster) Join(n *Namespace, name, cidr string) (port string) {
	n.t.Helper()
	c.ports++
	port = "port" + strconv.Itoa(c.ports)
	c.Hub.Veth(port, n, name)
	n.must(c.Hub.Netlink.LinkSetMaster(c.Hub.Link(port), c.Hub.Link(clusterBridge)), "join the cluster")
	n.Address(name, cidr)
	return port
}

// WaitForLeader waits until each server that was started has heard who leads JetStream.
func (c *Cluster) WaitForLeader() {
	for _, s := range c.Servers {
		s.Stderr.WaitFor("JetStream cluster", "metadata leader")
	}
}

// URLs returns those of all servers, separated by commas.
func (c *Cluster) URLs() string {
	var urls []string
	for _, s := range c.Servers {
		urls = append(urls, s.URL)
	}
	return strings.Join(urls, ",")
}

// Start starts the server, again after it has ended, with what it has stored.
func (s *Server) Start() {
	s.At.t.Helper()
	c := Command{Path: s.program, Args: []string{"-c", "nats-server.conf"}, Dir: s.directory}
	s.Process = s.At.Start(c)
	s.Stderr.WaitFor("Server is ready")
}

// Suspend stops the server's threads (SIGSTOP) until Resume.
func (s *Server) Suspend() { s.Signal(syscall.SIGSTOP) }

// Resume lets a suspended server go on.
func (s *Server) Resume() { s.Signal(syscall.SIGCONT) }

// Cut pulls the server's cable, until Mend.
func (s *Server) Cut() { s.cluster.Hub.Down(s.port) }

// Mend plugs the server's cable in again.
func (s *Server) Mend() { s.cluster.Hub.Up(s.port) }
