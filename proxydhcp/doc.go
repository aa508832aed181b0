// Package proxydhcp is a PXE proxy DHCP responder: it tells machines that boot
// from the network which server to ask and which file to load, and leaves
// their addresses to the DHCP server that is there.
//
// # The conversation
//
// One boot, with UEFI firmware that loads an iPXE, which loads the boot script.
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
// Who takes part in which stage depends on the client. UEFI goes to port 4011
// because its OFFER has no option 43; BIOS ROMs boot from the OFFER, whose
// option 43 says so; iPXE boots from an OFFER that has both siaddr and a file;
// UEFI HTTP boot gets a URL in the OFFER. See Compose.
//
// # The parts
//
// What is decided, and how it is said. These are functions of their arguments,
// or told the time: there is no socket, no clock and no log in them.
//
//	message.go                          the bytes of a request
//	client.go, board.go                 who is asking
//	hwaddr.go, arch.go, version.go,
//	feature.go                          what the facts are made of
//	policy.go, match.go, expand.go      what they get
//	reason.go                           why they get nothing
//	reply.go, shape.go, menu.go         how it is said, and to where
//	memory.go, guard.go                 what is remembered of machines; no loops
//	neighbour.go, fault.go              other servers, and what is wrong with them
//	responder.go                        all of the above in a row: bytes in, bytes out
//
// The sockets around it.
//
//	server.go                           Listen and Serve
//	network.go, link.go, address.go     which interfaces and VLANs are served, as which address
//	server_*.go, filter_*.go, packet_*.go, relay_*.go, watch_*.go
//	                                    port 67 on this system, and news of its interfaces
//	udp.go, control_*.go, datagram.go   port 4011, and headers
package proxydhcp
