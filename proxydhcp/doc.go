// Package proxydhcp is the core of a PXE ProxyDHCP server: it decides what a
// machine that boots from the network is told about which server to ask and
// which file to load. Addresses are left to the DHCP server of the segment.
//
// # The conversation
//
// One boot of UEFI firmware that loads an iPXE, which loads the boot script.
// Both servers hear every broadcast; each answers its part of it.
//
//	client                        DHCP server               proxy (this package)
//	  |-- DISCOVER, broadcast ------->|------------------------->|  67
//	  |<----- OFFER: an address ------|                          |
//	  |<----- OFFER: siaddr, file, yiaddr 0 ---------------------|  67 -> 68
//	  |-- REQUEST to the DHCP server->|            (heard, not answered)
//	  |<----- ACK --------------------|                          |
//	  |-- REQUEST to siaddr:4011 ------------------------------->|  4011
//	  |<----- ACK: siaddr, file ---------------------------------|
//	  |== the ROM, by TFTP =====================================>|
//	now the ROM, an iPXE, asks again
//	  |-- DISCOVER, user class iPXE ->|------------------------->|  67
//	  |<----- OFFER: an address ------|                          |
//	  |<----- OFFER: the boot script's URL ----------------------|  67 -> 68
//	  |== the boot script ======================================>|
//
// Which stages a client takes part in depends on the client. UEFI goes to port
// 4011 because its OFFER has no option 43; BIOS ROMs boot from the OFFER, whose
// option 43 says so; iPXE boots from an OFFER that has both siaddr and a file;
// UEFI HTTP boot gets a URL in the OFFER. See Compose.
//
// # The data flow
//
//	bytes -> dhcp4.Message -> Request -> Policy.Decide -> Decision -> dhcp4.Reply -> bytes
//
// Responder.Respond is that line. It is a function of its arguments, of the
// time it is given, and of what Machines remembers: there is no socket, no
// clock and no log here. Package server has the sockets.
//
//	request.go                          a message becomes a Request: who asks, for what
//	client.go, arch.go, version.go,
//	feature.go                          the facts about a client
//	firmware.go, raspberrypi.go,
//	uboot.go                            kinds of firmware and their quirks
//	policy.go, match.go, expand.go      what a client gets
//	reason.go                           why it gets nothing
//	reply.go, shape.go, menu.go         how a decision is expressed, and where it is sent
//	address.go                          which of our addresses a client is told
//	machines.go, guard.go               what is remembered of machines; no loops
//	otherserver.go, conflict.go         other servers, and what is wrong with their answers
//	responder.go                        all of the above in a row
//	discover.go                         the DISCOVER that a described client would send
package proxydhcp
