package proxydhcp

import (
	"slices"
	"time"

	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

// Shape is the form of an OFFER to PXE firmware.
//
// No single OFFER boots every PXE firmware: edk2 before April 2017 drops what
// another ROM cannot boot without. So a machine begins with the shape that
// suits most of its kind, and is offered the next one when that one is seen to
// have failed. The one that worked is remembered.
//
// Firmware that does not understand an OFFER (edk2's Dhcp4Dxe and UefiPxeBcDxe;
// Intel's ROMs keep the same times) does one of two things. It repeats its
// DISCOVER after 4, 8 and 16 seconds, with the same transaction and more
// seconds elapsed, although the DHCP server has offered an address. Or it takes
// the address, finds no boot file, gives up, and begins a new transaction when
// it is told to boot from the network again. In neither case does it ask port
// 4011 or read a file. A DISCOVER that is repeated because nobody offered an
// address says nothing about our OFFER.
type Shape uint8

// The shapes.
const (
	FixedShape Shape = iota // the only one for clients of this kind
	AskProxy                // without option 43: UEFI asks port 4011 for the file
	BootOffer               // discovery control 8: the file of the OFFER is booted at once
	Minimal                 // without option 43, and nothing echoed that the client can do without
)

// shapeNames are the names that logs show.
var shapeNames = [...]string{
	FixedShape: "fixed", AskProxy: "without option 43", BootOffer: "discovery control 8", Minimal: "minimal",
}

// String returns the name that logs show.
func (s Shape) String() string { return enumName(shapeNames[:], s, "shape") }

// The shapes for each kind of firmware, in the order in which they are tried.
var (
	biosShapes  = []Shape{BootOffer, AskProxy, Minimal}
	uefiShapes  = []Shape{AskProxy, BootOffer, Minimal}
	fixedShapes = []Shape{FixedShape}
)

// shapes returns the shapes that an OFFER of d to c can have.
func (c *Client) shapes(d Decision) []Shape {
	if d.Menu != nil { // which is in option 43 or nowhere
		return fixedShapes
	}
	switch c.firmware() {
	case BIOSFirmware:
		return biosShapes
	case UEFIFirmware:
		return uefiShapes
	case AnyClient, HTTPBootFirmware, NoIPXE, RaspberryPi, UBootFirmware:
	}
	return fixedShapes
}

// patience is how long firmware must have had an offer of an address and our
// OFFER before its next DISCOVER counts against ours: nearly the shortest
// window in which firmware collects offers, 4 seconds.
const patience = 3 * time.Second

// failureMemory is how long an OFFER without effect counts. It covers the time
// until a person restarts the machine.
const failureMemory = time.Hour

// offering is what came of the OFFERs to a machine's PXE firmware: a state
// machine without a lock. The zero value is a machine that was offered nothing.
type offering struct {
	shapes   []Shape // those of its kind, of which it has shape
	shape    Shape
	works    bool      // the machine was seen to understand this shape
	blind    bool      // nobody here could see whether it does
	xid      [4]byte   // the transaction of the last OFFER
	since    time.Time // when this shape was first offered in it; zero if it was not
	answered time.Time // when another server was heard to offer an address in it
	leased   time.Time // when the machine was heard to take one
	acked    bool      // and the server to grant it
	rival    bool      // another server has told it how to boot as well
}

// offered notes an OFFER in the transaction xid and returns its shape, one of
// shapes, and whether it is another one than before. foreign says that the file
// comes from another server, so that nobody here sees it read.
func (o *offering) offered(shapes []Shape, xid [4]byte, foreign bool, now time.Time) (shape Shape, stepped bool) {
	if len(shapes) == 1 {
		return shapes[0], false
	}
	if !slices.Equal(o.shapes, shapes) { // a new machine, or its other firmware
		*o = offering{shapes: shapes, shape: shapes[0]}
	}
	if stepped = o.failed(now); stepped {
		next := slices.Index(shapes, o.shape) + 1
		o.shape = shapes[next%len(shapes)]
	}
	if stepped || o.xid != xid || o.since.IsZero() {
		*o = offering{shapes: shapes, shape: o.shape, works: o.works, xid: xid, since: now}
	}
	o.blind = foreign && o.shape != AskProxy
	return o.shape, stepped
}

// failed reports whether a DISCOVER now shows that the last OFFER was not
// understood.
func (o *offering) failed(now time.Time) bool {
	switch {
	case o.works, o.blind, o.rival, o.since.IsZero(), now.Sub(o.since) > failureMemory:
		return false
	case o.leased.IsZero():
		both := o.since
		if o.answered.After(both) {
			both = o.answered
		}
		return !o.answered.IsZero() && now.Sub(both) >= patience
	}
	// If the server's answers can be heard at all, its ACK must have been.
	granted := o.acked || o.answered.IsZero()
	return granted && now.Sub(o.leased) >= patience
}

// chosen notes that the firmware takes an address in the transaction xid.
func (o *offering) chosen(xid [4]byte, now time.Time) {
	if !o.since.IsZero() && xid == o.xid && o.leased.IsZero() {
		o.leased = now
	}
}

// understood notes that the machine acts on an OFFER: it comes to port 4011,
// or for a file.
func (o *offering) understood(now time.Time) {
	if !o.since.IsZero() && now.Sub(o.since) <= guardMemory {
		o.works = true
	}
}

// overheard notes another server's answer to the machine.
func (o *offering) overheard(m *dhcp4.Message, now time.Time) {
	if o.since.IsZero() || m.XID != o.xid {
		return
	}
	switch {
	case isPXEOrHTTP(m.Option(dhcp4.OptionClassIdentifier)):
		o.rival = true
	case m.Type() == dhcp4.MessageTypeOffer && o.answered.IsZero():
		o.answered = now
	case m.Type() == dhcp4.MessageTypeAck:
		o.acked = true
	case m.Type() == dhcp4.MessageTypeNak:
		o.leased, o.answered = time.Time{}, time.Time{} // it has to begin again
	}
}
