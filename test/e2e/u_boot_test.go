package e2e

// U-Boot at its prompt. U-Boot asks by DHCP but is no PXE client, and the build
// that Debian packages ignores ProxyDHCP servers.

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

// uBootLimit bounds everything that a test does with a U-Boot. U-Boot starts
// within a second.
const uBootLimit = 2 * time.Minute

// uBoot is a U-Boot at its prompt.
type uBoot struct {
	*lab.Prompt
	machine *lab.Machine
	ctx     context.Context
}

// bootUBoot switches a U-Boot on and stops its automatic boot. It ends with the
// test.
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

// run runs a command and returns its output.
func (u uBoot) run(t *testing.T, command string) string {
	t.Helper()
	lines, err := u.Run(u.ctx, command)
	if err != nil {
		t.Fatalf("%v\nconsole:\n%s", err, u.machine.Console())
	}
	return strings.Join(lines, "\n")
}

// The output of U-Boot after it has loaded a file, and of its CRC-32.
var (
	uBootLoaded = regexp.MustCompile(`(?m)^Loading: [\s\S]*\ndone$`)
	uBootCRC    = regexp.MustCompile(`==> ([0-9a-f]{8})$`)
)

// crcText returns a CRC-32 as U-Boot writes it.
func crcText(content []byte) string { return fmt.Sprintf("%08x", crc32.ChecksumIEEE(content)) }

// load runs a command that loads a file, and returns the CRC-32 of the file, or
// an empty string if none was loaded. U-Boot computes no CRC of an empty file,
// and then keeps the size of the file before.
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

// conversation returns the DHCP messages of the machine with their addresses
// and files, sorted, because two servers offer at the same time.
func (r *trial) conversation(mac string) []string {
	var messages []string
	for _, m := range r.lab.Capture.Traffic.Messages(mac, nil) {
		d := m.DHCP
		switch {
		case m.Src.Addr() == r.daemon.Address:
			messages = append(messages, fmt.Sprintf("pxesidecar: %s yiaddr %s siaddr %s file %s", d.MessageType(), d.YourIPAddr, d.ServerIPAddr, d.BootFileName))
		case m.Src.Port() == 67:
			messages = append(messages, fmt.Sprintf("main server: %s file %s", d.MessageType(), d.BootFileName))
		default:
			messages = append(messages, fmt.Sprintf("machine: %s %s", d.MessageType(), d.ClassIdentifier()))
		}
	}
	slices.Sort(messages)
	return messages
}
