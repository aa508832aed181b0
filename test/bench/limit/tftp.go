// Package limit has programs that send the packets of a benchmark without any
// logic, by the cheapest system calls. Their results are the best that a server
// on this machine could reach.
package limit

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"github.com/pxesidecar/pxesidecar/test/bench/batch"
)

// TFTP sends fixed replies: to every request the same options, to every
// acknowledgement the blocks after it. It has no client state, no timer, no
// second file and no block after the 65,535th.
type TFTP struct {
	Address netip.AddrPort
	File    string // its path
	Block   int
	Window  int
}

const headerLen = 4

// segments is the number of datagrams that the kernel makes of one message
// (UDP_MAX_SEGMENTS was 64 at first), segmentBytes the maximum of bytes of UDP.
const (
	segments     = 64
	segmentBytes = 65507
)

// tftpLimit is the running program.
type tftpLimit struct {
	TFTP
	socket  *batch.Socket
	content []byte
	last    int // the final block
	options []byte
	headers [65536][headerLen]byte // of every block
	pieces  [][]byte
}

// Serve runs until the process ends.
func (t TFTP) Serve() error {
	content, err := mapped(t.File)
	if err != nil {
		return err
	}
	l := &tftpLimit{TFTP: t, content: content, last: len(content)/t.Block + 1}
	if l.last >= len(l.headers) {
		return fmt.Errorf("limit: %s has more than 65,535 blocks", t.File)
	}
	if l.socket, err = batch.UDP(t.Address); err != nil {
		return err
	}
	defer l.socket.Close()
	l.options = fmt.Appendf(nil, "\x00\x06blksize\x00%d\x00", t.Block)
	if t.Window > 1 {
		l.options = fmt.Appendf(l.options, "windowsize\x00%d\x00", t.Window)
	}
	for i := range l.headers {
		binary.BigEndian.PutUint16(l.headers[i][:], 3) // DATA
		binary.BigEndian.PutUint16(l.headers[i][2:], uint16(i))
	}
	for {
		if err := l.turn(); err != nil {
			return err
		}
	}
}

// mapped returns a file's content, in pages that the system shares.
func mapped(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	content, err := unix.Mmap(int(file.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED|unix.MAP_POPULATE)
	return content, os.NewSyscallError("mmap "+path, err)
}

// turn answers one batch.
func (l *tftpLimit) turn() error {
	n, err := l.socket.ReceiveSome()
	if err != nil {
		return err
	}
	for i := range n {
		l.answer(l.socket.Data(i), l.socket.Target(i), l.socket.Source(i))
	}
	l.socket.Flush()
	return nil
}

// answer queues the fixed reply to a packet.
func (l *tftpLimit) answer(p []byte, local [4]byte, client netip.AddrPort) {
	switch {
	case len(p) > headerLen:
		l.socket.QueueUDP(copy(l.socket.Next(), l.options), local, client)
	case len(p) == headerLen:
		first := int(binary.BigEndian.Uint16(p[2:])) + 1
		end := min(first+l.Window-1, l.last)
		group := min(segments, segmentBytes/(l.Block+headerLen))
		for ; first <= end; first += group {
			l.blocks(first, min(first+group-1, end), local, client)
		}
	}
}

// blocks queues some blocks as one message.
func (l *tftpLimit) blocks(first, end int, local [4]byte, client netip.AddrPort) {
	l.pieces = l.pieces[:0]
	for n := first; n <= end; n++ {
		l.pieces = append(l.pieces, l.headers[n][:])
		if data := l.content[(n-1)*l.Block : min(n*l.Block, len(l.content))]; len(data) > 0 {
			l.pieces = append(l.pieces, data)
		}
	}
	segment := 0
	if end > first {
		segment = l.Block + headerLen
	}
	l.socket.QueueSegments(l.pieces, segment, local, client)
}
