package proxydhcp

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Conflict is what another server's answers to booting clients do to network
// boot.
type Conflict struct {
	Kind    ConflictKind
	Server  netip.Addr   // the server's identifier (option 54)
	Segment Segment      // where it was heard
	Network netip.Prefix // that of the address that it gave, a Windows server's scope; zero if it gave no netmask
	Value   string       // the faulty value: an address, a file name, bytes in hexadecimal, or what another proxy answers
	Client  HardwareAddr // to which it was sent
	Ours    netip.Addr   // our address there
}

// ConflictKind is a kind of fault of another DHCP server. The enumeration is
// closed.
type ConflictKind uint8

// The kinds of conflict.
const (
	NoConflict           ConflictKind = iota
	OtherNextServer                   // siaddr is another address than ours, and there is no boot file
	OtherBootFile                     // a boot file name, in the header or in option 67
	ShimBootFile                      // one in the header, which a shim that we give follows
	UnterminatedBootFile              // one in option 67 that does not end in a zero
	PXEClientWithoutMenu              // option 60 PXEClient without option 43, on another host
	PXEClientHere                     // the same on an address of ours
	ForeignVendorInfo                 // an option 43 that is not PXE's, with option 60 PXEClient
	UnaskedVendorInfo                 // an option 43 without option 60
	OtherBootService                  // options 60 and 43 of a boot service of its own
	ProxyForbidden                    // 175.176, no-pxedhcp
	OtherProxy                        // another proxy, and it boots something else than we do
	SameProxy                         // another proxy, and it boots what we do
)

// Severity is how much a conflict matters.
type Severity uint8

// The severities.
const (
	Serious  Severity = iota // firmware or iPXE may not boot what we give
	Minor                    // they boot it; what that starts may follow the other server
	Harmless                 // everybody boots it
)

// conflictRow is what a person needs to know of a kind of conflict. Most such
// servers are Windows servers, so the steps that fix it are theirs.
type conflictRow struct {
	name     string
	severity Severity
	problem  string // %[1]s is what the server sent
	affects  string // by default, and with --yield-to-dhcp-filename
	options  []int  // to be removed from the server
	instead  string
}

