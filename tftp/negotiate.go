package tftp

// Which of a request's options are granted.

// limits are the largest values that a request is granted. The configuration
// sets both; the MTU of the interface that the request arrived on lowers the
// block size.
type limits struct {
	blockSize int // largest block in bytes
	window    int // largest window in blocks
}

// datagramOverhead is the size of the headers in front of a block: 20 bytes of
// IPv4, 8 of UDP, 4 of TFTP. RFC 2348 section 4 counts the same for Ethernet.
const datagramOverhead = 20 + 8 + headerLen

// forMTU lowers the block size so that a DATA packet fits an interface of that
// MTU without fragments: U-Boot and ROMs do not reassemble. An unknown MTU (0)
// counts as Ethernet's.
func (l limits) forMTU(mtu int) limits {
	if mtu <= 0 {
		mtu = 1500
	}
	l.blockSize = max(min(l.blockSize, mtu-datagramOverhead), minBlockSize)
	return l
}

// terms are what client and server have agreed on.
type terms struct {
	granted Options // for the OACK; zero when none is sent
	block   int     // bytes of a full block
	window  int     // blocks per acknowledgement
}

// negotiate grants what a request asks for and l allows. It never names an
// option that the client did not: edk2 and pxelinux abort when they get one. A
// value larger than allowed is lowered, as RFC 2348 and 7440 provide. A timeout
// is granted as it is, because RFC 2349 and U-Boot want the same number back.
// In mode netascii neither tsize nor windows are granted: the number of bytes
// on the wire is not the size of the file.
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
