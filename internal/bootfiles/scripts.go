package bootfiles

import (
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
func generatedScripts(c *config.Config, roms []config.ROM, version string) (map[string][]byte, error) {
	files := map[string][]byte{config.LocalDiskScriptName: ipxescript.LocalDisk()}
	upgrade := ipxescript.Upgrade{Accepted: c.IPXETexts, ROMs: map[proxydhcp.Platform]ipxescript.Replacement{}}
	for _, r := range roms {
		if text := r.VersionText; text != "" && len(c.IPXETexts) == 0 && !slices.Contains(upgrade.Accepted, text) {
			upgrade.Accepted = append(upgrade.Accepted, text)
		}
		upgrade.ROMs[r.Platform] = ipxescript.Replacement{URL: r.Name, Version: r.VersionText}
	}
	check := len(c.IPXETexts) > 0 || c.DHCP.Off && len(upgrade.Accepted) > 0
	files[config.BootScriptName] = ipxescript.Boot(ipxescript.Facts{Version: version, Check: check})
	if !check {
		return files, nil
	}
	text, err := ipxescript.VersionCheck(upgrade)
	files[ipxescript.CheckName] = text
	return files, err
}
