package bootfiles

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/internal/ipxescript"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// findScript returns the name of a segment's boot script. A name in the tree is
// looked up in the segment's directory, then in everybody's; a name with
// placeholders cannot be looked up.
func (s *Set) findScript(a config.Answers, problems config.Problems) string {
	name := a.Script
	if name != "" && (a.Remote || config.IsURL(name)) {
		return name
	}
	if name == "" {
		name = config.BootScriptName
	}
	inSegment := path.Join(a.Mount, name)
	if strings.Contains(name, "{") {
		return inSegment
	}
	if _, err := fs.Stat(s.tree, inSegment); err == nil {
		return inSegment
	}
	if _, err := fs.Stat(s.tree, name); err != nil && a.Script != "" {
		problems.Add("boot-url", a.Text.BootURL, notFound(name, a.Text.Root, err))
	}
	return name
}

// notFound returns the error for a name that the boot file tree does not have.
func notFound(name, root string, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if root == "" {
		return fmt.Errorf("no such boot file; name the directory that has %q with --root", name)
	}
	return fmt.Errorf("not found in %s", root)
}

// generatedScripts returns the scripts that are served unless the user has
// files of these names. The version check is generated if upgrades go by
// script: if no DHCP is answered, or the accepted versions are named.
func (s *Set) generatedScripts(c *config.Config, roms []config.ROM, version string) (map[string][]byte, error) {
	files := map[string][]byte{config.LocalDiskScriptName: ipxescript.LocalDisk()}
	upgrade := upgradeByScript(c, roms)
	check := len(c.IPXETexts) > 0 || c.DHCP.Off && len(upgrade.Accepted) > 0
	files[config.BootScriptName] = ipxescript.Boot(ipxescript.Facts{Version: version, Check: check})
	if c.DHCP.Off {
		s.warnOfUpgrades(c, upgrade, check)
	}
	if !check {
		return files, nil
	}
	text, err := ipxescript.VersionCheck(upgrade)
	files[ipxescript.CheckName] = text
	return files, err
}

// upgradeByScript returns which iPXEs a script replaces, and by which ROMs.
func upgradeByScript(c *config.Config, roms []config.ROM) ipxescript.Upgrade {
	upgrade := ipxescript.Upgrade{Accepted: c.IPXETexts, ROMs: map[proxydhcp.Platform]ipxescript.Replacement{}}
	everybody := c.Segments[len(c.Segments)-1]
	for _, r := range roms {
		if text := r.VersionText; text != "" && len(c.IPXETexts) == 0 && !slices.Contains(upgrade.Accepted, text) {
			upgrade.Accepted = append(upgrade.Accepted, text)
		}
		url := r.Name
		if everybody.Remote && !config.IsURL(url) {
			url = fmt.Sprintf("tftp://%s/%s", everybody.NextServer, url)
		}
		upgrade.ROMs[r.Platform] = ipxescript.Replacement{URL: url, Version: r.VersionText}
	}
	return upgrade
}

// warnOfUpgrades warns if no DHCP is answered and some iPXEs are not upgraded:
// there is no version check, or no boot script that runs it; or nothing says
// what a ROM calls itself, neither its file nor the user. check says that the
// check is generated.
func (s *Set) warnOfUpgrades(c *config.Config, upgrade ipxescript.Upgrade, check bool) {
	_, err := fs.Stat(s.tree, ipxescript.CheckName)
	own := err == nil
	if !own && !check {
		s.warn("--no-dhcp: no iPXE is upgraded, because no ROM tells its version text: name the texts that are current with --ipxe-text")
		return
	}
	if text, err := fs.ReadFile(s.tree, config.BootScriptName); err == nil && !bytes.Contains(text, []byte(ipxescript.CheckName)) {
		s.warn("--no-dhcp: %s does not run %s, so it upgrades no iPXE: begin it with the lines #!ipxe and chain --autofree %s ||",
			s.Source(config.BootScriptName), ipxescript.CheckName, ipxescript.CheckName)
	}
	if own || len(c.IPXETexts) > 0 {
		return
	}
	for _, platform := range proxydhcp.Platforms() {
		if r, ok := upgrade.ROMs[platform]; ok && r.Version == "" {
			s.warn("--no-dhcp: nothing tells what the ROM %s (%s) calls itself: each machine loads it at every boot, to no avail, unless that is named with --ipxe-text, beside %s",
				r.URL, platform, strings.Join(upgrade.Accepted, " and "))
		}
	}
}
