package lab

// A second check of our packets: Wireshark's dissectors, on the capture.

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
)

// Malformed returns a description of each packet of a sender that tshark finds
// malformed, with a wrong checksum, or otherwise in error. The sender's
// checksums are only meaningful after Host.FullChecksums.
func (c *Capture) Malformed(ctx context.Context, sender netip.Addr) ([]string, error) {
	path := c.segment.Host.lab.Path("capture-" + c.segment.Name + ".pcap")
	if err := c.WritePcap(path); err != nil {
		return nil, err
	}
	filter := fmt.Sprintf("ip.src == %s && (_ws.malformed || _ws.expert.group == \"Malformed\" || _ws.expert.group == \"Checksum\""+
		" || (dhcp && _ws.expert.severity == \"Error\") || (tftp && _ws.expert.severity == \"Error\" && !(tftp.opcode == 5)))", sender)
	p, err := c.segment.Host.Run(ctx, Command{Path: "tshark", Env: []string{"HOME=" + c.segment.Host.lab.Dir}, Args: []string{
		"-n", "-r", path, "-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-Y", filter,
		"-T", "fields", "-e", "frame.number", "-e", "_ws.col.Protocol", "-e", "_ws.col.Info", "-e", "_ws.expert.message"}})
	if err != nil {
		return nil, err
	}
	text := strings.TrimSpace(p.Stdout.String())
	if text == "" {
		return nil, nil
	}
	return strings.Split(text, "\n"), nil
}
