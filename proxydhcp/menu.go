package proxydhcp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

// Menu is a boot menu, which PXE firmware shows by itself (PXE 2.1, sections
// 2.2.4 and 2.2.6): the OFFER's option 43 has the items; the client asks the
// boot server for the chosen one, by its type, and gets that item's file. A
// Menu is not changed once it is part of a Policy.
type Menu struct {
	Prompt  string // shown while the client waits for a key that opens the menu
	Timeout uint8  // seconds before the first item is booted; 0 boots it at once, WaitForChoice never
	Items   []MenuItem
}

// WaitForChoice as a Menu's timeout shows the menu until somebody chooses.
const WaitForChoice = 255

// MenuItem is a line of a boot menu. Type 0 is defined as the local disk; the
// others are ours to number, from FirstItemType on.
type MenuItem struct {
	Type       uint16
	Text       string
	File       string     // as in an Outcome; none for the local disk
	NextServer netip.Addr // as in an Outcome
}

// LocalDiskItem is the type of the item that boots the local disk. No client
// asks for it: the firmware ends the network boot.
const LocalDiskItem = 0

// FirstItemType is the first of the types that are left to vendors (PXE 2.1,
// section 2.2.4, "boot server types": 32768 to 65534).
const FirstItemType = 0x8000

// The sub-options of option 43 (PXE 2.1, section 2.2.4): tag, length, value.
const (
	subDiscovery   = 6  // a byte of the bits below
	subBootServers = 8  // type, count and addresses of servers, repeated
	subItems       = 9  // type, length and text, repeated
	subPrompt      = 10 // timeout and text
	subBootItem    = 71 // type and layer of the item that is asked for
)

// The bits of sub-option 6.
const (
	noBroadcast     = 1 << 0 // do not look for boot servers by broadcast
	noMulticast     = 1 << 1 // nor by multicast
	listedServers   = 1 << 2 // take only those of sub-option 8
	bootOfferedFile = 1 << 3 // no menu: boot the file of the OFFER
)

// Limits of a menu.
const (
	maxMenuItems  = 24  // edk2 keeps no more
	maxItemsBytes = 253 // of sub-option 9, iPXE's limit
	maxText       = 255
)

// Check returns an error if clients could not show the menu.
func (menu *Menu) Check() error {
	if len(menu.Items) == 0 || len(menu.Items) > maxMenuItems {
		return fmt.Errorf("a boot menu has 1 to %d items, not %d", maxMenuItems, len(menu.Items))
	}
	var errs []error
	for i, item := range menu.Items {
		switch {
		case item.Text == "" || len(item.Text) > maxText:
			errs = append(errs, fmt.Errorf("boot menu item %d: its text has 1 to %d bytes, not %d", i+1, maxText, len(item.Text)))
		case item.Type == LocalDiskItem && item.File != "":
			errs = append(errs, fmt.Errorf("boot menu item %q: the local disk has no boot file", item.Text))
		case item.Type != LocalDiskItem && item.File == "":
			errs = append(errs, fmt.Errorf("boot menu item %q: no boot file", item.Text))
		case slices.ContainsFunc(menu.Items[:i], func(other MenuItem) bool { return other.Type == item.Type }):
			errs = append(errs, fmt.Errorf("boot menu item %q: type %d is another item's too", item.Text, item.Type))
		}
	}
	widest := menu.encode(netip.AddrFrom4([4]byte{}))
	if items := len(menu.items()); items > maxItemsBytes || len(menu.Prompt) >= maxText || len(widest) > 255 {
		errs = append(errs, errors.New("the boot menu is too long: DHCP carries 255 bytes of it, texts and prompt together; take shorter texts or fewer items"))
	}
	return errors.Join(errs...)
}

// item returns the item of a type.
func (menu *Menu) item(kind uint16) (MenuItem, bool) {
	i := slices.IndexFunc(menu.Items, func(item MenuItem) bool { return item.Type == kind })
	if i < 0 {
		return MenuItem{}, false
	}
	return menu.Items[i], true
}

