// Package kernel reads and changes the Linux kernel for the pinger: the
// neighbour table, host routes, a routing table and rule per slave, and sysctls. It uses
// rtnetlink.
//
// It decides nothing: which targets have host routes is in package hostroute. The
// host's interfaces are in schemas/iface, sockets for probes in package wire.
package kernel
