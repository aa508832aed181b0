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

// shapes are the shapes for one kind of firmware. The zero value is for those
// with just one, FixedShape.
type shapes [3]Shape

// The shapes for each kind of firmware, in the order in which they are tried.
var (
	biosShapes  = shapes{BootOffer, AskProxy, Minimal}
	uefiShapes  = shapes{AskProxy, BootOffer, Minimal}
	fixedShapes = shapes{}
)

// shapes returns the shapes that an OFFER of d to c can have.
func (c *Client) shapes(d *Decision) shapes {
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
	shapes    shapes // those of its kind, of which it has shape
	shape     Shape
	works     bool    // the machine was seen to understand this shape
	doubted   bool    // although it works, it had no effect in this transaction
	blind     bool    // nobody here could see whether it does
	requested bool    // somebody has asked for a file in its name, in this transaction
	acked     bool    // the server has granted the address that the machine took
	rival     bool    // another server has told it how to boot as well
	xid       [4]byte // the transaction of the last OFFER
	since     instant // when this shape was first offered in it; 0 if it was not
	answered  instant // when another server was heard to offer an address in it
	leased    instant // when the machine was heard to take one
}

// offered notes an OFFER in the transaction xid and returns its shape, one of
// list, and whether it is another one than before. foreign says that the file
// comes from another server, so that nobody here sees it read. A shape that
// works is given up when two transactions in a row show no effect of it: the
// firmware, or the machine behind the adapter, may be another one.
func (o *offering) offered(list shapes, xid [4]byte, foreign bool, now instant) (shape Shape, stepped bool) {
	if list == fixedShapes {
		return FixedShape, false
	}
	if o.shapes != list { // a new machine, or its other firmware
		*o = offering{shapes: list, shape: list[0]}
	}
	failed := o.failed(now)
	if stepped = failed && !o.works; stepped {
		next := slices.Index(list[:], o.shape) + 1
		o.shape = list[next%len(list)]
	}
	o.doubted = o.doubted || failed && o.works
	if stepped || o.xid != xid || o.since == 0 {
		*o = offering{shapes: list, shape: o.shape, works: o.works && !o.doubted, xid: xid, since: now}
	}
	o.blind = foreign && o.shape != AskProxy
	return o.shape, stepped
}

// failed reports whether a DISCOVER now shows that the last OFFER was not
// understood.
func (o *offering) failed(now instant) bool {
	switch {
	case o.requested, o.blind, o.rival, o.since == 0, now.since(o.since) > failureMemory:
		return false
	case o.leased == 0:
		both := max(o.since, o.answered)
		return o.answered != 0 && now.since(both) >= patience
	}
	// If the server's answers can be heard at all, its ACK must have been.
	granted := o.acked || o.answered == 0
	return granted && now.since(o.leased) >= patience
}

// chosen notes that the firmware takes an address in the transaction xid.
func (o *offering) chosen(xid [4]byte, now instant) {
	if o.since != 0 && xid == o.xid && o.leased == 0 {
		o.leased = now
	}
}

// asked notes that a file was asked for. It may be somebody else who asks, so
// it says nothing about the next transaction.
func (o *offering) asked(now instant) {
	if o.isRecent(now) {
		o.requested = true
	}
}

// understood notes that the machine acts on an OFFER: it comes to port 4011,
// or loads a file.
func (o *offering) understood(now instant) {
	if o.isRecent(now) {
		o.works, o.requested, o.doubted = true, true, false
	}
}

// isRecent reports whether the last OFFER is of the boot that goes on now.
func (o *offering) isRecent(now instant) bool {
	return o.since != 0 && now.since(o.since) <= guardMemory
}

// overheard notes another server's answer to the machine.
func (o *offering) overheard(m *dhcp4.Message, now instant) {
	if o.since == 0 || m.XID != o.xid {
		return
	}
	switch {
	case isPXEOrHTTP(m.Option(dhcp4.OptionClassIdentifier)):
		o.rival = true
	case m.Type() == dhcp4.MessageTypeOffer && o.answered == 0:
		o.answered = now
	case m.Type() == dhcp4.MessageTypeAck:
		o.acked = true
	case m.Type() == dhcp4.MessageTypeNak:
		o.leased, o.answered = 0, 0 // it has to begin again
	}
}
