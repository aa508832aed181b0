package tftp

// The datagrams of TFTP, to and from bytes. Everything is big-endian; strings
// end in NUL.
//
//	RRQ    00 01  file NUL mode NUL {option NUL value NUL}    RFC 1350, 2347
//	DATA   00 03  block[2]  bytes, shorter than a block ends the transfer
//	ACK    00 04  block[2]
//	ERROR  00 05  code[2]  message NUL
//	OACK   00 06  {option NUL value NUL}                      RFC 2347

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// opcode is the first two bytes of a datagram.
type opcode uint16

const (
	opRead  opcode = 1
	opWrite opcode = 2
	opData  opcode = 3
	opAck   opcode = 4
	opError opcode = 5
	opOACK  opcode = 6
)

// errorCode is the code of an ERROR packet (RFC 1350, appendix).
type errorCode uint16

const (
	codeUndefined   errorCode = 0
	codeNotFound    errorCode = 1
	codeAccess      errorCode = 2
	codeIllegal     errorCode = 4
	codeUnknownPort errorCode = 5
)

const (
	headerLen     = 4   // DATA and ACK: opcode and block
	maxRequestLen = 512 // RFC 2347 section 2 bounds a request with its options
	maxMessageLen = 128 // bytes kept of a client's ERROR text
)

// Request is a read request, with where it came from and arrived.
type Request struct {
	Client    netip.AddrPort // the sender
	Local     netip.Addr     // the address it was sent to
	Interface int            // index of the interface it arrived on, 0 when unknown
	File      string         // the name as the client wrote it
	Netascii  bool           // mode netascii; octet otherwise
	Options   Options        // what it asked for and is allowed to ask for
}

// Options are the options of RFC 2348, 2349 and 7440: in a Request those asked
// for, in an OACK those granted. A zero field is an option that is not named. A
// value outside an option's range counts as not asked for: RFC 2347 has the
// server leave out what it does not accept.
type Options struct {
	BlockSize  int           // blksize, 8..65464 bytes; a larger number in a request is kept as 65464
	WindowSize int           // windowsize, 1..65535 blocks
	Timeout    time.Duration // timeout, 1..255 whole seconds
	Size       bool          // tsize: the client wants the size
}

// The options' ranges on the wire.
const (
	minBlockSize     = 8
	maxBlockSize     = 65464
	defaultBlockSize = 512
	maxWindowSize    = 65535
	maxTimeout       = 255
)

// The reasons why a request is unusable. Each is answered with ERROR 4.
var (
	errShort     = errors.New("request is cut short")
	errLong      = errors.New("request is longer than 512 bytes")
	errWrite     = errors.New("write request to a read-only server")
	errMail      = errors.New("mode mail is obsolete")
	errMode      = errors.New("unknown transfer mode")
	errNoRequest = errors.New("not a request")
)

// opcodeOf returns the opcode of a datagram, 0 if it has none.
func opcodeOf(b []byte) opcode {
	if len(b) < 2 {
		return 0
	}
	return opcode(binary.BigEndian.Uint16(b))
}

// parseRequest reads an RRQ. With an error the result still has the file name,
// if it could be read. Option names and the mode are matched without regard to
// case (RFC 2347 section 2, RFC 1350 section 5). The first of a repeated option
// counts. An option whose value is missing or not terminated is ignored.
func parseRequest(b []byte) (Request, error) {
	var r Request
	op := opcodeOf(b)
	if op != opRead && op != opWrite {
		return r, errNoRequest
	}
	if len(b) > maxRequestLen {
		return r, errLong
	}
	file, rest, ok := cutString(b[2:])
	if !ok {
		return r, errShort
	}
	r.File = string(file)
	if op == opWrite {
		return r, errWrite
	}
	mode, rest, ok := cutString(rest)
	if !ok {
		return r, errShort
	}
	switch {
	case foldEqual(mode, "octet"):
	case foldEqual(mode, "netascii"):
		r.Netascii = true
	case foldEqual(mode, "mail"):
		return r, errMail
	default:
		return r, errMode
	}
	r.Options = parseOptions(rest)
	return r, nil
}

