package capture

import "time"

// Frame is one captured frame.
type Frame struct {
	// Data is valid until the function that received the frame returns.
	Data []byte
	// Length is the frame's length in bytes on the wire. It is greater than the length of
	// Data if the frame was cut.
	Length int
	// Time is the kernel's time stamp, or the time of the previous frame if that is later;
	// the comment at Frames says why.
	Time time.Time
	// Out reports whether the host sent the frame.
	Out bool
	// VLAN is the tag control information of the 802.1Q tag that the kernel removed from
	// the frame, and Tagged reports whether there was one.
	VLAN   uint16
	Tagged bool
}
