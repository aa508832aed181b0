// Package tftp is a read-only TFTP server for network boot: RFC 1350, the option extensions of RFC 2347, 2348 and 2349, and the
// windows of RFC 7440, over any [fs.FS].
//
// # The conversation
//
//	client                                   server, port 69
//	RRQ "ipxe.efi" octet blksize windowsize --->
//	                                         server, a transfer port
//	                       <--- OACK blksize windowsize        (only what was asked, only what is granted)
//	ACK 0 --->
//	                       <--- DATA 1, DATA 2 .. DATA W       (one window)
//	ACK W --->
//	                       <--- DATA W+1 ..
//	        ..
//	                       <--- DATA n, shorter than a block   (empty when the size is a multiple of the block)
//	ACK n --->
//
// A request without options skips the OACK: DATA 1 answers it directly, in blocks of 512 bytes and windows of one.
//
// # The parts
//
// What is decided is apart from what is done. These are functions of their arguments, with neither sockets nor clocks:
//
//	packet.go     datagrams: requests parsed, OACK, DATA and ERROR encoded
//	name.go       the names a request may have meant
//	negotiate.go  what of a request's options is granted
//	transfer.go   one transfer's state machine: (what arrived, now) -> what to send, when to wake
//	rtt.go        the round-trip estimator behind its timer
//	engine.go     the transfers of one socket: datagrams in, packets out, deadlines
//
// and these touch the world:
//
//	find.go       the file that a name means
//	library.go    files, read once and shared
//	server.go     Listen, Serve; one goroutine per socket
//	socket_*.go   batches of datagrams on this system
//
// # Who runs where
//
// A socket belongs to one goroutine, which reads datagrams in batches, steps the state machines and writes in batches; transfers
// share sockets and are told apart by the client's address and port. No goroutine and no timer exists per client. Whatever may block on a
// disk (opening, reading, asking Config.Tree) happens on a few helper goroutines that hand their result back by the socket's
// letter box, so that a slow disk delays the transfers that need it and no others. A file system that hangs for good holds up
// new files; transfers of files already in memory go on.
//
// # Names and errors on the wire
//
// A file that does not exist is refused with code 1 at once, because firmware asks for files that need not exist and waits for the
// answer. Texts on the wire are fixed; the detail (paths, system errors) goes to the hooks in [Events] alone.
package tftp
