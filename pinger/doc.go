// Package pinger carries out relay commands: it looks for the target of each behind the
// slave interfaces and publishes one result per slave. With Config.Route and Config.Proxy
// it keeps host routes to the targets found.
//
// The package holds the configuration, and the wiring of the packages that do the work:
//
//	probe      command → probes → results
//	hostroute  found targets → host routes
//	conflict   addresses on two links → events
//	wire       sockets and packets
//	kernel     neighbours, routes, rules (rtnetlink)
//	port       slaves and masters at one moment
//
// A command is carried out on the goroutine that receives it, from a Set of ports that
// netlink notifications keep up to date: no goroutine and no netlink request comes
// between a command and its probes. The pinger is idle while nothing happens, except
// that it verifies the targets that have host routes.
package pinger
