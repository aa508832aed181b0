package export

// The kinds of clients, distinguished as proxydhcp does.

import (
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// clientKinds is a set of kinds of clients.
type clientKinds uint8

// The kinds of clients.
const (
	iPXEs        clientKinds = 1 << iota // user class or option 175
	pxeFirmware                          // option 60 begins with PXEClient
	httpFirmware                         // option 60 begins with HTTPClient
	everybody    = iPXEs | pxeFirmware | httpFirmware
)

// eachKind lists the kinds of clients one by one.
var eachKind = [...]clientKinds{iPXEs, pxeFirmware, httpFirmware}

// clientKindNames are the names of the sets in comments.
var clientKindNames = [...]string{
	iPXEs:                      "iPXE",
	pxeFirmware:                "PXE firmware",
	httpFirmware:               "UEFI HTTP boot",
	iPXEs | pxeFirmware:        "iPXE and PXE firmware",
	iPXEs | httpFirmware:       "iPXE and UEFI HTTP boot",
	pxeFirmware | httpFirmware: "PXE firmware and UEFI HTTP boot",
	everybody:                  "every booting machine",
}

// String returns the name of the set in comments.
func (k clientKinds) String() string { return clientKindNames[k] }

// client returns a client of one kind, for proxydhcp to compose an answer to.
func (k clientKinds) client(arch proxydhcp.Arch) proxydhcp.Client {
	c := proxydhcp.Client{Arch: arch}
	c.IPXE.Present = k == iPXEs
	if k == httpFirmware {
		c.Transport = proxydhcp.HTTP
	}
	return c
}

// vendorClass returns how option 60 of one kind of client begins. iPXE sends
// that of PXE firmware.
func (k clientKinds) vendorClass() string {
	if k == httpFirmware {
		return "HTTPClient"
	}
	return "PXEClient"
}

// takes reports whether a match can take clients of one kind.
func takes(m proxydhcp.Match, kind clientKinds) bool {
	if m.IPXE != nil && kind != iPXEs {
		return false
	}
	if len(m.NICs) > 0 && kind != iPXEs {
		return false // only an iPXE reports its network card
	}
	if kind != iPXEs && !compatible(m.VendorClass, kind.vendorClass()) {
		return false
	}
	switch m.Firmware {
	case proxydhcp.AnyClient:
		return true
	case proxydhcp.NoIPXE:
		return kind != iPXEs
	case proxydhcp.HTTPBootFirmware:
		return kind == httpFirmware
	case proxydhcp.BIOSFirmware, proxydhcp.UEFIFirmware, proxydhcp.RaspberryPi, proxydhcp.UBootFirmware:
		return kind == pxeFirmware
	}
	return false
}

// compatible reports whether a text can begin with both prefixes.
func compatible(a, b string) bool { return strings.HasPrefix(a, b) || strings.HasPrefix(b, a) }
