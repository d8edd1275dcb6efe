// Package port holds the state of the host's slave and master interfaces at one moment.
// A Port is such an interface, and a Set is all of them. Both never change: a change in
// the kernel makes a new Set.
//
// The package belongs to everything that needs to know which ports exist, which address
// packets leave from, and why a port is unusable. What is sent through a port is in
// package wire, and what is looked for behind it in package probe.
package port
