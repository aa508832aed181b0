package lab

// Hosts and segments: a host is a network namespace, a segment is a bridge to
// which hosts and guests are connected.

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ipTimeout bounds one call of the `ip` command.
const ipTimeout = time.Minute

// Host is a machine of the lab's network.
type Host struct {
	Name string

	lab   *Lab
	ns    *namespace
	links int
}

// NewHost adds a host with only its loopback interface.
func (l *Lab) NewHost(name string) (*Host, error) {
	ns, err := newNamespace()
	if err != nil {
		return nil, fmt.Errorf("host %s: %w", name, err)
	}
	h := &Host{Name: name, lab: l, ns: ns}
	l.onClose(func() error { ns.close(); return nil })
	// IPv6 autoconfiguration would add packets to captures.
	if err := h.Sysctl("net/ipv6/conf/all/disable_ipv6", "1"); err != nil {
		return nil, err
	}
	if err := h.Sysctl("net/ipv6/conf/default/disable_ipv6", "1"); err != nil {
		return nil, err
	}
	return h, h.IP("link", "set", "lo", "up")
}

// Do runs f inside the host's network: sockets that f opens, and programs that
// it starts, stay there. Goroutines that f starts do not, so f must not connect
// in the background.
func (h *Host) Do(f func() error) error { return h.ns.do(f) }

// NetNS returns a path to the host's network namespace, for `nsenter
// --net=PATH`.
func (h *Host) NetNS() string { return h.ns.path() }

// IP runs the `ip` command in the host.
func (h *Host) IP(args ...string) error {
	_, err := h.ip(args...)
	return err
}

// ip runs the `ip` command in the host and returns what it wrote.
func (h *Host) ip(args ...string) (text string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), ipTimeout)
	defer cancel()
	err = h.ns.do(func() error {
		cmd := exec.CommandContext(ctx, "ip", args...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		out, err := cmd.CombinedOutput()
		text = string(out)
		if err != nil {
			return fmt.Errorf("host %s: ip %s: %w: %s", h.Name, strings.Join(args, " "), err, strings.TrimSpace(text))
		}
		return nil
	})
	return text, err
}

// Sysctl sets a kernel variable of the host, named by its path below /proc/sys.
// If the kernel does not have it, nothing happens.
func (h *Host) Sysctl(name, value string) error {
	return h.ns.do(func() error {
		fd, err := unix.Open("/proc/sys/"+name, unix.O_WRONLY, 0)
		if err == unix.ENOENT {
			return nil
		}
		if err != nil {
			return fmt.Errorf("host %s: sysctl %s: %w", h.Name, name, err)
		}
		defer unix.Close(fd)
		if _, err := unix.Write(fd, []byte(value)); err != nil {
			return fmt.Errorf("host %s: sysctl %s: %w", h.Name, name, err)
		}
		return nil
	})
}

// Segment is a broadcast domain.
type Segment struct {
	Name string
	// Prefix is the segment's IPv4 network.
	Prefix netip.Prefix
	// Host is the namespace of the bridge. Guests and the capture are there,
	// too.
	Host *Host

	ports int
}

// bridgeName is the bridge's name in its own namespace.
const bridgeName = "br0"

// NewSegment adds a bridge that forwards at once: no spanning tree, no delay,
// no snooping. It has no IPv6 but that of a router, see Options.
func (l *Lab) NewSegment(name string, prefix netip.Prefix) (*Segment, error) {
	host, err := l.NewHost("segment-" + name)
	if err != nil {
		return nil, err
	}
	s := &Segment{Name: name, Prefix: prefix.Masked(), Host: host}
	if err := host.IP("link", "add", bridgeName, "type", "bridge", "stp_state", "0", "forward_delay", "0", "mcast_snooping", "0"); err != nil {
		return nil, err
	}
	if err := host.IP("link", "set", bridgeName, "up"); err != nil || l.noRouter {
		return s, err
	}
	return s, l.newRouter(s)
}

