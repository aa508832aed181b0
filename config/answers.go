package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"

	"github.com/pxesidecar/pxesidecar/internal/bootfiles"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// What the machines of one part of the network get, as far as flags say it.

// answers are Answers that were understood.
type answers struct {
	label      string          // of the segment, "" for everybody else
	scope      proxydhcp.Match // the segment
	deny       bool            // nobody there is answered
	demands    demands
	roms       []ROM
	script     string
	nextServer netip.Addr
}

// builtinScript is the boot script's name where the user names none. A file of
// that name in the user's directory takes its place.
const builtinScript = "boot.ipxe"

// resolver understands answers: it finds their files and makes them part of
// the boot file tree.
type resolver struct {
	host     Host
	tree     *bootfiles.Tree
	mounts   map[string]mount // by their names, the directories that segments have of their own
	warnings []string
}

// resolve understands the answers of one segment. mount is where its own
// directory is in the tree: "" for the directory of everybody.
func (r *resolver) resolve(a Answers, mount string, p reporter) answers {
	out := answers{demands: a.parseDemands(p), nextServer: a.parseNextServer(p)}
	if a.Root != "" && !r.tree.Has(mount, a.Root) {
		if err := r.tree.AddDir(mount, a.Root); err != nil {
			p.add("root", a.Root, errors.Unwrap(err))
			return out
		}
	}
	finder := romFinder{answers: a, mount: mount, host: r.host, tree: r.tree, foreign: isForeign(out.nextServer, r.host)}
	out.roms = finder.find(p)
	r.warnings = append(r.warnings, finder.warnings...)
	out.script = r.script(a, mount, finder.foreign, p)
	if strings.HasPrefix(out.script, "https://") && out.demands.match.Features == 0 {
		r.warnings = append(r.warnings, "the boot URL is https, and an iPXE without HTTPS cannot load it: --ipxe-feature https upgrades those first")
	}
	return out
}

// script finds the boot script: in the segment's directory, else in
// everybody's. A name with placeholders cannot be looked for.
func (r *resolver) script(a Answers, mount string, foreign bool, p reporter) string {
	name, err := parseBootName(a.BootURL)
	p.add("boot-url", a.BootURL, err)
	if err != nil || foreign && name != "" || isURL(name) {
		return name
	}
	named := name != ""
	if !named {
		name = builtinScript
	}
	inSegment := bootfiles.Join(mount, name)
	if strings.Contains(name, "{") {
		return inSegment
	}
	if _, err = fs.Stat(r.tree, inSegment); err == nil {
		return inSegment
	}
	if _, err = fs.Stat(r.tree, name); err != nil && named {
		p.add("boot-url", a.BootURL, notFound(name, a.Root, err))
	}
	return name
}

// isURL tells a URL from a name in the boot file tree.
func isURL(name string) bool { return strings.Contains(name, "://") }

// notFound says where a name of the boot file tree was looked for.
func notFound(name, root string, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if root == "" {
		return fmt.Errorf("no such boot file; name the directory that has %q with --root", name)
	}
	return fmt.Errorf("not found in %s", root)
}

// isForeign reports whether the boot files come from another host's TFTP.
func isForeign(nextServer netip.Addr, h Host) bool {
	if !nextServer.IsValid() {
		return false
	}
	for _, i := range h.Interfaces {
		for _, a := range i.Addresses {
			if a.Addr() == nextServer {
				return false
			}
		}
	}
	return true
}

// scriptOutcome is where the boot script is, for the rules.
func (a answers) scriptOutcome() proxydhcp.Outcome {
	o := proxydhcp.Outcome{Kind: proxydhcp.BootScript, File: a.script, NextServer: a.nextServer}
	if strings.HasSuffix(a.script, builtinScript) && !isURL(a.script) {
		o.NextServer = netip.Addr{} // the script of our own comes from us, whoever has the ROMs
	}
	return o
}

// romOutcome is where the ROMs are, for the rules.
func (a answers) romOutcome() proxydhcp.Outcome {
	o := proxydhcp.Outcome{Kind: proxydhcp.BootROM, ROMs: proxydhcp.ROMs{}, NextServer: a.nextServer}
	for _, r := range a.roms {
		o.ROMs[r.Platform] = r.Name
	}
	return o
}
