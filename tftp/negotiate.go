package tftp

// What of a request's options is granted.

// Limits bound what a request is granted: blockSize by configuration and by the MTU of the interface it arrived on, window by configuration.
type limits struct {
	blockSize int // largest block in bytes
	window    int // largest window in blocks
}

// datagramOverhead is what a DATA packet carries around its block: 20 bytes of IPv4 header, 8 of UDP, 4 of TFTP. RFC 2348 section 4
// counts the same for Ethernet.
const datagramOverhead = 20 + 8 + headerLen

// forMTU lowers the block size so that a DATA packet fits an interface of that MTU without fragments: U-Boot and ROMs do not reassemble.
// An unknown MTU (0) counts as Ethernet's.
func (l limits) forMTU(mtu int) limits {
	if mtu <= 0 {
		mtu = 1500
	}
	l.blockSize = max(min(l.blockSize, mtu-datagramOverhead), minBlockSize)
	return l
}

// terms are what client and server have agreed on.
type terms struct {
	granted Options // for the OACK; zero when there is none to send
	block   int     // bytes of a full block
	window  int     // blocks per acknowledgement
}

// negotiate grants of a request what l allows. It never names an option the client did not: edk2 and pxelinux abort on one. A larger value
// than allowed is lowered, as RFC 2348 and 7440 provide; a timeout is granted as it is, because RFC 2349 and U-Boot want the very number.
// In netascii the number of bytes on the wire is not the size of the file, and windows of it are not served.
func negotiate(r Request, l limits) terms {
	t := terms{granted: r.Options, block: defaultBlockSize, window: 1}
	if r.Netascii {
		t.granted.Size = false
		t.granted.WindowSize = 0
	}
	if asked := t.granted.BlockSize; asked != 0 {
		t.block = min(asked, l.blockSize)
		t.granted.BlockSize = t.block
	}
	if asked := t.granted.WindowSize; asked != 0 {
		t.window = min(asked, l.window)
		t.granted.WindowSize = t.window
	}
	return t
}

// oack reports whether an OACK opens the transfer.
func (t terms) oack() bool { return t.granted != Options{} }
