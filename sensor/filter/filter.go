// Package filter builds the packet filter that the sensor attaches to its sockets: a
// classic BPF program that passes Neighbor Discovery, frames that may hide it, and nothing
// else. What the frames contain is for package decode to say.
package filter

import (
	"fmt"

	"golang.org/x/net/bpf"
)

// Direction selects frames by the kernel's packet type.
type Direction int

// The directions.
const (
	// Any passes frames of both directions.
	Any Direction = iota
	// Incoming passes frames that the host received, also those for other hosts.
	Incoming
	// Outgoing passes frames that the host sent.
	Outgoing
)

// MaxHeaders is how many extension headers the filter walks. It passes longer chains for
// the decoder to judge.
const MaxHeaders = 6

const (
	packetOutgoing = 4       // PACKET_OUTGOING in linux/if_packet.h
	snapLength     = 1 << 18 // bytes of a frame that are captured: all

	etherTypeIPv6 = 0x86dd
	etherTypeVLAN = 0x8100 // IEEE 802.1Q
	etherTypeQinQ = 0x88a8 // IEEE 802.1ad
	ethernetSize  = 14
	vlanTagSize   = 4
	maxTags       = 2      // in the frame: the kernel may have removed another one
	idMask        = 0x0fff // of a tag's control information: 0 in one that is only a priority

	// LLC and SNAP headers before IPv6 (RFC 1042). They follow a length in place of the EtherType
	// (IEEE 802.3, section 3.2.6), or what some receivers take for one (CVE-2021-27861).
	maxLength = 1535
	snapSize  = 8
	snapStart = 0xaaaa_0300
	snapEnd   = etherTypeIPv6

	// The IPv6 header, RFC 8200, section 3.
	inet6Size         = 40
	payloadOffset     = 4
	nextOffset        = 6
	destinationOffset = 24

	hopByHop           = 0
	routing            = 43
	fragment           = 44
	icmp6              = 58
	destinationOptions = 60

	firstND = 133 // Router Solicitation, RFC 4861, section 4.1
	lastND  = 137 // Redirect, RFC 4861, section 4.5

	// The groups of all nodes and of all routers, the last 32 bits of each.
	allNodes   = 1
	allRouters = 2
)

// The program's scratch cells. X, start and end are offsets of a header minus inet6Size:
// X starts as the offset of the IPv6 header, and each header of the chain is at
// X+inet6Size.
const (
	start  = iota // start of the chain: the first X
	end           // end of the packet: of the IPv6 payload or of the frame
	number        // protocol number of the header at X
	next          // protocol number of the next header
)

// ND returns the filter for frames of one direction. An unknown direction is an error. The program
// is for packet sockets of type SOCK_RAW on Ethernet interfaces. It passes IPv6 with at most two
// VLAN tags, also behind LLC and SNAP headers of any length (CVE-2021-27861), if it contains
//
//   - ICMPv6 of the types 133 to 137, after the IPv6 header or after hop-by-hop, routing,
//     fragment and destination options headers;
//   - a chain of those headers that the packet ends before it shows where it leads
//     (RFC 7112), or that is longer than MaxHeaders;
//   - a later fragment to all nodes, all routers or a solicited-node group, which may
//     complete a message that its first fragment does not show (RFC 5722).
//
// It also passes any frame with more tags if one of the first three is only a priority:
// Linux skips any number of those, and the decoder can judge them. Later fragments to other
// addresses do not pass, because they are common in ordinary traffic.
func ND(direction Direction) ([]bpf.Instruction, error) {
	var p program
	switch direction {
	case Any:
	case Incoming:
		p.add(bpf.LoadExtension{Num: bpf.ExtType})
		p.jumpIf(bpf.JumpEqual, packetOutgoing, drop, fall)
	case Outgoing:
		p.add(bpf.LoadExtension{Num: bpf.ExtType})
		p.jumpIf(bpf.JumpEqual, packetOutgoing, fall, drop)
	default:
		return nil, fmt.Errorf("filter for Neighbor Discovery: unknown direction %d", direction)
	}
	p.ethernet()
	p.inet6()
	for i := range MaxHeaders {
		p.extension(i)
	}
	p.icmp6()
	p.later()
	p.label(accept)
	p.add(bpf.RetConstant{Val: snapLength})
	p.label(drop)
	p.add(bpf.RetConstant{Val: 0})
	return p.link()
}

