package server

import (
	"errors"
	"fmt"
	"net"

	"golang.org/x/net/bpf"
	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// portHolder keeps a UDP port from being closed. A packet socket does not: to a
// unicast request, as relays send them, the kernel answers that the port is
// unreachable (ICMP type 3, code 3), and the relay may take us for dead. While
// the port is held, a DHCP server that is started later on this host cannot
// have it.
type portHolder struct{ conn *net.UDPConn }

// holdPort holds a port. If another process has it, that one answers for it,
// and there is nothing to hold: the nil holder. The socket must not share its
// port, or it would take requests away from a DHCP server on this host.
func holdPort(port int) (*portHolder, error) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{Port: port})
	if errors.Is(err, unix.EADDRINUSE) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("port %d: %w", port, err)
	}
	// What arrives is dropped at once: nobody needs to read it.
	nothing, err := bpf.Assemble([]bpf.Instruction{bpf.RetConstant{Val: 0}})
	if err == nil {
		err = ipv4.NewPacketConn(conn).SetBPF(nothing)
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("port %d: filter: %w", port, err)
	}
	return &portHolder{conn}, nil
}

// close gives the port up.
func (h *portHolder) close() error {
	if h == nil {
		return nil
	}
	return h.conn.Close()
}
