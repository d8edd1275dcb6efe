// Package iface is the home of the host's network interfaces: List lists them, Watch
// reports that they changed, and Pattern is how a user names them in an option or an
// environment variable. What a process does with an interface is not here.
package iface
