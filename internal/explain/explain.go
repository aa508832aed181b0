// Package explain reports what a client would get and why, on the path that a
// served request takes.
package explain

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// Explainer answers requests without sending anything.
type Explainer struct {
	Policy  *proxydhcp.Policy
	Options proxydhcp.ReplyOptions
	Server  netip.Prefix // the address that clients are told, with its network

	Allow func(netip.Addr) bool // as in proxydhcp.ResponderConfig
}

// Request writes to w what the request in payload would get: the client as it
// was read, the decision and the rule that made it, the rules passed over and
// why, and the answer decoded. It returns the result.
func (e Explainer) Request(w io.Writer, payload []byte, a proxydhcp.Arrival) (proxydhcp.Result, error) {
	a.Ours = []netip.Prefix{e.Server}
	res := proxydhcp.NewResponder(proxydhcp.ResponderConfig{Policy: e.Policy, Options: e.Options, Allow: e.Allow}).Respond(nil, payload, a, time.Now())
	out := &printer{w: w}
	if res.Client.VendorClass != "" {
		out.client(res.Client)
	}
	out.decision(res)
	if res.Client.VendorClass != "" {
		for i, p := range e.Policy.Trail(res.Client, false) {
			label := "passed over"
			if i > 0 {
				label = ""
			}
			out.row(label, "%s: %s", p.Rule, p.Why)
		}
	}
	out.answer(res)
	return res, out.err
}

// printer writes labelled rows and keeps the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) row(label, format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, "%-12s %s\n", label, fmt.Sprintf(format, args...))
	}
}

// client describes who asks.
func (p *printer) client(c proxydhcp.Client) {
	p.row("client", "%s, %s, %s", c.Hardware, c.Arch, c)
	if c.IPXE.Present {
		features := c.IPXE.Features.String()
		if !c.IPXE.HasFeatures {
			features = "unknown"
		}
		p.row("", "features %s", features)
	}
	if c.UserClass != "" {
		p.row("", "user class %q", c.UserClass)
	}
	p.row("", "vendor class %q", c.VendorClass)
	if c.IPXE.NIC != (proxydhcp.PCIID{}) {
		p.row("", "network card %s", c.IPXE.NIC)
	}
	if c.UUID != (proxydhcp.UUID{}) {
		p.row("", "UUID %s", c.UUID)
	}
	p.row("", "at %s", segmentText(c.Segment))
}

// segmentText describes where a client is.
func segmentText(s proxydhcp.Segment) string {
	var parts []string
	if s.Interface != "" {
		parts = append(parts, "interface "+s.Interface)
	}
	if s.VLAN != 0 {
		parts = append(parts, fmt.Sprintf("VLAN %d", s.VLAN))
	}
	if s.Relay.IsValid() {
		parts = append(parts, "relay "+s.Relay.String())
	}
	if s.Circuit != "" {
		parts = append(parts, "circuit "+s.Circuit)
	}
	if len(parts) == 0 {
		return "any interface"
	}
	return strings.Join(parts, ", ")
}

// decision reports what the client gets, and by which rule.
func (p *printer) decision(res proxydhcp.Result) {
	d := res.Decision
	switch {
	case res.Err != nil:
		p.row("gets", "nothing: %v", res.Err)
	case res.Reason != proxydhcp.Answerable:
		p.row("gets", "nothing: %s", res.Reason)
	default:
		p.row("gets", "%s %s", d.Kind, d.File)
	}
	if d.Rule != "" {
		p.row("by rule", "%s", d.Rule)
	}
	if d.Unmet != (proxydhcp.Unmet{}) {
		p.row("because", "%s", d.Unmet)
	}
}

// answer decodes the reply with another implementation than ours.
func (p *printer) answer(res proxydhcp.Result) {
	if res.Reply == nil {
		return
	}
	p.row("answer", "%d bytes to %s, from port %d", len(res.Reply), res.To.To, res.To.FromPort)
	m, err := dhcpv4.FromBytes(res.Reply)
	if err != nil {
		p.row("", "it does not parse: %v", err)
		return
	}
	for line := range strings.Lines(strings.TrimSpace(m.Summary())) {
		p.row("", "%s", strings.TrimRight(line, "\n"))
	}
}

// Hex reads a hex dump of a DHCP message: hexadecimal digits with blanks
// between them. It skips offsets that end in a colon, text columns after a bar,
// and comments after #.
func Hex(text []byte) ([]byte, error) {
	var out []byte
	number := 0
	for line := range bytes.Lines(text) {
		number++
		s, _, _ := strings.Cut(string(line), "#")
		s, _, _ = strings.Cut(s, "|")
		if _, rest, ok := strings.Cut(s, ":  "); ok {
			s = rest
		} else if _, rest, ok := strings.Cut(s, ": "); ok {
			s = rest
		}
		digits := strings.Join(strings.Fields(s), "")
		if len(digits)%2 != 0 {
			return nil, fmt.Errorf("line %d: an odd number of hexadecimal digits", number)
		}
		for i := 0; i < len(digits); i += 2 {
			var v byte
			if _, err := fmt.Sscanf(digits[i:i+2], "%02x", &v); err != nil {
				return nil, fmt.Errorf("line %d: %q is not hexadecimal", number, digits[i:i+2])
			}
			out = append(out, v)
		}
	}
	return out, nil
}
