package proxydhcp

import (
	"fmt"
	"strconv"
	"strings"
)

// What can be wrong with another DHCP server, for machines that boot from the
// network, and the steps that mend it. Most such servers are Windows servers,
// so the steps are theirs.

// Fault is a fault of another DHCP server. The enumeration is closed.
type Fault uint8

// The faults.
const (
	NoFault              Fault = iota
	OtherNextServer            // siaddr is another address than ours, beside no boot file
	OtherBootFile              // a boot file name, in the header or in option 67
	PXEClientWithoutMenu       // option 60 PXEClient without option 43, on another host
	PXEClientHere              // the same on an address of ours
	ForeignVendorInfo          // an option 43 that is not PXE's, with option 60 PXEClient
	UnaskedVendorInfo          // an option 43 without option 60
	OtherBootService           // options 60 and 43 of a boot service of its own
	ProxyForbidden             // 175.176, no-pxedhcp
)

// faultRow is what there is to say of a fault.
type faultRow struct {
	name     string
	harmless bool
	problem  string // %[1]s is what the server sent
	suffers  string
	options  []int // to be removed from the server
	instead  string
}

// faultTable is in the order of the constants. The names are stable: people
// search logs for them.
var faultTable = [...]faultRow{
	NoFault: {name: "no fault"},
	OtherNextServer: {
		name: "other next-server", harmless: true,
		problem: "the DHCP server names %[1]s as next-server (a Windows server names itself)",
		suffers: "nobody as long as it names no boot file; boot scripts that use ${next-server} get that address, and so do iPXE before 2013 and programs that read only the DHCP server's answer",
		instead: "write addresses in boot scripts instead of ${next-server}",
	},
	OtherBootFile: {
		name:    "other boot file",
		problem: "the DHCP server names a boot file of its own, %[1]q",
		suffers: "iPXE, shim and GRUB, which prefer it to ours; UEFI firmware does not",
		options: []int{66, 67},
		instead: "for iPXE alone --override-dhcp-filename helps without any change there",
	},
	PXEClientWithoutMenu: {
		name:    "option 60 PXEClient",
		problem: "the DHCP server claims to be a PXE server (option 60 PXEClient) and does not say what to boot",
		suffers: "every UEFI client, which asks port 4011 of that server and stops with PXE-E16, and iPXE, which takes that for our answer; BIOS ROMs boot",
		options: []int{60},
		instead: "iPXE alone is helped by --override-dhcp-filename where that server answers later than we do",
	},
	PXEClientHere: {
		name: "option 60 PXEClient on this host", harmless: true,
		problem: "the DHCP server on this host announces PXEClient (option 60)",
		suffers: "nobody: clients ask port 4011 of this host, and get their answer from us",
		instead: "where nothing else is to be answered, --port-4011-only does",
	},
	ForeignVendorInfo: {
		name:    "option 43 is not for PXE",
		problem: "the DHCP server sends PXE clients (option 60 PXEClient) an option 43 that is meant for other devices: %[1]s",
		suffers: "every UEFI client, which stops with PXE-E16, and iPXE; BIOS ROMs read it as boot server addresses, and may hang for minutes",
		options: []int{60, 43},
		instead: "keep option 43 for the devices that need it in a policy for their vendor class",
	},
	UnaskedVendorInfo: {
		name:    "option 43 for everybody",
		problem: "the DHCP server sends booting clients an option 43 that is meant for other devices: %[1]s",
		suffers: "some BIOS clients, which look for multicast TFTP servers in it and wait for minutes; UEFI firmware and iPXE pass over it",
		options: []int{43},
		instead: "keep it for the devices that need it in a policy for their vendor class",
	},
	OtherBootService: {
		name:    "another boot service",
		problem: "the DHCP server boots PXE clients itself (options 60 and 43: %[1]s)",
		suffers: "every UEFI client, which follows that server and never us; of the others some",
		options: []int{60, 43},
	},
	ProxyForbidden: {
		name:    "proxies forbidden",
		problem: "the DHCP server tells iPXE to ignore proxies (option 175, sub-option 176, no-pxedhcp)",
		suffers: "every iPXE: it never sees our boot script",
		options: []int{175},
	},
}

// row returns what there is to say of a fault.
func (f Fault) row() faultRow {
	if int(f) < len(faultTable) {
		return faultTable[f]
	}
	return faultRow{name: "fault " + strconv.Itoa(int(f))}
}

// String returns the fault's name as logs show it.
func (f Fault) String() string { return f.row().name }

// Harmless reports whether machines boot in spite of the fault.
func (f Fault) Harmless() bool { return f.row().harmless }

// Problem says what the server does.
func (f Finding) Problem() string {
	problem := f.Fault.row().problem
	if !strings.Contains(problem, "%") {
		return problem
	}
	return fmt.Sprintf(problem, f.Value)
}

// Suffers says which clients it keeps from booting.
func (f Finding) Suffers() string { return f.Fault.row().suffers }

// Remedy says how to mend it: the places of the Windows DHCP console, the
// PowerShell command for each level at which an option can be set, and what
// else helps.
func (f Finding) Remedy() string {
	row := f.Fault.row()
	if len(row.options) == 0 {
		return row.instead
	}
	var untick, ids string
	for i, option := range row.options {
		if i > 0 {
			untick += " and "
			ids += ","
		}
		untick += fmt.Sprintf("%03d", option)
		ids += strconv.Itoa(option)
	}
	scope := "SCOPE"
	if f.Scope.IsValid() {
		scope = f.Scope.Addr().String()
	}
	remedy := fmt.Sprintf("on a Windows server untick %s in the DHCP console (IPv4 > Server Options, Scope [%s] > Scope Options, each policy's Options), or in PowerShell "+
		"Remove-DhcpServerv4OptionValue -OptionId %s; with -ScopeId %s for the scope, and -PolicyName NAME for a policy", untick, scope, ids, scope)
	if row.instead != "" {
		remedy += "; " + row.instead
	}
	return remedy
}

// faults is a set of faults.
type faults uint16

// has reports whether f is in the set.
func (s faults) has(f Fault) bool { return s&(1<<f) != 0 }

// with returns the set with f in it.
func (s faults) with(f Fault) faults { return s | 1<<f }
