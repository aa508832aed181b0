package lab

// The program under test, and dnsmasq in its place.

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Sidecar describes a `pxesidecar serve`.
type Sidecar struct {
	// Root is the boot file tree: the name of each file, and the path that it
	// is copied from. Nil omits --root.
	Root map[string]string
	// Script is the boot script (--boot-url); empty means the collector's,
	// "none" omits the flag.
	Script string
	// Args are further arguments.
	Args []string
	// Host runs it; nil means a host "sidecar" of its own.
	Host *Host
	// Address is the host's address if it is not that of NewServerHost.
	Address netip.Addr
	// Credential runs it as another user than root, and Capabilities are the
	// capabilities that it keeps.
	Credential   *syscall.Credential
	Capabilities []uintptr
	// Ports are the UDP ports that it opens, beside its packet socket; nil
	// means those of TFTP and 4011.
	Ports []uint16
	// Path is the program, and Serve its arguments in full, if it is not
	// pxesidecar.
	Path  string
	Serve []string
}

// Daemon is a running sidecar.
type Daemon struct {
	*Program
	Host    *Host
	Address netip.Addr
	// Root is the folder it serves, empty for none.
	Root string
}

// NewServerHost adds a host with an address on the LAN for a sidecar, and
// optionally a DHCP server.
func (l *Lab) NewServerHost(name string) (*Host, error) {
	host, err := l.NewHost(name)
	if err != nil {
		return nil, err
	}
	iface, err := host.Join(l.LAN, l.LAN.Address(sidecarAddress))
	if err != nil {
		return nil, err
	}
	l.Name(l.LAN.Address(sidecarAddress).String(), name)
	l.Name("proxy "+l.LAN.Address(sidecarAddress).String(), "pxesidecar")
	return host, host.FullChecksums(iface)
}

// SidecarAddress returns the address of NewServerHost on the LAN.
func (l *Lab) SidecarAddress() netip.Addr { return l.LAN.Address(sidecarAddress) }

// LaunchSidecar starts the sidecar and does not wait for its sockets.
func (l *Lab) LaunchSidecar(ctx context.Context, s Sidecar) (*Daemon, error) {
	var err error
	if s.Host == nil {
		if s.Host, err = l.NewServerHost("pxesidecar"); err != nil {
			return nil, err
		}
	}
	d := &Daemon{Host: s.Host, Address: l.SidecarAddress()}
	if s.Address.IsValid() {
		d.Address = s.Address
	}
	if s.Root != nil {
		if d.Root, err = l.fill("root", s.Root); err != nil {
			return nil, err
		}
	}
	path, args := s.Path, s.Serve
	if path == "" {
		if path, err = l.Stock.Sidecar(ctx); err != nil {
			return nil, err
		}
		args = []string{"serve", "--interface", serverInterface}
		if d.Root != "" {
			args = append(args, "--root", d.Root)
		}
		if s.Script == "" {
			s.Script = l.Collector.URL("/boot.ipxe")
		}
		if s.Script != "none" {
			args = append(args, "--boot-url", s.Script)
		}
	}
	d.Program, err = s.Host.Start(Command{Name: "pxesidecar", Path: path, Args: append(args, s.Args...),
		Credential: s.Credential, Capabilities: s.Capabilities,
		// With the race detector it would sleep a second at its end.
		Env: []string{"GORACE=atexit_sleep_ms=0"}})
	return d, err
}

// fill makes a folder with copies of files.
func (l *Lab) fill(folder string, files map[string]string) (string, error) {
	root := l.Path(folder)
	if err := os.MkdirAll(root, 0o755); err != nil {
		return "", err
	}
	for name, source := range files {
		content, err := os.ReadFile(source)
		if err != nil {
			return "", err
		}
		if _, err := l.Write(folder+"/"+name, string(content)); err != nil {
			return "", err
		}
	}
	return root, nil
}

