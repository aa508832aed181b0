// Command installcommand prints the shell commands that install the
// distribution's iPXE boot files without asking, or nothing if they are
// installed or a release was fetched. If no package is known, it says what to
// do and fails. The Makefile runs what it prints.
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/pxesidecar/pxesidecar/internal/rom"
)

func main() {
	if len(rom.Find(os.DirFS("/"), rom.WithShims)) > 0 {
		return
	}
	release, err := os.Open("/etc/os-release")
	if err != nil {
		fmt.Fprintln(os.Stderr, "cannot identify the distribution:", err)
		os.Exit(1)
	}
	defer release.Close()
	command := rom.InstallCommand(release)
	if command == "" {
		fmt.Fprintln(os.Stderr, "no package of iPXE boot files is known for this system: fetch those of a release with bin/pxesidecar rom fetch")
		os.Exit(1)
	}
	if strings.HasPrefix(command, "apt-get") {
		fmt.Println("apt-get -q update")
	}
	fmt.Println(unattended.Replace(command))
}

// unattended makes package managers install without asking.
var unattended = strings.NewReplacer(" install ", " install -y ", "pacman -S ", "pacman -S --noconfirm ")
