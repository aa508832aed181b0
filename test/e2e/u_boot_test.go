package e2e

// U-Boot at its prompt. U-Boot asks by DHCP but is no PXE client, and the build that
// Debian packages ignores ProxyDHCP servers.

import (
	"context"
	"fmt"
	"hash/crc32"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// uBootLimit bounds all that is done with a U-Boot; it is up within a second.
const uBootLimit = 2 * time.Minute

// uBoot is a U-Boot at its prompt.
type uBoot struct {
	*lab.Prompt
	machine *lab.Machine
	ctx     context.Context
}

// bootUBoot switches a U-Boot on and keeps it from booting by itself. It ends with the test.
func bootUBoot(t *testing.T, r trial) uBoot {
	t.Helper()
	t.Cleanup(takeSlot())
	ctx := deadline(t, uBootLimit)
	m, err := r.lab.Boot(ctx, lab.Guest{Name: "u-boot", Firmware: lab.UBoot})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Stop)
	p, err := m.Prompt(ctx, "Hit any key to stop autoboot", " ", "=>")
	if err != nil {
		t.Fatalf("%v\nconsole:\n%s", err, m.Console())
	}
	return uBoot{p, m, ctx}
}

// run runs a command and returns what it wrote.
func (u uBoot) run(t *testing.T, command string) string {
	t.Helper()
	lines, err := u.Run(u.ctx, command)
	if err != nil {
		t.Fatalf("%v\nconsole:\n%s", err, u.machine.Console())
	}
	return strings.Join(lines, "\n")
}

// What U-Boot writes of a file that it has loaded, and of its CRC-32.
var (
	uBootLoaded = regexp.MustCompile(`(?m)^Loading: [\s\S]*\ndone$`)
	uBootCRC    = regexp.MustCompile(`==> ([0-9a-f]{8})$`)
)

// crcText is a CRC-32 as U-Boot writes it.
func crcText(content []byte) string { return fmt.Sprintf("%08x", crc32.ChecksumIEEE(content)) }

// load runs a command that loads a file, and returns the CRC-32 of what came; it is empty where none did. U-Boot takes
// no CRC of nothing, and keeps the size of the file before it then.
func (u uBoot) load(t *testing.T, command string) string {
	t.Helper()
	text := u.run(t, "setenv filesize; "+command)
	if !uBootLoaded.MatchString(text) {
		t.Errorf("%s did not load a file:\n%s", command, text)
		return ""
	}
	if !strings.Contains(text, "Bytes transferred") {
		return crcText(nil)
	}
	text = u.run(t, "crc32 ${fileaddr} ${filesize}")
	found := uBootCRC.FindStringSubmatch(text)
	if found == nil {
		t.Errorf("no CRC after %s:\n%s", command, text)
		return ""
	}
	return found[1]
}

// conversation are the DHCP messages of the machine with their addresses and files, sorted: two servers offer at once.
func (r *trial) conversation(mac string) []string {
	var said []string
	for _, m := range r.lab.Capture.Traffic.Messages(mac, nil) {
		d := m.DHCP
		switch {
		case m.Src.Addr() == r.daemon.Address:
			said = append(said, fmt.Sprintf("pxesidecar: %s yiaddr %s siaddr %s file %s", d.MessageType(), d.YourIPAddr, d.ServerIPAddr, d.BootFileName))
		case m.Src.Port() == 67:
			said = append(said, fmt.Sprintf("main server: %s file %s", d.MessageType(), d.BootFileName))
		default:
			said = append(said, fmt.Sprintf("machine: %s %s", d.MessageType(), d.ClassIdentifier()))
		}
	}
	slices.Sort(said)
	return said
}
