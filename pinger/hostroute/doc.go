// Package hostroute keeps, for each target that was found behind a slave, a route to it
// through that slave and a proxy neighbour entry on the masters, so that hosts on the
// masters' links find and reach it. It decides which targets have them, verifies that
// the targets are still there, and follows targets that move.
//
// It has probes sent through the Prober of its caller, and changes the kernel through a
// Kernel; how these work is in packages probe and kernel.
package hostroute
