package proxydhcp

import (
	"slices"
	"strconv"
	"time"
)

// Firmware that wants another shape of OFFER. No single OFFER boots every PXE
// firmware there is: edk2 before April 2017 throws away what another ROM cannot
// boot without. So a machine begins with the shape that suits most of its kind,
// and is offered the next where that one is seen to have failed; the one that
// worked is remembered.
//
// What firmware does with an OFFER that it does not understand (edk2's
// Dhcp4Dxe and UefiPxeBcDxe; Intel's ROMs keep the same times): it repeats its
// DISCOVER after 4, 8 and 16 seconds with the same transaction and more seconds
// elapsed, although the DHCP server has offered an address; or it takes the
// address, finds no boot file, gives up, and begins a new transaction when it is
// told to boot from the network again. What it does not do in either case is
// ask port 4011 or read a file. A DISCOVER that is repeated because nobody
// offered an address says nothing about our OFFER.

// Shape is the form of an OFFER to PXE firmware.
type Shape uint8

// The shapes.
const (
	FixedShape Shape = iota // the only one for clients of this kind
	AskProxy                // without option 43: UEFI asks port 4011 for the file
	BootOffer               // discovery control 8: the file of the OFFER is booted at once
	Minimal                 // without option 43, and nothing echoed that the client can do without
)

// shapeNames are what logs show.
var shapeNames = [...]string{"fixed", "without option 43", "discovery control 8", "minimal"}

// String returns the shape as logs show it.
func (s Shape) String() string {
	if int(s) < len(shapeNames) {
		return shapeNames[s]
	}
	return "shape " + strconv.Itoa(int(s))
}

// The shapes for each kind of firmware, in the order in which they are tried.
var (
	biosShapes  = []Shape{BootOffer, AskProxy, Minimal}
	uefiShapes  = []Shape{AskProxy, BootOffer, Minimal}
	fixedShapes = []Shape{FixedShape}
)

// shapes returns the shapes that an OFFER of d to c can have.
func (c *Client) shapes(d Decision) []Shape {
	firmware := c.firmware()
	switch {
	case d.Menu != nil: // which is in option 43 or nowhere
		return fixedShapes
	case firmware == BIOSFirmware:
		return biosShapes
	case firmware == UEFIFirmware:
		return uefiShapes
	}
	return fixedShapes
}

// patience is how long firmware must have held an offer of an address and ours
// before its next DISCOVER counts against ours: nearly the shortest window in
// which firmware collects offers, 4 seconds.
const patience = 3 * time.Second

// failureMemory is how long an OFFER that came to nothing counts. It bridges
// the time until a person tells the machine to try again.
const failureMemory = time.Hour

// offering is what came of the OFFERs to a machine's PXE firmware. The zero
// value is that of a machine that was offered nothing.
type offering struct {
	shapes   []Shape // those of its kind, of which it has shape
	shape    Shape
	works    bool      // the machine was seen to understand this shape
	blind    bool      // that it does could not be seen
	xid      [4]byte   // the transaction of the last OFFER
	offered  time.Time // when this shape was first offered in it; zero where it was not
	answered time.Time // when another server was heard to offer an address in it
	leased   time.Time // when the machine was heard to take one
	acked    bool      // and the server to grant it
	rival    bool      // another server, too, told it how to boot
}

// offered returns the shape of the OFFER of d to c in the transaction xid, and
// whether it is another one than before. foreign says that the file comes from
// another server, where nobody sees it read.
func (g *memory) offered(c Client, d Decision, xid [4]byte, foreign bool, now time.Time) (shape Shape, stepped bool) {
	shapes := c.shapes(d)
	if len(shapes) == 1 {
		return shapes[0], false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	m := g.known(c.Hardware)
	if m == nil {
		return shapes[0], false
	}
	o := &m.offer
	if !slices.Equal(o.shapes, shapes) { // a new machine, or its other firmware
		*o = offering{shapes: shapes, shape: shapes[0]}
	}
	if stepped = o.failed(now); stepped {
		next := slices.Index(shapes, o.shape) + 1
		o.shape = shapes[next%len(shapes)]
	}
	if stepped || o.xid != xid || o.offered.IsZero() {
		*o = offering{shapes: shapes, shape: o.shape, works: o.works, xid: xid, offered: now}
	}
	o.blind = foreign && o.shape != AskProxy
	return o.shape, stepped
}

// failed reports whether a DISCOVER now shows that the last OFFER was not
// understood.
func (o *offering) failed(now time.Time) bool {
	switch {
	case o.works, o.blind, o.rival, o.offered.IsZero(), now.Sub(o.offered) > failureMemory:
		return false
	case o.leased.IsZero():
		both := o.offered
		if o.answered.After(both) {
			both = o.answered
		}
		return !o.answered.IsZero() && now.Sub(both) >= patience
	}
	// Where the server's answers can be heard at all, its ACK must have been.
	granted := o.acked || o.answered.IsZero()
	return granted && now.Sub(o.leased) >= patience
}

// chosen notes that the firmware takes an address in the transaction xid.
func (o *offering) chosen(xid [4]byte, now time.Time) {
	if !o.offered.IsZero() && xid == o.xid && o.leased.IsZero() {
		o.leased = now
	}
}

// understood notes that the machine acts upon an OFFER: it comes to port 4011,
// or for a file.
func (o *offering) understood(now time.Time) {
	if !o.offered.IsZero() && now.Sub(o.offered) <= guardMemory {
		o.works = true
	}
}

// came tells the memory that a machine's firmware has come to port 4011, or has
// asked for an item of a boot menu.
func (g *memory) came(c Client, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if m := g.known(c.Hardware); m != nil && !c.IPXE.Present && c.Transport == PXE {
		m.offer.understood(now)
	}
}

// overheard notes what another server told the machine in the transaction xid.
func (o *offering) overheard(m *Message, now time.Time) {
	if o.offered.IsZero() || m.XID != o.xid {
		return
	}
	switch {
	case hasTransport(m.Option(optVendorClass)):
		o.rival = true
	case m.Type() == typeOffer && o.answered.IsZero():
		o.answered = now
	case m.Type() == typeAck:
		o.acked = true
	case m.Type() == typeNak:
		o.leased, o.answered = time.Time{}, time.Time{} // it has to begin anew
	}
}