// encode returns the option 43 of an OFFER with the menu. Clients are told to
// ask server's port 4011, by unicast, so that it works across routers. The list
// also names the server of the item's file, because edk2 accepts an answer only
// if its siaddr is in the list.
func (menu *Menu) encode(server netip.Addr) []byte {
	var servers []byte
	for _, item := range menu.Items {
		if item.Type == LocalDiskItem {
			continue
		}
		servers = binary.BigEndian.AppendUint16(servers, item.Type)
		if next := item.NextServer; next.IsValid() && next != server {
			servers = dhcp4.AppendAddr(dhcp4.AppendAddr(append(servers, 2), server), next)
		} else {
			servers = dhcp4.AppendAddr(append(servers, 1), server)
		}
	}
	b := []byte{subDiscovery, 1, noBroadcast | noMulticast | listedServers}
	if len(servers) == 0 {
		b[2] &^= listedServers
	} else {
		b = append(b, subBootServers, uint8(len(servers)))
		b = append(b, servers...)
	}
	return append(menu.encodeItems(b), uint8(dhcp4.OptionEnd))
}

// items returns the value of sub-option 9.
func (menu *Menu) items() []byte {
	var b []byte
	for _, item := range menu.Items {
		b = binary.BigEndian.AppendUint16(b, item.Type)
		b = append(b, uint8(len(item.Text)))
		b = append(b, item.Text...)
	}
	return b
}

// encodeItems appends sub-options 10 and 9: prompt and items.
func (menu *Menu) encodeItems(b []byte) []byte {
	b = append(b, subPrompt, uint8(1+len(menu.Prompt)), menu.Timeout)
	b = append(b, menu.Prompt...)
	items := menu.items()
	b = append(b, subItems, uint8(len(items)))
	return append(b, items...)
}

// localDiskMenu sends firmware on to the local disk: its only item is chosen at
// once. No answer would have the same effect, but only after the firmware has
// repeated its DISCOVER for a minute.
var localDiskMenu = &Menu{Prompt: "Local boot", Items: []MenuItem{{Type: LocalDiskItem, Text: "Local boot"}}}

// ItemRequest is the item of a boot menu that a client asks for, after somebody
// has chosen it (PXE 2.1, section 2.2.6). Both numbers are big-endian on the
// wire.
type ItemRequest struct {
	Type  uint16
	Layer uint16
}

// credentialsLayer is the bit of a layer that asks for the signature of a file
// instead of the file.
const credentialsLayer = 0x8000

// readItemRequest returns the item that a message asks for, with ok false if it
// asks for none.
func readItemRequest(m *dhcp4.Message) (item ItemRequest, ok bool) {
	dhcp4.SubOptions(m.Option(dhcp4.OptionVendorSpecificInformation), func(tag uint8, value []byte) {
		if tag == subBootItem && len(value) == 4 {
			item = ItemRequest{binary.BigEndian.Uint16(value), binary.BigEndian.Uint16(value[2:])}
			ok = true
		}
	})
	return item, ok
}

// encode returns the option 43 of the answer: the item as it was asked for.
func (item ItemRequest) encode() []byte {
	b := binary.BigEndian.AppendUint16([]byte{subBootItem, 4}, item.Type)
	return append(binary.BigEndian.AppendUint16(b, item.Layer), uint8(dhcp4.OptionEnd))
}

// choose narrows a decision for a menu down to the item that c asks for.
func (d Decision) choose(item ItemRequest, c Client) (Decision, Reason) {
	if d.Menu == nil || item.Layer&credentialsLayer != 0 || item.Type == LocalDiskItem {
		return d, NoSuchItem
	}
	chosen, ok := d.Menu.item(item.Type)
	if !ok {
		return d, NoSuchItem
	}
	d.Item, d.File, d.NextServer = chosen.Text, Expand(chosen.File, c), chosen.NextServer
	return d, Answerable
}
