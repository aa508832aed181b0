// Package ipxescript writes the iPXE scripts that pxesidecar serves.
//
// The scripts must run in ten years of iPXE builds, for BIOS and UEFI, with and
// without menus. In all of them a command that fails, or that the build does
// not have, ends the script, unless another command follows ||. Settings that
// do not exist are empty. A line is split into words before settings are
// expanded, and runs of spaces become one.
package ipxescript

import (
	"bytes"
	"fmt"
	"strings"
)

// Facts are what the built-in boot script is made from.
type Facts struct {
	Version string // of pxesidecar
	Check   bool   // begin with the version check (see VersionCheck)
}

// timeout is how many seconds pass until the local disk is booted: enough for a
// person to walk to the keyboard and read the screen, and no long delay for a
// machine that nobody watches.
const timeout = 30

// machineFacts are shown about the machine. netX is the card that was opened
// last, which is the one that was booted from. There is no setting for the
// features of a build; iPXE itself prints them when it starts.
var machineFacts = []string{
	"Machine: ${manufacturer} ${product}",
	"Serial number: ${serial}",
	"UUID: ${uuid}",
	"Network card: ${netX/mac} (${netX/chip})",
	"IP address: ${netX/ip}, gateway ${netX/gateway}",
	"Boot file: ${filename} from ${next-server}",
	"iPXE: ${version}, ${platform} ${buildarch}",
}

// Boot returns the built-in boot script, which a machine runs if no other one
// is configured. It shows where the machine is and what it is; offers to try
// again, iPXE's shell and the local disk; and after a while boots the local
// disk. A build without menus offers the shell by a prompt; one without prompts
// boots the local disk at once.
func Boot(facts Facts) []byte {
	heading := "pxesidecar " + facts.Version
	explanation := []string{
		"This machine has booted from the network and reached pxesidecar.",
		"No boot script is configured there. To name one, start it with --boot-url.",
	}
	w := &writer{}
	w.line("#!ipxe")
	w.line("# The built-in boot script of pxesidecar %s. It is served while no --boot-url is given.", plain(facts.Version))
	if facts.Check {
		w.line(checkLine)
	}
	w.line("")
	w.menu(heading, explanation)
	w.prompt(heading, explanation)
	w.choices()
	return w.Bytes()
}

// writer collects the lines of a script.
type writer struct{ bytes.Buffer }

// line writes one line.
func (w *writer) line(format string, args ...any) {
	fmt.Fprintf(&w.Buffer, format+"\n", args...)
}

// menu writes the menu. All information is in it, because a menu covers what
// was on the screen. A build without menus goes on at the label plain.
func (w *writer) menu(heading string, explanation []string) {
	w.line(":start")
	w.line("menu %s || goto plain", plain(heading))
	for _, text := range explanation {
		w.line("item --gap -- %s", plain(text))
	}
	w.line("item --gap")
	for _, fact := range machineFacts {
		w.line("item --gap -- %s", fact)
	}
	w.line("item --gap")
	w.line("item --key l local Boot from the local disk")
	w.line("item --key r retry Try again: ask for an address and a boot script")
	w.line("item --key s shell iPXE shell (leave it with exit)")
	w.line("choose --default local --timeout %d choice || goto local", timeout*1000)
	w.line("goto ${choice} || goto local")
	w.line("")
}

// prompt writes what a build without menus shows.
func (w *writer) prompt(heading string, explanation []string) {
	w.line(":plain")
	w.line("echo")
	w.line("echo %s", plain(heading))
	for _, text := range explanation {
		w.line("echo %s", plain(text))
	}
	for _, fact := range machineFacts {
		w.line("echo %s", fact)
	}
	w.line("echo")
	w.line("prompt --key s --timeout %d Press s for the iPXE shell. In %d seconds: boot from the local disk. || goto local", timeout*1000, timeout)
	w.line("goto shell")
	w.line("")
}

// choices writes what the choices do. To try again runs this script inside
// itself. When the inner script hands the machine back to its firmware, the
// outer one must not begin again: a setting tells it.
//
// To hand over, BIOS is asked for its first disk, because many BIOSes hang when
// a network boot program returns. UEFI has no disk numbers, and goes on to its
// next boot entry, but only after a failure: after a success it may stay and
// show a menu (UEFI 2.10, section 3.1.1). So there the script ends with exit 1.
func (w *writer) choices() {
	w.Buffer.WriteString(`:retry
clear pxesidecar-left ||
autoboot ||
isset ${pxesidecar-left} && goto left || goto start

:shell
echo Type help for the commands, exit to return.
shell ||
goto start

:local
set pxesidecar-left yes
` + localDisk + `:left
` + handOver)
}

// localDisk boots from the local disk, and goes on if there is none.
const localDisk = `iseq ${platform} pcbios || goto leave
echo Booting from the local disk.
sanboot --no-describe --drive 0x80 || echo There is nothing to boot on the local disk.

:leave
echo Going on with the next boot device.
`

// handOver returns the machine to its firmware.
const handOver = `iseq ${platform} pcbios && exit 0 || exit 1
`

// LocalDisk returns the script that boots from the local disk at once, for an
// iPXE that must not boot from the network. To send no answer is not enough:
// some iPXEs then load again what their firmware loaded.
func LocalDisk() []byte {
	return []byte("#!ipxe\n# The script of pxesidecar for machines that boot from their local disk.\n\n" + localDisk + handOver)
}

// plain returns text that is safe in a line of a script: printable ASCII,
// without settings to expand, and without words that end a command or begin a
// comment.
func plain(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '$':
			return -1
		case r < ' ' || r > '~':
			return ' '
		}
		return r
	}, text)
	var words []string
	for word := range strings.FieldsSeq(text) {
		if word = strings.TrimLeft(word, "#"); word != "" && word != "&&" && word != "||" && word != ";" {
			words = append(words, word)
		}
	}
	return strings.Join(words, " ")
}
