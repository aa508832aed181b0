package tftp

// A small TFTP client for tests over loopback.

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// testClient reads one file.
type testClient struct {
	server  netip.AddrPort
	bind    string   // address to send from; any by default
	options []string // names and values
	mode    string

	window int
	oack   string         // the OACK's options, "name=value " each
	from   netip.AddrPort // who answered
}

// get reads a whole file.
func (c *testClient) get(file string) ([]byte, error) {
	conn, err := c.ask(file)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return c.read(conn)
}

// ask sends the request.
func (c *testClient) ask(file string) (*net.UDPConn, error) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(c.bind)})
	if err != nil {
		return nil, err
	}
	c.from = netip.AddrPort{}
	mode := c.mode
	if mode == "" {
		mode = "octet"
	}
	_, err = conn.WriteToUDPAddrPort(join(1, append([]string{file, mode}, c.options...)...), c.server)
	return conn, err
}

// read reads the answer, with acknowledgements, to the end.
func (c *testClient) read(conn *net.UDPConn) ([]byte, error) {
	var content []byte
	block, next := defaultBlockSize, uint16(1)
	c.window = 1
	unacked, reported := 0, uint16(0)
	buffer := make([]byte, 70000)
	for {
		n, err := c.receive(conn, buffer)
		if err != nil {
			return nil, err
		}
		p := buffer[:n]
		switch opcodeOf(p) {
		case opOACK:
			block = c.accept(p, block)
			c.ack(conn, 0)
		case opError:
			return nil, parseError(p)
		case opData:
			if binary.BigEndian.Uint16(p[2:]) != next {
				if reported != next { // once for each loss, as in RFC 7440
					reported, unacked = next, 0
					c.ack(conn, next-1)
				}
				continue
			}
			content = append(content, p[4:]...)
			unacked++
			if len(p)-4 < block || unacked == c.window {
				c.ack(conn, next)
				unacked = 0
			}
			if len(p)-4 < block {
				return content, nil
			}
			next++
		default:
			return nil, fmt.Errorf("packet % x", p)
		}
	}
}

// receive reads a datagram, and checks that all come from one port.
func (c *testClient) receive(conn *net.UDPConn, buffer []byte) (int, error) {
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return 0, err
	}
	n, from, err := conn.ReadFromUDPAddrPort(buffer)
	if err != nil {
		return 0, err
	}
	if c.from == (netip.AddrPort{}) {
		c.from = from
	} else if c.from != from {
		return 0, fmt.Errorf("answer from %s after one from %s", from, c.from)
	}
	if n < 4 {
		return 0, errors.New("runt")
	}
	return n, nil
}

// accept reads an OACK and returns the block size.
func (c *testClient) accept(p []byte, block int) int {
	c.oack = ""
	for rest := p[2:]; len(rest) > 0; {
		var name, value []byte
		name, rest, _ = cutString(rest)
		value, rest, _ = cutString(rest)
		c.oack += string(name) + "=" + string(value) + " "
		number, _ := parseNumber(value)
		switch string(name) {
		case "blksize":
			block = int(number)
		case "windowsize":
			c.window = int(number)
		}
	}
	return block
}

// ack acknowledges a block.
func (c *testClient) ack(conn *net.UDPConn, block uint16) {
	_, _ = conn.WriteToUDPAddrPort(binary.BigEndian.AppendUint16([]byte{0, 4}, block), c.from)
}
