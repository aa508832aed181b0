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
//	message.go    the bytes of a request        hwaddr.go, arch.go,
//	client.go     who is asking                 version.go, feature.go   what the facts are made of
//	policy.go     what they get                 reason.go                why they get nothing
//	menu.go       boot menus                    board.go   machines that are no PCs
//	memory.go     what is known of a machine:   guard.go   no loops
//	                                            shape.go   another OFFER where one fails
//	reply.go      how it is said, and to where
//	neighbour.go  what other servers tell clients   fault.go   what is wrong with that
//	responder.go  all of the above in a row: bytes in, bytes out
//	server.go     sockets around it             datagram.go, address.go, packet_*.go
//
// Everything down to responder.go is a function of its arguments, or told the
// time: there is no socket, no clock and no log in it.
package proxydhcp
