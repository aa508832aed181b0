// Package dhcp4 is the codec: DHCPv4 messages, their options and the IPv4 and
// UDP headers around them, to and from bytes. It decides nothing.
//
// Its names for option codes and message types are those of
// github.com/insomniacslk/dhcp, which checks every golden packet of package
// proxydhcp from outside. Why the codec is not that library's own is told in
// docs/decisions.
package dhcp4
