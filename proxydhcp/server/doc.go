// Package server answers ProxyDHCP requests on the network: on port 67 and on
// port 4011, on interfaces, VLANs and behind relays, which may come and go. It
// moves bytes between the sockets and a proxydhcp.Responder, which decides.
//
//	server.go                  Config, Listen and Serve
//	events.go                  what is reported
//	scopes.go, link.go         which interfaces and VLANs are served, as which address
//	follow.go                  keeping up with the host's network
//	port67_*.go                port 67 on this system
//	packet_linux.go            packet sockets, in batches
//	filter_linux.go            what the kernel lets through to them
//	portholder_linux.go        holding port 67 for relays
//	udp.go, pktinfo_*.go       ordinary UDP sockets: port 4011
package server
