package lab

// TFTP transfers as the capture shows them: requested, answered, and complete
// or not.

import (
	"context"
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Transfer is one read request and its transfer.
type Transfer struct {
	Begin, End time.Time
	// Client is the hardware address the request came from.
	Client     string
	ClientAddr netip.AddrPort
	Server     netip.AddrPort
	File       string
	// Asked are the request's options, names in lower case. Granted are those
	// of the OACK.
	Asked, Granted map[string]string
	// Bytes counts the data in order. Complete means that the last block was
	// acknowledged.
	Bytes    int64
	Complete bool
	// Error is the code and text of an ERROR packet. ByClient means that the
	// client sent it.
	Error    string
	ByClient bool

	blocks uint64
	last   bool
}

// TFTP opcodes, RFC 1350 section 5 and RFC 2347.
const (
	opRead  = 1
	opData  = 3
	opAck   = 4
	opError = 5
	opOack  = 6
)

// tftp handles a datagram that may belong to a transfer.
func (t *Traffic) tftp(d Datagram) {
	if len(d.Payload) < 4 {
		return
	}
	op := binary.BigEndian.Uint16(d.Payload)
	t.mu.Lock()
	text := ""
	who := ""
	if d.Dst.Port() == portTFTP && op == opRead {
		t.request(d)
	} else if x := t.byClient[d.Dst]; x != nil && d.Src.Addr() == x.Server.Addr() {
		text, who = x.fromServer(op, d), x.Client
	} else if x := t.byClient[d.Src]; x != nil && d.Dst.Addr() == x.Server.Addr() {
		text, who = x.fromClient(op, d), x.Client
	}
	t.mu.Unlock()
	if text != "" {
		t.lab.note(d.At, t.lab.nameOf(who), "TFTP %s", text)
	}
}

// request starts a transfer, unless the request is a repetition.
func (t *Traffic) request(d Datagram) {
	fields := strings.Split(string(d.Payload[2:]), "\x00")
	if x := t.byClient[d.Src]; x != nil && x.File == fields[0] && x.blocks == 0 && x.Error == "" {
		return
	}
	x := &Transfer{Begin: d.At, Client: d.SrcMAC, ClientAddr: d.Src, Server: d.Dst, File: fields[0],
		Asked: options(fields[min(2, len(fields)):]), Granted: map[string]string{}}
	t.byClient[d.Src] = x
	t.transfers = append(t.transfers, x)
}

// options returns the names and values of options.
func options(fields []string) map[string]string {
	found := map[string]string{}
	for i := 0; i+1 < len(fields); i += 2 {
		if fields[i] != "" {
			found[strings.ToLower(fields[i])] = fields[i+1]
		}
	}
	return found
}

// blockSize returns the block size in force: 512 (RFC 1350) unless negotiated.
func (x *Transfer) blockSize() int {
	if n, err := strconv.Atoi(x.Granted["blksize"]); err == nil {
		return n
	}
	return 512
}

// fromServer handles a packet of the server. It returns a text for the
// timeline, or an empty string.
func (x *Transfer) fromServer(op uint16, d Datagram) string {
	x.Server = d.Src
	switch op {
	case opOack:
		x.Granted = options(strings.Split(string(d.Payload[2:]), "\x00"))
	case opData:
		size := len(d.Payload) - 4
		if binary.BigEndian.Uint16(d.Payload[2:]) == uint16(x.blocks+1) {
			x.blocks++
			x.Bytes += int64(size)
			x.last = size < x.blockSize()
		}
	case opError:
		return x.fail(d, false)
	}
	return ""
}

// fromClient handles a packet of the client. It returns a text for the
// timeline, or an empty string.
func (x *Transfer) fromClient(op uint16, d Datagram) string {
	switch {
	case op == opAck && x.last && !x.Complete && binary.BigEndian.Uint16(d.Payload[2:]) == uint16(x.blocks):
		x.Complete, x.End = true, d.At
		return x.File + ": " + strconv.FormatInt(x.Bytes, 10) + " bytes in " + x.End.Sub(x.Begin).Round(time.Millisecond).String()
	case op == opError:
		return x.fail(d, true)
	}
	return ""
}

// fail handles an ERROR packet. A client that only asks for the size ends with
// one.
func (x *Transfer) fail(d Datagram, byClient bool) string {
	if x.Error != "" || x.Complete {
		return ""
	}
	text := strings.TrimRight(string(d.Payload[4:]), "\x00")
	x.Error = strconv.Itoa(int(binary.BigEndian.Uint16(d.Payload[2:]))) + " " + text
	x.ByClient, x.End = byClient, d.At
	if byClient && x.Bytes == 0 {
		return x.File + ": size asked"
	}
	return x.File + ": error " + x.Error
}

// Transfers returns copies of the transfers of a client that keep selects. An
// empty address means all clients, a nil keep all transfers.
func (t *Traffic) Transfers(client string, keep func(Transfer) bool) []Transfer {
	t.catchUp()
	t.mu.Lock()
	defer t.mu.Unlock()
	var found []Transfer
	for _, x := range t.transfers {
		if (client == "" || strings.EqualFold(x.Client, client)) && (keep == nil || keep(*x)) {
			found = append(found, *x)
		}
	}
	return found
}

// AwaitTransfer waits for a transfer of a client that keep selects. An empty
// address means any client.
func (t *Traffic) AwaitTransfer(ctx context.Context, client string, keep func(Transfer) bool) (Transfer, error) {
	var x Transfer
	err := t.await(ctx, "a TFTP transfer", func() bool {
		found := t.Transfers(client, keep)
		if len(found) > 0 {
			x = found[0]
		}
		return len(found) > 0
	})
	return x, err
}

// AwaitTransfers waits until enough returns true for all transfers so far.
func (t *Traffic) AwaitTransfers(ctx context.Context, what string, enough func([]Transfer) bool) error {
	return t.await(ctx, what, func() bool { return enough(t.Transfers("", nil)) })
}

// Completed returns the names of the files that a client read to the end, in
// order.
func (t *Traffic) Completed(client string) []string {
	var files []string
	for _, x := range t.Transfers(client, func(x Transfer) bool { return x.Complete }) {
		files = append(files, x.File)
	}
	return files
}
