// Package advert relays Router Advertisements from the masters to the slaves, and Router
// Solicitations from the slaves to the masters (RFC 4861; RFC 4389, section 4.1.3.3). It
// edits the messages, and decides which of them are sent where and when.
//
// An advertisement is relayed if this host received it on a master and a relay command
// approves it. What approves it is ruled's; frames and sockets are in package wire.
package advert