// parseOptions reads the option list of an RRQ.
func parseOptions(b []byte) Options {
	var o Options
	for {
		name, rest, ok := cutString(b)
		if !ok {
			return o
		}
		value, rest, ok := cutString(rest)
		if !ok {
			return o
		}
		b = rest
		number, ok := parseNumber(value)
		if !ok {
			continue
		}
		o.set(name, number)
	}
}

// set sets one option, unless it is set already.
func (o *Options) set(name []byte, number uint64) {
	switch {
	case foldEqual(name, "blksize") && o.BlockSize == 0 && number >= minBlockSize:
		o.BlockSize = int(min(number, maxBlockSize))
	case foldEqual(name, "windowsize") && o.WindowSize == 0 && number >= 1 && number <= maxWindowSize:
		o.WindowSize = int(number)
	case foldEqual(name, "timeout") && o.Timeout == 0 && number >= 1 && number <= maxTimeout:
		o.Timeout = time.Duration(number) * time.Second
	case foldEqual(name, "tsize"):
		o.Size = true
	}
}

// parseNumber reads a decimal number without a sign.
func parseNumber(b []byte) (uint64, bool) {
	if len(b) == 0 || len(b) > 19 {
		return 0, false
	}
	var n uint64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, true
}

// cutString splits b at its first NUL.
func cutString(b []byte) (s, rest []byte, ok bool) {
	i := bytes.IndexByte(b, 0)
	if i < 0 {
		return nil, nil, false
	}
	return b[:i], b[i+1:], true
}

// foldEqual compares with a lower-case ASCII word, ignoring case.
func foldEqual(b []byte, word string) bool {
	return len(b) == len(word) && strings.EqualFold(string(b), word)
}

// parseAck returns the block number of an ACK. It ignores bytes after that.
func parseAck(b []byte) (uint16, bool) {
	if len(b) < headerLen {
		return 0, false
	}
	return binary.BigEndian.Uint16(b[2:]), true
}

// parseError reads an ERROR. One that is cut short still counts.
func parseError(b []byte) *RemoteError {
	e := &RemoteError{}
	if len(b) < headerLen {
		return e
	}
	e.Code = binary.BigEndian.Uint16(b[2:])
	text, _, ok := cutString(b[headerLen:])
	if !ok {
		text = b[headerLen:]
	}
	e.Message = string(text[:min(len(text), maxMessageLen)])
	return e
}

// appendOACK appends an OACK that grants o, with size if o.Size is set. Names
// are in lower case, because GRUB compares them so. Nothing follows the last
// NUL, because edk2 rejects an OACK that has something there.
func appendOACK(b []byte, o Options, size int64) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(opOACK))
	if o.BlockSize != 0 {
		b = appendOption(b, "blksize", int64(o.BlockSize))
	}
	if o.Size {
		b = appendOption(b, "tsize", size)
	}
	if o.Timeout != 0 {
		b = appendOption(b, "timeout", int64(o.Timeout/time.Second))
	}
	if o.WindowSize != 0 {
		b = appendOption(b, "windowsize", int64(o.WindowSize))
	}
	return b
}

// appendOption appends one option and its value.
func appendOption(b []byte, name string, value int64) []byte {
	b = append(b, name...)
	b = append(b, 0)
	b = strconv.AppendInt(b, value, 10)
	return append(b, 0)
}

// putDataHeader writes the header of a DATA packet. Block numbers roll over
// from 65535 to 0.
func putDataHeader(b *[headerLen]byte, block int64) {
	binary.BigEndian.PutUint16(b[0:], uint16(opData))
	binary.BigEndian.PutUint16(b[2:], uint16(block))
}

// appendError appends an ERROR.
func appendError(b []byte, code errorCode, message string) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(opError))
	b = binary.BigEndian.AppendUint16(b, uint16(code))
	b = append(b, message...)
	return append(b, 0)
}
