package export

// The answer of a step, composed by proxydhcp.

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// answer is the answer to a client.
type answer struct {
	file  text
	next  netip.Addr // siaddr
	class string     // option 60; "" if the server need not send it
}

// text is a boot file name with placeholders.
type text []piece

// piece is plain text, or the key of a placeholder.
type piece struct{ plain, key string }

// The longest boot file name: in the header's file field, without the final
// NUL, and in option 67.
const (
	maxFileField  = 127
	maxFileOption = 254
)

// parseText parses a name and its placeholders as proxydhcp.Expand does: {key}
// is one, iPXE's ${setting} is not.
func parseText(name string) text {
	var t text
	from := 0
	for at := 0; at < len(name); at++ {
		end := strings.IndexByte(name[at:], '}')
		if name[at] != '{' || end < 0 {
			continue
		}
		key := name[at+1 : at+end]
		switch {
		case at > 0 && name[at-1] == '$' || proxydhcp.CheckPlaceholders("{"+key+"}") != nil:
		case key == "":
			t = t.plain(name[from:at]).plain(proxydhcp.Expand("{}", proxydhcp.Client{}))
			from = at + end + 1
		default:
			t = append(t.plain(name[from:at]), piece{key: key})
			from = at + end + 1
		}
		at += end
	}
	return t.plain(name[from:])
}

// plain appends plain text.
func (t text) plain(s string) text {
	switch {
	case s == "":
		return t
	case len(t) > 0 && t[len(t)-1].key == "":
		t[len(t)-1].plain += s
		return t
	}
	return append(t, piece{plain: s})
}

// length returns the greatest length of a text in bytes.
func (t text) length() int {
	n := 0
	for _, p := range t {
		n += len(p.plain)
		if p.key != "" {
			n += 36 // a UUID, the longest value
		}
	}
	return n
}

// static returns the text for a server that supports only fixed names. Its
// placeholders are those that fillsOnlyFixed accepts.
func (t text) static() string {
	var b strings.Builder
	for _, p := range t {
		b.WriteString(p.plain)
		b.WriteString(ipxeSettings[p.key])
	}
	return b.String()
}

// mark represents the i-th placeholder while proxydhcp composes an answer. It
// is unchanged in paths and URLs.
func mark(i int) string { return fmt.Sprintf("pxesidecarplaceholder%dx", i) }

// compose sets the step's answer. proxydhcp composes it for a client of the
// step, as on port 4011: that is the answer that the client finally uses.
func (s *step) compose(o proxydhcp.Outcome, f Facts) error {
	name := o.File
	if o.Kind == proxydhcp.BootROM {
		name = o.ROMs.First(s.platform)
	}
	if strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("boot file name %q has a control character", name)
	}
	keys := text{{plain: name}}
	if o.Kind != proxydhcp.LocalDisk { // its name has no placeholders
		keys = s.fixed(parseText(name))
	}
	marked := ""
	for i, p := range keys {
		if p.key != "" {
			p.plain = mark(i)
		}
		marked += p.plain
	}
	arch := proxydhcp.ArchX64
	if len(s.archs.only) > 0 {
		arch = s.archs.only[0]
	}
	request := proxydhcp.Request{
		Client: s.clients.client(arch), Arrival: proxydhcp.Arrival{Port: proxydhcp.PortProxy, Server: f.Server},
	}
	reply, reason := proxydhcp.Compose(&request, proxydhcp.Decision{Kind: o.Kind, File: marked, NextServer: o.NextServer},
		proxydhcp.FixedShape, proxydhcp.ReplyOptions{HTTPPort: f.HTTPPort})
	if reason != proxydhcp.Answerable {
		s.silence = reason.String()
		return nil
	}
	s.answer = answer{file: keys.unmark(reply.File), next: reply.NextServer}
	if s.clients == httpFirmware {
		s.answer.class = reply.VendorClass
	}
	if n := s.answer.file.length(); n > maxFileOption {
		return fmt.Errorf("boot file name %q has up to %d bytes, and DHCP carries %d", name, n, maxFileOption)
	}
	if reply.File == "" {
		return errors.New("no boot file name")
	}
	return nil
}

// fixed replaces the architecture, which is known: a name with it has a step
// for each platform.
func (s *step) fixed(t text) text {
	var out text
	for _, p := range t {
		if p.key == "arch" {
			out = out.plain(s.platform.String())
		} else if p.key != "" {
			out = append(out, p)
		} else {
			out = out.plain(p.plain)
		}
	}
	return out
}

// unmark returns a composed name with the placeholders of t in place of their
// marks.
func (t text) unmark(name string) text {
	var out text
	for i, p := range t {
		if p.key == "" {
			continue
		}
		before, after, _ := strings.Cut(name, mark(i))
		out = append(out.plain(before), p)
		name = after
	}
	return out.plain(name)
}
