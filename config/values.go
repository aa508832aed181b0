package config

// The parsers of single values.

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// parseAll parses each value of a list. Values may be joined by commas, as in
// an environment variable. Those that cannot be parsed become problems.
func parseAll[T any](p Problems, key string, values []string, parse func(string) (T, error)) []T {
	var all []T
	for _, value := range values {
		for part := range strings.SplitSeq(value, ",") {
			part = strings.TrimSpace(part)
			if part == "" {
				continue
			}
			v, err := parse(part)
			p.Add(key, part, err)
			if err == nil {
				all = append(all, v)
			}
		}
	}
	return all
}

// parseHost reads the IPv4 address of a host.
func parseHost(text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	if err != nil || !a.Is4() || a.IsUnspecified() || a.IsMulticast() {
		return netip.Addr{}, errors.New("not the IPv4 address of a host")
	}
	return a, nil
}

// parseNetwork reads an IPv4 network, or a single address.
func parseNetwork(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Is4() {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	n, err := netip.ParsePrefix(s)
	if err != nil || !n.Addr().Is4() {
		return n, errors.New("not an IPv4 network: write for example 203.0.113.0/24")
	}
	return n, nil
}

// parseListen reads where to listen: ADDRESS:PORT, ADDRESS, :PORT or PORT. port
// is the one to use if there is none.
func parseListen(s string, port uint16) (netip.AddrPort, error) {
	const form = "write ADDRESS:PORT, such as 192.0.2.1:%d, or :%d for every address"
	host, digits := s, ""
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		host, digits = s[:i], s[i+1:]
	} else if _, err := strconv.Atoi(s); err == nil {
		host, digits = "", s
	}
	addr := netip.IPv4Unspecified()
	if host != "" {
		var err error
		if addr, err = netip.ParseAddr(host); err != nil || !addr.Is4() {
			return netip.AddrPort{}, fmt.Errorf("%q is no IPv4 address: "+form, host, port, port)
		}
	}
	if digits == "" {
		return netip.AddrPortFrom(addr, port), nil
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || n == 0 {
		return netip.AddrPort{}, fmt.Errorf("%q is no port: "+form, digits, port, port)
	}
	return netip.AddrPortFrom(addr, uint16(n)), nil
}

// parsePorts reads a range of ports, LOW-HIGH. It returns the zero range for
// "".
func parsePorts(s string) ([2]uint16, error) {
	var r [2]uint16
	if s == "" {
		return r, nil
	}
	low, high, ok := strings.Cut(s, "-")
	if !ok {
		high = low
	}
	for i, text := range []string{low, high} {
		n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 16)
		if err != nil || n == 0 {
			return [2]uint16{}, fmt.Errorf("%q is no port: write LOW-HIGH, such as 20000-20015", text)
		}
		r[i] = uint16(n)
	}
	if r[0] > r[1] {
		return [2]uint16{}, fmt.Errorf("the range ends (%d) before it begins (%d)", r[1], r[0])
	}
	return r, nil
}

// maxVLAN is the highest VLAN id (IEEE 802.1Q; 4095 is reserved).
const maxVLAN = 4094

// parseVLANs reads VLAN ids and ranges joined by commas, such as "10,20,30-39".
// 0 or "untagged" is what carries no tag.
func parseVLANs(s string) ([]uint16, error) {
	var ids []uint16
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		if part == "untagged" {
			part = "0"
		}
		low, high, isRange := strings.Cut(part, "-")
		if !isRange {
			high = low
		}
		first, err := strconv.ParseUint(strings.TrimSpace(low), 10, 16)
		last, err2 := strconv.ParseUint(strings.TrimSpace(high), 10, 16)
		if err != nil || err2 != nil || last > maxVLAN {
			return nil, fmt.Errorf("%q is no VLAN id from 1 to %d, no range of them such as 30-39, and not untagged", part, maxVLAN)
		}
		if first > last {
			return nil, fmt.Errorf("the range %s ends before it begins", part)
		}
		for id := first; id <= last; id++ {
			ids = append(ids, uint16(id))
		}
	}
	return ids, nil
}

// parseArchs reads an architecture type, or a platform for all its types.
func parseArchs(s string) ([]proxydhcp.Arch, error) {
	if platform, err := proxydhcp.ParsePlatform(s); err == nil {
		return platform.Archs(), nil
	}
	a, err := proxydhcp.ParseArch(s)
	return []proxydhcp.Arch{a}, err
}

// ParseUUID reads a machine's UUID as its firmware shows it.
func ParseUUID(s string) (proxydhcp.UUID, error) {
	var u proxydhcp.UUID
	b, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if err != nil || len(b) != len(u) {
		return u, errors.New("not a UUID: write for example 00112233-4455-6677-8899-aabbccddeeff")
	}
	// On the wire, the bytes of each of the first three fields are reversed.
	for i, from := range []int{3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15} {
		u[i] = b[from]
	}
	return u, nil
}

// ParsePCIID reads the vendor and the device of a network card, in hexadecimal.
func ParsePCIID(s string) (proxydhcp.PCIID, error) {
	vendor, device, _ := strings.Cut(s, ":")
	v, err := strconv.ParseUint(vendor, 16, 16)
	d, err2 := strconv.ParseUint(device, 16, 16)
	if err != nil || err2 != nil {
		return proxydhcp.PCIID{}, errors.New("not a PCI id: write for example 8086:1521")
	}
	return proxydhcp.PCIID{Vendor: uint16(v), Device: uint16(d)}, nil
}

// maxName is the longest boot file name in bytes: what DHCP can carry beside a
// server's name.
const maxName = 200

// IsURL reports whether a boot file name is a URL, not a name in the boot file
// tree.
func IsURL(name string) bool { return strings.Contains(name, "://") }

// ParseBootName checks a name in the boot file tree, or a URL, in the form in
// which firmware will get it, and returns the name without a leading slash.
func ParseBootName(name string) (string, error) {
	if strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return "", errors.New("has a space or a control character, which firmware does not take")
	}
	if len(name) > maxName {
		return "", fmt.Errorf("%d bytes long, and DHCP has room for %d", len(name), maxName)
	}
	if err := proxydhcp.CheckPlaceholders(name); err != nil {
		return "", err
	}
	if !IsURL(name) {
		return strings.TrimLeft(name, "/"), nil
	}
	switch scheme, _, _ := strings.Cut(name, "://"); scheme {
	case "http", "https", "tftp", "nfs", "ftp":
	default:
		return "", fmt.Errorf("%s:// is no scheme that iPXE loads from: use http, https, tftp, nfs or ftp", scheme)
	}
	u, err := url.Parse(withoutBraces(name))
	switch {
	case err != nil:
		return "", err
	case u.Host == "":
		return "", errors.New("has no host")
	}
	return name, nil
}

// withoutBraces replaces iPXE's ${settings} and our {placeholders} in a URL, so
// that the rest can be checked.
func withoutBraces(name string) string {
	for {
		before, rest, ok := strings.Cut(strings.ReplaceAll(name, "${", "{"), "{")
		_, after, closed := strings.Cut(rest, "}")
		if !ok || !closed {
			return name
		}
		name = before + "x" + after
	}
}

// joined lists values for people.
func joined[T fmt.Stringer](values []T) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = v.String()
	}
	return strings.Join(texts, ", ")
}

// either lists alternatives for people: "a, b or c".
func either(names []string) string {
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}