// ethernet continues with IPv6; X is then the offset of the IPv6 header.
func (p *program) ethernet() {
	for tags := range uint32(maxTags + 1) {
		behind := ethernetSize + tags*vlanTagSize
		p.label(fmt.Sprint("tags", tags))
		p.add(
			bpf.LoadConstant{Dst: bpf.RegX, Val: behind},
			bpf.LoadAbsolute{Off: behind - 2, Size: 2})
		p.jumpIf(bpf.JumpEqual, etherTypeIPv6, "inet6", fall)
		another := fmt.Sprint("tags", tags+1)
		if tags == maxTags {
			another = "more tags"
		}
		p.jumpIf(bpf.JumpEqual, etherTypeVLAN, another, fall)
		p.jumpIf(bpf.JumpEqual, etherTypeQinQ, another, fall)
		p.jumpIf(bpf.JumpGreaterThan, maxLength, drop, "snap")
	}
	p.label("more tags")
	for tags := range uint32(maxTags + 1) {
		p.add(bpf.LoadAbsolute{Off: ethernetSize + tags*vlanTagSize, Size: 2})
		p.jumpIf(bpf.JumpBitsSet, idMask, fall, accept)
	}
	p.jump(drop)
	p.label("snap") // X is the LLC header's offset
	p.add(bpf.LoadIndirect{Off: 0, Size: 4})
	p.jumpIf(bpf.JumpEqual, snapStart, fall, drop)
	p.add(bpf.LoadIndirect{Off: 4, Size: 4})
	p.jumpIf(bpf.JumpEqual, snapEnd, fall, drop)
	p.add(
		bpf.TXA{},
		bpf.ALUOpConstant{Op: bpf.ALUOpAdd, Val: snapSize},
		bpf.TAX{})
}

// inet6 continues with packets that may lead to ICMPv6. It sets the cell end; A is then the
// protocol number of the header after IPv6.
func (p *program) inet6() {
	p.label("inet6")
	// Most packets are dropped here. Without this byte, the load itself drops the packet.
	p.add(bpf.LoadIndirect{Off: nextOffset, Size: 1})
	p.dropUnlessChain()

	p.add(
		bpf.StoreScratch{Src: bpf.RegX, N: start},
		bpf.LoadExtension{Num: bpf.ExtLen})
	p.jumpIf(bpf.JumpLessThan, inet6Size, drop, fall)
	p.add(bpf.ALUOpConstant{Op: bpf.ALUOpSub, Val: inet6Size})
	p.jumpIfX(bpf.JumpLessThan, drop, fall) // the frame cuts the IPv6 header
	p.add(bpf.StoreScratch{Src: bpf.RegA, N: end})

	// A payload length of 0 before a hop-by-hop header is no length (RFC 2675): the packet
	// ends with the frame.
	p.add(bpf.LoadIndirect{Off: payloadOffset, Size: 2})
	p.jumpIf(bpf.JumpNotEqual, 0, "payload", fall)
	p.add(bpf.LoadIndirect{Off: nextOffset, Size: 1})
	p.jumpIf(bpf.JumpEqual, hopByHop, "ended", fall)
	p.add(bpf.LoadConstant{Dst: bpf.RegA, Val: 0})

	p.label("payload")
	p.add(
		bpf.ALUOpX{Op: bpf.ALUOpAdd},
		bpf.LoadScratch{Dst: bpf.RegX, N: end})
	p.jumpIfX(bpf.JumpGreaterThan, "restore", fall)
	p.add(bpf.StoreScratch{Src: bpf.RegA, N: end})
	p.label("restore")
	p.add(bpf.LoadScratch{Dst: bpf.RegX, N: start})

	// Nothing follows the IPv6 header: ICMPv6 shows no type, but extension headers are a
	// chain that is cut.
	p.label("ended")
	p.add(bpf.LoadScratch{Dst: bpf.RegA, N: end})
	p.jumpIfX(bpf.JumpGreaterThan, "more", fall)
	p.add(bpf.LoadIndirect{Off: nextOffset, Size: 1})
	p.jumpIf(bpf.JumpEqual, icmp6, drop, accept)
	p.label("more")
	p.add(bpf.LoadIndirect{Off: nextOffset, Size: 1})
}

