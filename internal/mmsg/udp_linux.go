package mmsg

import (
	"errors"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// UDPOptions are the options of a UDP socket.
type UDPOptions struct {
	ReceiveBuffer int  // bytes; above the system's limit if the process may, else up to it
	SendBuffer    int  // likewise; 0 leaves it as it is
	Broadcast     bool // datagrams may be sent to broadcast addresses
	Errors        bool // ICMP errors are kept for [Group.Undelivered], ip(7) IP_RECVERR
}

// OpenUDP opens a socket on an IPv4 address that reports where datagrams
// arrived, and returns its descriptor. Errors are of package os and wrap the
// system's.
func OpenUDP(addr netip.AddrPort, o UDPOptions) (fd int, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err := o.prepare(fd, addr); err != nil {
		return -1, errors.Join(err, os.NewSyscallError("close", unix.Close(fd)))
	}
	return fd, nil
}

// prepare sets a socket's options and binds it.
func (o UDPOptions) prepare(fd int, addr netip.AddrPort) error {
	for _, option := range []struct {
		name                string
		forced, plain, size int
	}{
		{"SO_RCVBUF", unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, o.ReceiveBuffer},
		{"SO_SNDBUF", unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, o.SendBuffer},
	} {
		if option.size == 0 || unix.SetsockoptInt(fd, unix.SOL_SOCKET, option.forced, option.size) == nil {
			continue
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, option.plain, option.size); err != nil {
			return os.NewSyscallError("setsockopt "+option.name, err)
		}
	}
	if o.Broadcast {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BROADCAST, 1); err != nil {
			return os.NewSyscallError("setsockopt SO_BROADCAST", err)
		}
	}
	if o.Errors {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_RECVERR, 1); err != nil {
			return os.NewSyscallError("setsockopt IP_RECVERR", err)
		}
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1); err != nil {
		return os.NewSyscallError("setsockopt IP_PKTINFO", err)
	}
	// Let routers fragment: Linux would set DF, and nobody listens for the ICMP
	// answer.
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT); err != nil {
		return os.NewSyscallError("setsockopt IP_MTU_DISCOVER", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}); err != nil {
		return os.NewSyscallError("bind", err)
	}
	return nil
}
