// Package lab builds small networks on one machine and boots real firmware in
// them.
//
//	 host "dhcp"      host "sidecar"     host "web"        capture
//	dhcpd, Kea,        pxesidecar        Collector            |
//	  dnsmasq              |                 |                |
//	     \                 |                 |               /
//	      +------------- Segment (a bridge, no STP) --------+
//	                       |                 |
//	                QEMU guest (tap)   QEMU guest (tap)
//
// A [Lab] owns everything of one scenario. Its hosts are network namespaces
// without a name. Each is held by one thread of this process and by nothing
// else, so that the namespaces, and the programs started in them, end when the
// process ends, even if it is killed. This package is the only one that creates
// network namespaces for tests. Nothing touches the machine's own interfaces.
//
// A scenario takes its evidence from three places: boot scripts report to the
// [Collector]; [Traffic] counts DHCP messages and complete TFTP reads in the
// [Capture] of the segment; and programs write logs. [Lab.Timeline] merges the
// three in the order of time.
//
// Programs and firmware come from a [Stock], which fetches what is missing.
// Guests do not wait for what is not tested: every segment has an IPv6 router
// (see [Options]), and Enter is pressed at iPXE's prompts.
package lab