// extension walks one extension header. Before and after it, A is the protocol number of the header
// at X, dropUnlessChain has passed it, and the packet has at least one byte of that header.
func (p *program) extension(i int) {
	var (
		isFragment = fmt.Sprint("fragment", i)
		advance    = fmt.Sprint("advance", i)
		more       = fmt.Sprint("more", i)
	)
	p.jumpIf(bpf.JumpEqual, icmp6, "icmp6", fall)
	p.add(
		bpf.StoreScratch{Src: bpf.RegA, N: number},
		bpf.LoadIndirect{Off: inet6Size, Size: 1},
		bpf.StoreScratch{Src: bpf.RegA, N: next})
	p.dropUnlessChain()
	p.add(bpf.LoadScratch{Dst: bpf.RegA, N: number})
	p.jumpIf(bpf.JumpEqual, fragment, isFragment, fall)

	p.acceptIfLeft(2)
	p.add(
		bpf.LoadIndirect{Off: inet6Size + 1, Size: 1},
		bpf.ALUOpConstant{Op: bpf.ALUOpAdd, Val: 1},
		bpf.ALUOpConstant{Op: bpf.ALUOpShiftLeft, Val: 3})
	p.jump(advance)

	p.label(isFragment)
	p.acceptIfLeft(4)
	p.add(bpf.LoadIndirect{Off: inet6Size + 2, Size: 2})
	p.jumpIf(bpf.JumpBitsSet, 0xfff8, "later", fall) // RFC 8200, section 4.5: the offset
	p.add(bpf.LoadConstant{Dst: bpf.RegA, Val: 8})

	p.label(advance)
	p.add(
		bpf.ALUOpX{Op: bpf.ALUOpAdd},
		bpf.TAX{},
		bpf.LoadScratch{Dst: bpf.RegA, N: end})
	p.jumpIfX(bpf.JumpGreaterThan, more, accept)
	p.label(more)
	p.add(bpf.LoadScratch{Dst: bpf.RegA, N: next})
}

// icmp6 judges the message; A is the protocol number of the header at X.
func (p *program) icmp6() {
	p.jumpIf(bpf.JumpEqual, icmp6, fall, accept)
	p.label("icmp6")
	p.add(bpf.LoadIndirect{Off: inet6Size, Size: 1})
	p.jumpIf(bpf.JumpLessThan, firstND, drop, fall)
	p.jumpIf(bpf.JumpGreaterThan, lastND, drop, accept)
}

// later accepts a later fragment if its destination is a group to which ND messages are
// sent (RFC 4291, section 2.7.1).
func (p *program) later() {
	p.label("later")
	p.add(
		bpf.LoadScratch{Dst: bpf.RegX, N: start},
		bpf.LoadIndirect{Off: destinationOffset, Size: 4})
	p.jumpIf(bpf.JumpEqual, 0xff02_0000, fall, drop)
	p.add(bpf.LoadIndirect{Off: destinationOffset + 4, Size: 4})
	p.jumpIf(bpf.JumpEqual, 0, fall, drop)
	p.add(bpf.LoadIndirect{Off: destinationOffset + 8, Size: 4})
	p.jumpIf(bpf.JumpEqual, 1, "solicited", fall)
	p.jumpIf(bpf.JumpEqual, 0, fall, drop)
	p.add(bpf.LoadIndirect{Off: destinationOffset + 12, Size: 4})
	p.jumpIf(bpf.JumpEqual, allNodes, accept, fall)
	p.jumpIf(bpf.JumpEqual, allRouters, accept, drop)
	p.label("solicited") // ff02::1:ff00:0/104
	p.add(bpf.LoadIndirect{Off: destinationOffset + 12, Size: 1})
	p.jumpIf(bpf.JumpEqual, 0xff, accept, drop)
}

// dropUnlessChain drops the packet if the protocol number in A does not lead to ICMPv6.
func (p *program) dropUnlessChain() {
	chain := fmt.Sprint("chain", len(p.code))
	for _, header := range []uint32{icmp6, hopByHop, routing, fragment} {
		p.jumpIf(bpf.JumpEqual, header, chain, fall)
	}
	p.jumpIf(bpf.JumpEqual, destinationOptions, chain, drop)
	p.label(chain)
}

// acceptIfLeft accepts the packet if fewer than n bytes of it are left at the header at X:
// its chain is cut.
func (p *program) acceptIfLeft(n uint32) {
	p.add(
		bpf.LoadScratch{Dst: bpf.RegA, N: end},
		bpf.ALUOpX{Op: bpf.ALUOpSub})
	p.jumpIf(bpf.JumpLessThan, n, accept, fall)
}
