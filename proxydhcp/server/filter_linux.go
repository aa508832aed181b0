package server

// The programs here decide what the kernel lets through to a packet socket.
// They are written in the language of the BSD packet filter and see a packet
// from its IP header on.

import (
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

// keepAll is what a program returns to keep a whole packet.
var keepAll = bpf.RetConstant{Val: 0xffff}

// serverFilter keeps, of what arrives for a scope, BOOTP requests in
// unfragmented UDP to port 67 that may be a booting client's; and if answers is
// set, other servers' answers to port 68.
//
// Three kinds of packets have the right bytes and must be dropped by what the
// kernel knows of them: our own, which a socket on tagged frames sees; those
// for another host, which for a socket on untagged frames include those of
// VLANs that have no interface here, their tag already removed; and those of a
// VLAN interface above this one.
func serverFilter(sc *scope, answers bool) []bpf.Instruction {
	f := filter{
		bpf.LoadExtension{Num: bpf.ExtType},
		dropUnless(bpf.JumpNotEqual, unix.PACKET_OTHERHOST),
		dropUnless(bpf.JumpNotEqual, unix.PACKET_OUTGOING),
		bpf.LoadExtension{Num: bpf.ExtInterfaceIndex},
		dropUnless(bpf.JumpEqual, uint32(sc.key.index)),
		bpf.LoadAbsolute{Off: 9, Size: 1},
		dropUnless(bpf.JumpEqual, dhcp4.ProtocolUDP),
		bpf.LoadAbsolute{Off: 6, Size: 2},
		dropUnless(bpf.JumpBitsNotSet, dhcp4.FragmentBits),
		bpf.LoadMemShift{Off: 0}, // X = length of the IP header
		bpf.LoadIndirect{Off: dhcp4.UDPHeaderLen + dhcp4.CookieOffset, Size: 4},
		dropUnless(bpf.JumpEqual, 0x63825363),
		bpf.LoadIndirect{Off: dhcp4.UDPHeaderLen, Size: 1},
		bpf.StoreScratch{Src: bpf.RegA, N: 0},
		bpf.LoadIndirect{Off: 0, Size: 4}, // both ports
	}
	const serverToClient = proxydhcp.PortServer<<16 | proxydhcp.PortClient
	boot := bootFilter()
	if answers {
		f = append(f,
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: serverToClient, SkipTrue: 3},
			bpf.LoadScratch{Dst: bpf.RegA, N: 0},
			dropUnless(bpf.JumpEqual, dhcp4.BootReply),
			bpf.Jump{Skip: uint32(6 + len(boot))}, // over all that a request must be
		)
	}
	f = append(f,
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xffff},
		dropUnless(bpf.JumpEqual, proxydhcp.PortServer),
		bpf.LoadScratch{Dst: bpf.RegA, N: 0},
		dropUnless(bpf.JumpEqual, dhcp4.BootRequest),
		bpf.Jump{Skip: 1}, // over the drop
	)
	program := append(f.finish(), boot...)
	if sc.key.trunk {
		// A tag that another one follows leaves something else than IP here.
		f = filter{
			bpf.LoadExtension{Num: bpf.ExtProto},
			dropUnless(bpf.JumpEqual, unix.ETH_P_IP),
			bpf.LoadExtension{Num: bpf.ExtVLANTagPresent},
			dropUnless(bpf.JumpNotEqual, 0),
			bpf.LoadExtension{Num: bpf.ExtVLANProto},
			dropUnless(bpf.JumpEqual, unix.ETH_P_8021Q),
			bpf.LoadExtension{Num: bpf.ExtVLANTag},
			bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xfff},
			bpf.Jump{Skip: 1}, // over the drop
		}
		return append(append(program, f.finish()...), vlanFilter(&sc.tagged)...)
	}
	return append(program, keepAll)
}

// filterOptions is how many options bootFilter looks at. A request with more
// options before option 60 is left to proxydhcp.MayBoot.
const filterOptions = 32

