package proxydhcp

import (
	"fmt"
	"net/netip"
	"time"
)

// Autoexec is what an iPXE gets that was loaded from us and asks for
// autoexec.ipxe (AutoexecName) before it asks DHCP.
type Autoexec struct {
	Client   Client // the machine, and the iPXE that it runs
	Decision Decision
	URL      string // what it boots; "" if DHCP has to decide, or Reason is not Answerable
	Reason   Reason
}

// Autoexec decides what the machine at an address gets when its iPXE asks for
// autoexec.ipxe. The machine is the one whose DHCP was heard, and its iPXE is
// what the ROM contains that it has just read: running returns that, with ok
// false if it is not known. The same policy decides as for DHCP, and the loop
// guard counts the decision. DHCP has to decide for a machine that is not known
// (ok is false), and wherever the policy would give a ROM: only a client's own
// word shows which iPXE it is.
func (r *Responder) Autoexec(ip netip.Addr, running func(rom string) (x IPXE, ok bool), now time.Time) (a Autoexec, ok bool) {
	v := r.machines.visitOwner(ip, now)
	defer v.end()
	k := v.machine
	if k == nil || k.anonymous || k.read.recent(v.now) == "" {
		return a, false
	}
	x, ok := running(k.read.file.get())
	if !ok {
		return a, false
	}
	c := k.client().as(x, k.nic)
	k.upgrade.returned(&c, &k.read)
	server := k.server.addr()
	d := r.decide(&c, &v)
	a = r.autoexec(c, d, server)
	k.start.note().autoexec = nil
	if a.URL != "" {
		given := a
		k.start.note().autoexec = &given
		k.upgrade.decided(&c, d, isForeign(d, Arrival{Server: server}), &k.read, v.now)
	}
	return a, true
}

// AutoexecOf is Autoexec for a machine that describes itself: c has its
// addresses, its architecture and its iPXE. server is our address for it.
func (r *Responder) AutoexecOf(c Client, server netip.Addr) Autoexec {
	c = c.as(c.IPXE, PCIID{})
	return r.autoexec(c, r.policy.Load().Decide(c, false), server)
}

// autoexec returns what a decision means for an iPXE that has not asked DHCP.
func (r *Responder) autoexec(c Client, d Decision, server netip.Addr) Autoexec {
	a := Autoexec{Client: c, Decision: d, Reason: d.Reason}
	if a.Reason == Answerable && d.Kind != BootROM && !d.UpgradeFailed {
		var file bootFile
		file, a.Reason = d.bootFile(c, server, r.options)
		a.URL = file.name
	}
	return a
}

// Yields reports whether what the DHCP server names comes before our file, so
// that an iPXE has to ask DHCP.
func (r *Responder) Yields() bool { return r.options.YieldToFilename }

// TreeURL returns the URL of a name in the boot file tree on our own HTTP port
// of that address; "" if there is none that any iPXE can read.
func (r *Responder) TreeURL(server netip.Addr, name string) string {
	if r.options.HTTPPort == 0 || r.options.HTTPS {
		return ""
	}
	return r.options.treeURL(server, name)
}

// as returns the client that c is when it runs the iPXE x of its platform's
// EFI build, in a machine with the network card nic.
func (c Client) as(x IPXE, nic PCIID) Client {
	if archs := c.Platform().Archs(); len(archs) > 0 {
		c.Arch = archs[0]
	}
	c.Transport = PXE
	c.VendorClass = fmt.Sprintf("%s:Arch:%05d:UNDI:003010", pxeClient, c.Arch)
	c.UserClass = "iPXE"
	c.IPXE = x
	c.IPXE.Present = true
	c.IPXE.NIC = nic
	return c
}
