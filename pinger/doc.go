// Package pinger carries out relay commands: it looks for the target of each behind the
// slave interfaces and publishes one result per slave.
//
// It solicits for the target itself. When the target answers, it sends an ICMPv6 echo
// request, so that the kernel discovers the neighbour. So a target that does not exist
// takes no entry in the kernel's neighbour table. On links without Ethernet, and
// without CAP_NET_RAW, it sends the echo request alone, and the kernel solicits.
// With Config.Route and Config.Proxy it keeps host routes to the targets found.
//
// A command is carried out on the goroutine that receives it, from a Set of ports that
// netlink notifications keep up to date: no goroutine and no netlink request comes
// between a command and its probes. The pinger is idle while nothing happens, except
// that it verifies the targets that have host routes.
//
// The package holds the configuration and the wiring: it subscribes to commands, keeps
// ports and their sockets up to date, and connects the packages that do the work:
//
//	probe      command → probes → results
//	hostroute  found targets → host routes
//	wire       sockets and packets
//	kernel     neighbours, routes, rules (rtnetlink)
//	port       slaves and masters at one moment
package pinger