// bootFilter continues with a request that proxydhcp.MayBoot would accept, and
// drops nearly all others: on a busy segment a packet that wakes nobody costs a
// twentieth of one that is read and then ignored. X is the length of the IP
// header. The language has no loops, so the way from option to option is
// written out. Reading past the packet's end drops it.
func bootFilter() []bpf.Instruction {
	const (
		code   = dhcp4.UDPHeaderLen + dhcp4.HeaderLen // of the option at X
		length = code + 1
		value  = code + 2
		step   = 13 // instructions for an option
		class  = step*filterOptions + 1
		end    = class + 7
	)
	var program []bpf.Instruction
	far := func(target int) bpf.Instruction { return bpf.Jump{Skip: uint32(target - len(program) - 1)} }
	add := func(instructions ...bpf.Instruction) { program = append(program, instructions...) }
	for range filterOptions {
		add(bpf.LoadIndirect{Off: code, Size: 1},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(dhcp4.OptionClassIdentifier), SkipTrue: 8},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(dhcp4.OptionEnd), SkipTrue: 8},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(dhcp4.OptionOptionOverload), SkipTrue: 8},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: 7}, // padding is rare here
			bpf.LoadIndirect{Off: length, Size: 1},
			bpf.ALUOpX{Op: bpf.ALUOpAdd},
			bpf.ALUOpConstant{Op: bpf.ALUOpAdd, Val: 2},
			bpf.TAX{},
			bpf.Jump{Skip: 3}) // to the next option
		add(far(class))
		add(bpf.RetConstant{Val: 0})
		add(far(end))
	}
	add(far(end))
	add(bpf.LoadIndirect{Off: length, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpLessThan, Val: 4, SkipTrue: 5}, // it may go on in a second option 60 (RFC 3396)
		bpf.LoadIndirect{Off: value, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 'P'<<24 | 'X'<<16 | 'E'<<8 | 'C', SkipTrue: 3},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 'H'<<24 | 'T'<<16 | 'T'<<8 | 'P', SkipTrue: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 'U'<<24 | '-'<<16 | 'B'<<8 | 'o', SkipTrue: 1},
		bpf.RetConstant{Val: 0})
	return program
}

// filter is an unfinished program. Its conditions skip nothing yet.
type filter []bpf.Instruction

// dropUnless goes on if A meets the condition, and drops the packet otherwise.
func dropUnless(cond bpf.JumpTest, value uint32) bpf.Instruction {
	return bpf.JumpIf{Cond: cond, Val: value, SkipFalse: 255}
}

// finish adds the drop, and lets the conditions jump to it.
func (f filter) finish() []bpf.Instruction {
	for i, instruction := range f {
		if jump, ok := instruction.(bpf.JumpIf); ok && jump.SkipFalse == 255 {
			jump.SkipFalse = uint8(len(f) - 1 - i)
			f[i] = jump
		}
	}
	return append(f, bpf.RetConstant{Val: 0})
}

// vlanFilter keeps the packet whose VLAN id, in A, is in the set. It compares
// with the 32 ids of one word of the set at a time, so that the longest program
// is a tenth of what the kernel takes.
func vlanFilter(set *vlanSet) []bpf.Instruction {
	const id, bit = 0, 1 // scratch memory
	program := []bpf.Instruction{
		bpf.StoreScratch{Src: bpf.RegA, N: id},
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 31},
		bpf.TAX{},
		bpf.LoadConstant{Dst: bpf.RegA, Val: 1},
		bpf.ALUOpX{Op: bpf.ALUOpShiftLeft},
		bpf.StoreScratch{Src: bpf.RegA, N: bit},
		bpf.LoadScratch{Dst: bpf.RegA, N: id},
		bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 5},
	}
	words := 0
	for _, bits := range set {
		if bits != 0 {
			words++
		}
	}
	for word, bits := range set {
		if bits == 0 {
			continue
		}
		words--
		program = append(program,
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(word), SkipTrue: 2},
			bpf.LoadConstant{Dst: bpf.RegA, Val: bits},
			bpf.Jump{Skip: uint32(3*words + 1)}, // over the others and the drop
		)
	}
	return append(program,
		bpf.RetConstant{Val: 0},
		bpf.LoadScratch{Dst: bpf.RegX, N: bit},
		bpf.ALUOpX{Op: bpf.ALUOpAnd},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: 1},
		keepAll,
		bpf.RetConstant{Val: 0},
	)
}