// StartSidecar starts the sidecar and waits until its sockets are open.
func (l *Lab) StartSidecar(ctx context.Context, s Sidecar) (*Daemon, error) {
	if s.Ports == nil {
		s.Ports = []uint16{portTFTP, portPXE}
	}
	d, err := l.LaunchSidecar(ctx, s)
	if err != nil {
		return nil, err
	}
	wait, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	err = poll(wait, "pxesidecar to open its sockets", func() (bool, error) {
		select {
		case <-d.Ended():
			return false, fmt.Errorf("it ended with code %d", d.ExitCode())
		default:
		}
		sockets, err := d.Host.Sockets()
		for _, port := range s.Ports {
			if !sockets.UDP[port] {
				return false, err
			}
		}
		// dnsmasq opens port 67 as UDP. A sidecar that answers no DHCP does not
		// open it.
		return sockets.Packet > 0 || sockets.UDP[portServer] || slices.Contains(s.Args, "--no-dhcp"), err
	})
	if err != nil {
		return nil, fmt.Errorf("pxesidecar: %w\n%s", err, d.Output)
	}
	l.note(d.Started, "pxesidecar", "started")
	return d, nil
}

// Sockets are the open sockets of a host.
type Sockets struct {
	// UDP and TCP are the local ports in use (TCP: listening).
	UDP, TCP map[uint16]bool
	// Packet is the number of packet sockets.
	Packet int
}

// Sockets returns the sockets that are open in a host, of any program.
func (h *Host) Sockets() (Sockets, error) {
	s := Sockets{UDP: map[uint16]bool{}, TCP: map[uint16]bool{}}
	err := h.ns.do(func() error {
		for name, ports := range map[string]map[uint16]bool{"udp": s.UDP, "udp6": s.UDP, "tcp": s.TCP, "tcp6": s.TCP} {
			lines, err := procNet(name)
			if err != nil {
				return err
			}
			for _, fields := range lines {
				const listening = "0A"
				_, port, found := strings.Cut(fields[1], ":")
				raw, err := hex.DecodeString(port)
				if !found || err != nil || len(raw) != 2 || (strings.HasPrefix(name, "tcp") && fields[3] != listening) {
					continue
				}
				ports[uint16(raw[0])<<8|uint16(raw[1])] = true
			}
		}
		lines, err := procNet("packet")
		s.Packet = len(lines)
		return err
	})
	return s, err
}

// procNet reads a table of the calling thread's network namespace, without its
// heading.
func procNet(name string) ([][]string, error) {
	content, err := os.ReadFile("/proc/thread-self/net/" + name)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var rows [][]string
	for i, line := range strings.Split(strings.TrimSpace(string(content)), "\n") {
		if fields := strings.Fields(line); i > 0 && len(fields) > 3 {
			rows = append(rows, fields)
		}
	}
	return rows, nil
}

// Memory returns the daemon's resident memory in bytes.
func (d *Daemon) Memory() (int64, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.PID()))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(content)) {
		if rest, found := strings.CutPrefix(line, "VmRSS:"); found {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("process %d: no VmRSS", d.PID())
}

// StandIn describes dnsmasq as a ProxyDHCP server that serves the same ROMs. It
// shows that a scenario's network, guests and counts are right without
// pxesidecar. It knows no versions: every iPXE gets the script.
func (l *Lab) StandIn(root map[string]string, roms map[string]string) (Sidecar, error) {
	folder, err := l.fill("peer", root)
	if err != nil {
		return Sidecar{}, err
	}
	if _, err := l.Write("peer/boot.ipxe", l.Collector.Script("main")); err != nil {
		return Sidecar{}, err
	}
	lines := []string{"port=0", "keep-in-foreground", "log-facility=-", "log-dhcp", "user=root", "interface=" + serverInterface,
		"pid-file=" + l.Path("peer.pid"), "dhcp-leasefile=" + l.Path("peer.leases"), "dhcp-range=" + l.LAN.Prefix.Addr().String() + ",proxy",
		"enable-tftp", "tftp-root=" + folder, "dhcp-userclass=set:ipxe,iPXE", fmt.Sprintf("dhcp-boot=tag:ipxe,boot.ipxe,,%s", l.SidecarAddress())}
	for csa, file := range roms {
		lines = append(lines, fmt.Sprintf("pxe-service=tag:!ipxe,%s,\"boot\",%s", csa, file))
	}
	config, err := l.Write("peer.conf", strings.Join(lines, "\n")+"\n")
	return Sidecar{Path: "dnsmasq", Serve: []string{"-C", config}}, err
}

// At returns the daemon's address with a port.
func (d *Daemon) At(port uint16) netip.AddrPort { return netip.AddrPortFrom(d.Address, port) }
