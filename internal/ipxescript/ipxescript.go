// Package script writes the iPXE scripts that pxesidecar serves.
//
// A script meets every iPXE there is: builds of ten years, for BIOS and UEFI, with and without menus.
// What holds for all of them shapes the scripts here. A command that fails, or does not exist in that
// build, ends the script unless the line has another command behind ||. Settings that do not exist are
// empty. Lines are split into words before settings are put in, and runs of spaces become one.
package ipxescript

import (
	"bytes"
	"fmt"
	"strings"
	"time"
)

// Facts are what the built-in boot script says of its server.
type Facts struct {
	Version string        // of pxesidecar
	Title   string        // who serves here, such as a host's name; may be empty
	Check   bool          // begin with the version check (see VersionCheck)
	Timeout time.Duration // until the local disk is booted; zero means DefaultTimeout, less than a second means one
}

// DefaultTimeout gives a person time to walk to the keyboard and read a screen, and delays a machine that nobody watches tolerably.
const DefaultTimeout = 30 * time.Second

// machineFacts are shown about the machine. netX is the card that was opened last, which is the one
// that was booted from. There is no setting for the features of a build; iPXE itself prints them when it starts.
var machineFacts = []string{
	"Machine: ${manufacturer} ${product}",
	"Serial number: ${serial}",
	"UUID: ${uuid}",
	"Network card: ${netX/mac} (${netX/chip})",
	"IP address: ${netX/ip}, gateway ${netX/gateway}",
	"Boot file: ${filename} from ${next-server}",
	"iPXE: ${version}, ${platform} ${buildarch}",
}

// Boot returns the built-in boot script: what a machine runs when nobody has said what it should run.
// It shows where the machine is and what it is, offers to try again, iPXE's shell and the local disk, and
// after a while boots the local disk. Where the build has no menu, a prompt offers the shell;
// where it has no prompt either, the local disk follows at once.
func Boot(facts Facts) []byte {
	timeout := facts.Timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	seconds := max(1, int(timeout/time.Second))
	heading := "pxesidecar " + facts.Version
	if facts.Title != "" {
		heading += " on " + facts.Title
	}
	explanation := []string{
		"This machine has booted from the network and reached pxesidecar.",
		"No boot script is configured there. To name one, start it with --boot-url.",
	}
	w := &writer{}
	w.line("#!ipxe")
	w.line("# The built-in boot script of pxesidecar %s. It is served while no --boot-url is given.", plain(facts.Version))
	if facts.Check {
		w.line(CheckLine)
	}
	w.line("")
	w.menu(heading, explanation, seconds)
	w.prompt(heading, explanation, seconds)
	w.choices()
	return w.Bytes()
}

// writer collects the lines of a script.
type writer struct{ bytes.Buffer }

// line writes one line.
func (w *writer) line(format string, args ...any) {
	fmt.Fprintf(&w.Buffer, format+"\n", args...)
}

// menu writes the menu, with everything there is to say in it, for a menu covers what was on the screen. A
// build without menus goes on at the label plain.
func (w *writer) menu(heading string, explanation []string, seconds int) {
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
	w.line("choose --default local --timeout %d choice || goto local", seconds*1000)
	w.line("goto ${choice} || goto local")
	w.line("")
}

// prompt writes what stands in for the menu where there is none.
func (w *writer) prompt(heading string, explanation []string, seconds int) {
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
	w.line("prompt --key s --timeout %d Press s for the iPXE shell. In %d seconds: boot from the local disk. || goto local", seconds*1000, seconds)
	w.line("goto shell")
	w.line("")
}

// choices writes what the choices do. To try again runs this script inside itself. When the machine is
// handed back to its firmware from there, the outer one must not begin anew: it sees that in a setting.
//
// To hand over, BIOS is asked for its first disk, since many BIOSes hang when a network boot program
// returns. UEFI has no such number, and goes on to its next boot entry, but only after a failure:
// after a success it may stay and show a menu (UEFI 2.10, section 3.1.1). So there the script ends with exit 1.
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

// localDisk boots from the local disk, and goes on where there is none.
const localDisk = `iseq ${platform} pcbios || goto leave
echo Booting from the local disk.
sanboot --no-describe --drive 0x80 || echo There is nothing to boot on the local disk.

:leave
echo Going on with the next boot device.
`

// handOver returns the machine to its firmware.
const handOver = `iseq ${platform} pcbios && exit 0 || exit 1
`

// LocalDisk returns the script that boots from the local disk at once: what an iPXE gets that is not to
// boot from the network. Silence would not do, for some iPXEs then load once more what their firmware loaded.
func LocalDisk() []byte {
	return []byte("#!ipxe\n# The script of pxesidecar for machines that boot from their local disk.\n\n" + localDisk + handOver)
}

// plain makes text safe to stand in a line of a script: printable ASCII, no settings to expand, and no word
// that ends a command or begins a comment.
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