// conflictTable has a row for each kind. The names are stable: people search
// logs for them. What it says of iPXE is in dhcp.c and autoboot.c there, what
// of shim in its netboot.c, and what of GRUB in its efinet.c and bootp.c.
var conflictTable = [...]conflictRow{
	NoConflict: {name: "no conflict"},
	OtherNextServer: {
		name: "other next-server", severity: Minor,
		problem: "the DHCP server names %[1]s as next-server (a Windows server names itself)",
		affects: "GRUB before 2.12 and other programs that read only the DHCP server's answer: they ask that address for their files; with --yield-to-dhcp-filename also iPXE scripts " +
			"that use ${next-server}; firmware, shim, and iPXE otherwise, take ours",
		instead: "where machines go on with GRUB, let that server name none or ours; in boot scripts write addresses instead of ${next-server}",
	},
	OtherBootFile: {
		name: "other boot file", severity: Minor,
		problem: "the DHCP server names a boot file of its own, %[1]q",
		affects: "shim, GRUB and U-Boot, which follow it; iPXE with --yield-to-dhcp-filename alone, otherwise it runs ours; UEFI firmware boots ours",
		options: []int{66, 67},
	},
	ShimBootFile: {
		name: "other boot file for a shim", severity: Serious,
		problem: "the DHCP server names a boot file of its own, %[1]q",
		affects: "every machine that we give a shim: the shim asks that server for its second stage, in the folder of that file, and not us",
		options: []int{66, 67},
		instead: "or give a ROM without a shim: --secure-boot off, where no machine has Secure Boot on",
	},
	UnterminatedBootFile: {
		name: "option 67 without a zero", severity: Serious,
		problem: "the DHCP server's option 67, %[1]q, does not end in a zero byte",
		affects: "UEFI firmware (edk2), which writes the zero over the next byte, finds that server's answer broken, takes our OFFER for it if ours is the last, and stops with PXE-E16; iPXE boots",
		options: []int{66, 67},
		instead: "or name the file in the header of the answer: filename in dhcpd.conf, boot-file-name in Kea",
	},
	PXEClientWithoutMenu: {
		name: "option 60 PXEClient", severity: Serious,
		problem: "the DHCP server claims to be a PXE server (option 60 PXEClient) and does not say what to boot",
		affects: "every UEFI client, which asks port 4011 of that server and stops with PXE-E16; iPXE where that server answers before we do, and with --yield-to-dhcp-filename always; BIOS ROMs boot",
		options: []int{60},
	},
	PXEClientHere: {
		name: "option 60 PXEClient on this host", severity: Minor,
		problem: "the DHCP server on this host announces PXEClient (option 60)",
		affects: "nobody as long as it names no boot file and no other next-server: clients ask port 4011 of this host, and get their answer from us",
		instead: "where nothing else is to be answered, --port-4011-only does",
	},
	ForeignVendorInfo: {
		name: "option 43 is not for PXE", severity: Serious,
		problem: "the DHCP server sends PXE clients (option 60 PXEClient) an option 43 that is meant for other devices: %[1]s",
		affects: "every UEFI client, which stops with PXE-E16; iPXE where that server answers before we do, and with --yield-to-dhcp-filename always; " +
			"BIOS ROMs read it as boot server addresses, and may hang for minutes",
		options: []int{60, 43},
		instead: "keep option 43 for the devices that need it in a policy for their vendor class",
	},
	UnaskedVendorInfo: {
		name: "option 43 for everybody", severity: Serious,
		problem: "the DHCP server sends booting clients an option 43 that is meant for other devices: %[1]s",
		affects: "some BIOS clients, which look for multicast TFTP servers in it and wait for minutes; UEFI firmware and iPXE pass over it",
		options: []int{43},
		instead: "keep it for the devices that need it in a policy for their vendor class",
	},
	OtherBootService: {
		name: "another boot service", severity: Serious,
		problem: "the DHCP server boots PXE clients itself (options 60 and 43: %[1]s)",
		affects: "every UEFI client, which follows that server and never us; of the others some",
		options: []int{60, 43},
	},
	ProxyForbidden: {
		name: "proxies forbidden", severity: Serious,
		problem: "the DHCP server tells iPXE to ignore proxies (option 175, sub-option 176, no-pxedhcp)",
		affects: "every iPXE: it never sees our boot script",
		options: []int{175},
	},
	OtherProxy: {
		name: "another proxy", severity: Serious,
		problem: "another ProxyDHCP server answers machines that we answer, and differently: %[1]s",
		affects: "every machine that both answer: which of the two it follows depends on the firmware and on which answer is first; iPXE follows the one with the higher priority (175.1)",
		instead: "stop one of the two, or divide the machines between them: --allow-mac, --deny-mac, --segment; two of pxesidecar need the same configuration",
	},
	SameProxy: {
		name: "another proxy with our answer", severity: Harmless,
		problem: "another ProxyDHCP server answers machines as we do: %[1]s",
		affects: "nobody as long as both have the same files and answer alike on port 4011, which is not heard here",
		instead: "nothing is to be done",
	},
}

// row returns the row of the kind.
func (k ConflictKind) row() conflictRow {
	if int(k) < len(conflictTable) {
		return conflictTable[k]
	}
	return conflictRow{name: "conflict " + strconv.Itoa(int(k))}
}

// String returns the name that logs show.
func (k ConflictKind) String() string { return k.row().name }

// Severity returns how much conflicts of the kind matter.
func (k ConflictKind) Severity() Severity { return k.row().severity }

// Problem says what the server does.
func (c Conflict) Problem() string {
	problem := c.Kind.row().problem
	if !strings.Contains(problem, "%") {
		return problem
	}
	return fmt.Sprintf(problem, c.Value)
}

// Affects says which clients it keeps from booting.
func (c Conflict) Affects() string { return c.Kind.row().affects }

// Remedy says how to fix it: the places in the Windows DHCP console, the
// PowerShell command for each level at which an option can be set, and what
// else helps.
func (c Conflict) Remedy() string {
	row := c.Kind.row()
	if len(row.options) == 0 {
		return row.instead
	}
	var untick, ids []string
	for _, option := range row.options {
		untick = append(untick, fmt.Sprintf("%03d", option))
		ids = append(ids, strconv.Itoa(option))
	}
	scope := "SCOPE"
	if c.Network.IsValid() {
		scope = c.Network.Addr().String()
	}
	remedy := fmt.Sprintf("on a Windows server untick %s in the DHCP console (IPv4 > Server Options, Scope [%s] > Scope Options, each policy's Options), or in PowerShell "+
		"Remove-DhcpServerv4OptionValue -OptionId %s; with -ScopeId %s for the scope, and -PolicyName NAME for a policy", strings.Join(untick, " and "), scope, strings.Join(ids, ","), scope)
	if row.instead != "" {
		remedy += "; " + row.instead
	}
	return remedy
}
