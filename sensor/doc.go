// Package sensor captures Neighbor Discovery on a host's interfaces, or reads it from
// capture files, and publishes each frame as an event. The events of an interface are
// published in the order of their times. It needs Linux.
//
// A frame passes through the packages filter (in the kernel), capture or capfile, and
// decode. This package selects the interfaces, follows their changes, and publishes
// events, lost frames and heartbeats; what an event means is for ruled to say.
package sensor
