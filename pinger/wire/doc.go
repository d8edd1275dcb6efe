// Package wire sends and receives the pinger's packets: Neighbor Solicitations and
// Advertisements as Ethernet frames, and ICMPv6 echo requests through the kernel. It
// holds the sockets, the messages' bytes and the checksum.
//
// What to send and when, and what an answer means, is in package probe.
package wire
