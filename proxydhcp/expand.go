package proxydhcp

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// placeholders are the facts that a file name or URL may contain, for firmware,
// which expands nothing itself. iPXE expands ${settings} of its own; those are
// left alone. Each fact is safe in a path and in a URL: letters, digits, dots,
// hyphens and colons. What a client can choose freely is escaped.
var placeholders = map[string]func(Client) string{
	"arch":         func(c Client) string { return c.Platform().String() },
	"arch-number":  func(c Client) string { return strconv.Itoa(int(c.Arch)) },
	"interface":    func(c Client) string { return url.PathEscape(c.Segment.Interface) },
	"ipxe-version": func(c Client) string { return c.IPXE.Version.String() },
	"mac":          func(c Client) string { return c.Hardware.String() },
	"mac-hyphen":   func(c Client) string { return strings.ReplaceAll(c.Hardware.String(), ":", "-") },
	"mac-plain":    func(c Client) string { return strings.ReplaceAll(c.Hardware.String(), ":", "") },
	"relay":        func(c Client) string { return relayText(c.Segment) },
	"user-class":   func(c Client) string { return url.PathEscape(c.UserClass) },
	"uuid":         func(c Client) string { return c.UUID.String() },
	"vlan":         func(c Client) string { return strconv.Itoa(int(c.Segment.VLAN)) },
}

// relayText returns the relay's address, "none" for a client on our own link.
func relayText(s Segment) string {
	if !s.Relay.IsValid() {
		return "none"
	}
	return s.Relay.String()
}

// Expand replaces the placeholders of a file name or URL by the facts about a
// client: {mac}, {uuid}, {arch} and the others. Everything else stays.
func Expand(name string, c Client) string {
	if !strings.Contains(name, "{") {
		return name
	}
	var b strings.Builder
	eachBrace(name, func(plain, key string) {
		b.WriteString(plain)
		if fact, ok := placeholders[key]; ok {
			b.WriteString(fact(c))
		} else if key != "" {
			b.WriteString("{" + key + "}")
		}
	})
	return b.String()
}

// CheckPlaceholders returns an error for an unknown placeholder in a name. The
// error lists the known ones.
func CheckPlaceholders(name string) error {
	var unknown string
	eachBrace(name, func(_, key string) {
		if _, ok := placeholders[key]; key != "" && !ok && unknown == "" {
			unknown = key
		}
	})
	if unknown == "" {
		return nil
	}
	known := strings.Join(slices.Sorted(maps.Keys(placeholders)), "}, {")
	return fmt.Errorf("unknown placeholder {%s}: known are {%s}, and iPXE's own ${settings}", unknown, known)
}

// eachBrace calls visit with each {key} of a name and the plain text before it,
// and finally with the rest and no key. iPXE's ${settings} are plain text.
func eachBrace(name string, visit func(plain, key string)) {
	from := 0
	for at := 0; at < len(name); at++ {
		if name[at] != '{' {
			continue
		}
		end := strings.IndexByte(name[at:], '}')
		if end < 0 {
			break
		}
		if end > 1 && (at == 0 || name[at-1] != '$') {
			visit(name[from:at], name[at+1:at+end])
			from = at + end + 1
		}
		at += end
	}
	visit(name[from:], "")
}
