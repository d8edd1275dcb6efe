// Package hostroute records where targets are, and keeps a route to each that was found
// behind a slave. It decides where a target is that answers in several places, verifies that
// the targets are still there, follows those that move, and has them announced.
//
// It has probes sent through the Prober of its caller, and changes the kernel through a
// Kernel; how these work is in packages probe and kernel.
package hostroute
