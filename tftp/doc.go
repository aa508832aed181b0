// Package tftp is a read-only TFTP server for network boot: RFC 1350, the
// option extensions of RFC 2347, 2348 and 2349, and the windows of RFC 7440,
// over any [fs.FS].
//
// # The conversation
//
//	client                            server, port 69
//	RRQ "ipxe.efi" octet blksize windowsize --->
//	                                  server, a transfer port
//	                <--- OACK blksize windowsize  (of those asked, those granted)
//	ACK 0 --->
//	                <--- DATA 1, DATA 2 .. DATA W (one window)
//	ACK W --->
//	                <--- DATA W+1 ..
//	        ..
//	                <--- DATA n, shorter than a block (maybe empty)
//	ACK n --->
//
// A request without options has no OACK: DATA 1 answers it directly, in blocks
// of 512 bytes and windows of one.
//
// # The files
//
// What is decided is apart from what is done. These files use neither sockets
// nor clocks, and a test keeps it so:
//
//	packet.go      datagrams: requests parsed, OACK, DATA and ERROR encoded
//	name.go        the names that a request may mean
//	negotiate.go   which of a request's options are granted
//	transfer.go    the state machine of one transfer
//	rtt.go         the round-trip estimator behind its timer
//	session.go     a transfer with its file and its client
//	deadlines.go   the deadlines of one socket's transfers
//	recent.go      the clients whose transfers ended a moment ago
//	engine.go      the transfers of one socket: datagrams in, packets out
//	send.go        how an engine sends a file
//	inbox.go       messages from other goroutines to an engine
//	admission.go   the limits on rate and number
//	neighbors.go   the limit on hosts that ARP has not found
//	events.go      what a server reports
//
// These read files and use the network:
//
//	config.go      what is served, and the limits
//	find.go        the file that a name means
//	cache.go       files in memory, read once and shared
//	file.go        one version of a file
//	source.go      the open handle of a file that is streamed
//	workers.go     the goroutines that wait for disks
//	interfaces.go  the host's interfaces
//	server.go      Listen, Serve; the goroutines with their ports
//	socket_*.go    a goroutine's ports: batches of datagrams on this system
//
// # Goroutines
//
// A socket belongs to one goroutine, which receives datagrams in batches, runs
// the state machines and sends in batches. Transfers share sockets and are told
// apart by the client's address and port. There is no goroutine and no timer
// for each client. What may block on a disk (opening, reading, asking
// Config.Tree) is done by a few workers, which send their results to the
// socket's inbox. So a slow disk delays only the transfers that need it. A file
// system that hangs and does not recover holds up new files; transfers of files
// in memory go on.
//
// # Names and errors on the wire
//
// A request for a file that does not exist is refused with code 1 at once,
// because firmware asks for files that need not exist and waits for the answer.
// Texts on the wire are fixed. The details (paths, system errors) go only to
// the hooks in [Events].
package tftp
