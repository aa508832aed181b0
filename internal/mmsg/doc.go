// Package mmsg moves the datagrams of one socket in batches: many are received
// by one system call, recvmmsg(2), and many are sent by one, sendmmsg(2). It
// also reads and writes what travels with them: IPv4 and link-layer addresses,
// the control messages IP_PKTINFO, UDP_SEGMENT and PACKET_AUXDATA, and payloads
// in several pieces that nobody has to copy together.
//
// Waiting happens in Go's poller. Nothing is allocated for a datagram. This is
// the only package that uses unsafe and raw system calls. It serves Linux only.
package mmsg
