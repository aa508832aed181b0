// Package lab builds small networks on one machine and boots real firmware in them.
//
//	 host "dhcp"      host "sidecar"     host "web"        capture
//	dhcpd, Kea,        pxesidecar        Collector            |
//	  dnsmasq              |                 |                |
//	     \                 |                 |               /
//	      +------------- Segment (a bridge, no STP) --------+
//	                       |                 |
//	                QEMU guest (tap)   QEMU guest (tap)
//
// A [Lab] owns everything of one scenario. Its hosts are network namespaces that have no name: each is held by one
// thread of this process and by nothing else, so they are gone when the process is, however it ends, and so are the
// programs started in them. Nothing touches the machine's own interfaces. Guests are not made to wait for what is not
// in question: every segment has an IPv6 router (see [Options]), and Enter is pressed at iPXE's prompts.
//
// The evidence a scenario asks for comes from three places: the [Collector], which boot scripts tell what runs them;
// the [Capture] of the segment, out of which [Traffic] counts DHCP messages and completed TFTP reads; and the logs of
// the programs. [Lab.Timeline] puts the three into one readable order.
//
// Programs and firmware come from a [Stock], which fetches what is missing.
package lab