// Address returns the segment's n-th address.
func (s *Segment) Address(n int) netip.Addr {
	base := s.Prefix.Addr().As4()
	sum := uint32(base[0])<<24 | uint32(base[1])<<16 | uint32(base[2])<<8 | uint32(base[3])
	sum += uint32(n)
	return netip.AddrFrom4([4]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)})
}

// Join connects a host to a segment with a new interface (eth0, eth1, ...), and
// returns the interface's name. With the zero address the interface has none.
func (h *Host) Join(s *Segment, address netip.Addr) (string, error) {
	name := fmt.Sprintf("eth%d", h.links)
	h.links++
	s.ports++
	port := fmt.Sprintf("port%d", s.ports)
	if err := s.Host.IP("link", "add", port, "type", "veth", "peer", "name", name, "netns", h.NetNS()); err != nil {
		return "", err
	}
	if err := s.Host.IP("link", "set", port, "master", bridgeName, "up"); err != nil {
		return "", err
	}
	if address.IsValid() {
		prefix := netip.PrefixFrom(address, s.Prefix.Bits())
		if err := h.IP("addr", "add", prefix.String(), "brd", "+", "dev", name); err != nil {
			return "", err
		}
	}
	if err := h.IP("link", "set", name, "up"); err != nil {
		return "", err
	}
	return name, s.awaitForwarding(port)
}

// Connect connects the host to another one by a cable: a veth pair with one end
// in each. Both ends are up and have no address.
func (h *Host) Connect(iface string, peer *Host, peerIface string) error {
	if err := h.IP("link", "add", iface, "type", "veth", "peer", "name", peerIface, "netns", peer.NetNS()); err != nil {
		return err
	}
	if err := h.IP("link", "set", iface, "up"); err != nil {
		return err
	}
	return peer.IP("link", "set", peerIface, "up")
}

// awaitForwarding waits until the bridge forwards from and to a port. The
// kernel notifies the bridge of a new link asynchronously, and until then drops
// frames.
func (s *Segment) awaitForwarding(port string) error {
	ctx, cancel := context.WithTimeout(context.Background(), ipTimeout)
	defer cancel()
	return poll(ctx, port+" of segment "+s.Name+" to forward", func() (bool, error) {
		text, err := s.Host.ip("-details", "link", "show", port)
		return strings.Contains(text, "state forwarding"), err
	})
}

// MAC returns the hardware address of one of the host's interfaces.
func (h *Host) MAC(iface string) (string, error) {
	var mac string
	err := h.ns.do(func() error {
		i, err := net.InterfaceByName(iface)
		if err != nil {
			return fmt.Errorf("host %s: interface %s: %w", h.Name, iface, err)
		}
		mac = i.HardwareAddr.String()
		return nil
	})
	return mac, err
}

// newTap adds a tap to the segment, for a guest, and returns its name.
func (s *Segment) newTap() (string, error) {
	s.ports++
	tap := fmt.Sprintf("tap%d", s.ports)
	if err := s.Host.IP("tuntap", "add", tap, "mode", "tap"); err != nil {
		return "", err
	}
	return tap, s.Host.IP("link", "set", tap, "master", bridgeName, "up")
}

// ethtoolValue is the kernel's struct ethtool_value.
type ethtoolValue struct{ cmd, data uint32 }

// ifreqData is the kernel's struct ifreq with a pointer in its union.
type ifreqData struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	_    [16]byte
}

// FullChecksums makes the kernel compute checksums before packets leave the
// interface, as a real network card does. Without it a capture shows the
// incomplete checksums of veth pairs.
func (h *Host) FullChecksums(iface string) error {
	return h.ns.do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("host %s: %w", h.Name, err)
		}
		defer unix.Close(fd)
		value := ethtoolValue{cmd: unix.ETHTOOL_STXCSUM}
		request := ifreqData{data: unsafe.Pointer(&value)}
		copy(request.name[:unix.IFNAMSIZ-1], iface)
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request))); errno != 0 {
			return fmt.Errorf("host %s: turn checksum offload off on %s: %w", h.Name, iface, errno)
		}
		return nil
	})
}
