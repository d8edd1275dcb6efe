package kernel

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// subscribeRoutes opens the socket of FollowRoutes in the network namespace of the calling
// thread.
func subscribeRoutes() (*nl.NetlinkSocket, error) {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV6_RULE, unix.RTNLGRP_IPV6_NETCONF)
	if err == nil {
		if err = filterRoutes(s.GetFd()); err != nil {
			s.Close()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("subscribing to changes of routes (rtnetlink): %w", err)
	}
	return s, nil
}

// filterRoutes has the kernel drop notifications that do not concern the pinger: above all
// the routes through gateways, of which a router may have a million that change all the
// time. What is left are settings, rules, the pinger's own routes that were removed, and routes to
// prefixes on the link of an interface.
func filterRoutes(fd int) error {
	const ( // of struct nlmsghdr and struct rtmsg
		typeAt     = 4
		lengthAt   = 17
		tableAt    = 20
		protocolAt = 21
		attrsAt    = 28
	)
	drop, accept := bpf.RetConstant{Val: 0}, bpf.RetConstant{Val: math.MaxUint32}
	field := func(at uint32, is bpf.JumpTest, value uint32, otherwise bpf.Instruction) []bpf.Instruction {
		return []bpf.Instruction{bpf.LoadAbsolute{Off: at, Size: 1}, bpf.JumpIf{Cond: is, Val: value, SkipTrue: 1}, otherwise}
	}
	attr := func(kind uint32, is bpf.JumpTest) []bpf.Instruction {
		return []bpf.Instruction{
			bpf.LoadConstant{Dst: bpf.RegA, Val: attrsAt}, bpf.LoadConstant{Dst: bpf.RegX, Val: kind}, bpf.LoadExtension{Num: bpf.ExtNetlinkAttr},
			bpf.JumpIf{Cond: is, Val: 0, SkipTrue: 1}, drop,
		}
	}
	// The type is below 256, in the byte order of the host.
	lowByte := uint32(binary.NativeEndian.Uint16([]byte{0, 1}) & 1)
	program := []bpf.Instruction{
		bpf.LoadAbsolute{Off: typeAt + lowByte, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.RTM_NEWROUTE, SkipTrue: 5},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.RTM_DELROUTE, SkipTrue: 1},
		accept, // a rule or a setting
	}
	program = append(program, field(protocolAt, bpf.JumpNotEqual, routeProtocol, accept)...)
	program = append(program, field(protocolAt, bpf.JumpNotEqual, routeProtocol, drop)...)
	program = append(program, field(tableAt, bpf.JumpNotEqual, unix.RT_TABLE_LOCAL, drop)...)
	program = append(program, field(lengthAt, bpf.JumpNotEqual, 0, drop)...)
	program = append(program, attr(unix.RTA_GATEWAY, bpf.JumpEqual)...)
	program = append(program, attr(unix.RTA_OIF, bpf.JumpNotEqual)...)
	assembled, err := bpf.Assemble(append(program, accept))
	if err != nil {
		return err
	}
	filter := make([]unix.SockFilter, len(assembled))
	for i, in := range assembled {
		filter[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
}
