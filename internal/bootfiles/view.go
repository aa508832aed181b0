package bootfiles

// What one client sees of the boot files: the tree, but for scripts that are
// made for its machine, and for files that its boot loader asks for in the
// wrong place.

import (
	"errors"
	"io/fs"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/internal/ipxescript"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

// Asker is who asks for a file, and for which.
type Asker struct {
	Client netip.Addr
	Server netip.Addr // the address of ours that it asks
	Name   string     // as it asks for it, not to be trusted
	Query  url.Values // of an HTTP URL; nil for TFTP
	Fills  bool       // templates are filled in for it, so their sources are read
}

// For returns the files as a client sees them. The result is comparable, and
// equal for clients that see the same.
func (f *Files) For(a Asker) fs.FS {
	set := f.current.Load()
	name := strings.TrimPrefix(path.Clean("/"+strings.ReplaceAll(a.Name, `\`, "/")), "/")
	switch {
	case set.checksVersions() && isWant(name):
		answer := ipxescript.Proceed()
		if f.machines.ScriptUpgradeFailed(a.Client, time.Now()) {
			answer = ipxescript.Tried()
		}
		return view{tree: set.tree, sources: a.Fills, name: name, text: string(answer)}
	case path.Base(name) == proxydhcp.AutoexecName:
		return f.autoexec(set, name, a)
	default:
		if dir := f.shimDir(set, a.Client); dir != "" {
			return view{tree: set.tree, sources: a.Fills, beside: dir}
		}
	}
	return view{tree: set.tree, sources: a.Fills}
}

// isWant reports whether a name is what an iPXE asks for before it loads a ROM
// by script.
func isWant(name string) bool {
	_, ok := ipxescript.ParseWant(name)
	return ok
}

// checksVersions reports whether the version check is ours. One of the user's
// own asks nothing of us.
func (s *Set) checksVersions() bool { return s.Source(ipxescript.CheckName) == generatedSource }

// shimDir returns the directory of the shim that the client at an address has
// just read, "" if it has read none. A shim may look for the files beside it
// elsewhere: it takes the directory from the boot file name in a DHCP answer's
// header alone, and loses it if the name was in option 67 (shim, netboot.c).
func (f *Files) shimDir(set *Set, client netip.Addr) string {
	rom, ok := set.rom(f.machines.LastROM(client, time.Now()))
	if !ok || rom.SecondStage == "" || path.Dir(rom.SecondStage) == "." {
		return ""
	}
	return path.Dir(rom.SecondStage)
}

// autoexec returns the files as an iPXE sees them that asks for autoexec.ipxe
// under a name. The user's own wins, in that directory or in one above it.
func (f *Files) autoexec(set *Set, name string, a Asker) fs.FS {
	if dir := set.ownAutoexec(name); dir != "" {
		return view{tree: set.tree, sources: a.Fills, beside: dir}
	}
	if !set.autoexec || f.responder.Yields() {
		return view{tree: set.tree, sources: a.Fills}
	}
	script, ok := f.autoexecScript(set, a)
	if !ok {
		return view{tree: set.tree, sources: a.Fills}
	}
	return view{tree: set.tree, sources: a.Fills, name: name, text: string(script.Script())}
}

// autoexecScript returns what an iPXE runs first. ok is false if there is
// nothing to tell it: then it asks DHCP.
func (f *Files) autoexecScript(set *Set, a Asker) (script ipxescript.Autoexec, ok bool) {
	running := func(rom string) (proxydhcp.IPXE, bool) {
		r, ok := set.rom(rom)
		return r.IPXE, ok && r.IPXE.HasVersion
	}
	next, known := f.responder.Autoexec(a.Client, running, time.Now())
	if !known && a.Query.Has(ipxescript.QueryBuildArch) {
		next, known = f.responder.AutoexecOf(describedBy(a.Query), a.Server), true
	}
	if !known {
		script.AskURL = f.responder.TreeURL(a.Server, proxydhcp.AutoexecName)
		return script, script.AskURL != ""
	}
	script.URL = next.URL
	if _, ok := next.Client.Hardware.MAC(); ok {
		script.MAC = next.Client.Hardware.String()
	}
	return script, script.URL != ""
}

// describedBy returns the machine that the query of autoexec.ipxe describes.
// What it does not say, or says wrongly, stays unknown.
func describedBy(query url.Values) proxydhcp.Client {
	var c proxydhcp.Client
	if archs := ipxescript.BuildPlatform(query.Get(ipxescript.QueryBuildArch)).Archs(); len(archs) > 0 {
		c.Arch = archs[0]
	}
	if mac, err := dhcp4.ParseHardwareAddr(query.Get(ipxescript.QueryMAC)); err == nil {
		c.Hardware = mac
	}
	if id, err := config.ParseUUID(query.Get(ipxescript.QueryUUID)); err == nil {
		c.UUID = id
	}
	if v, err := proxydhcp.ParseVersion(release.FindString(query.Get(ipxescript.QueryVersion))); err == nil {
		c.IPXE.Version, c.IPXE.HasVersion = v, true
	}
	return c
}

// release matches the release that a ${version} begins with, such as the 1.21.1
// of "1.21.1+ (g6ba67)".
var release = regexp.MustCompile(`^[0-9]+(\.[0-9]+){0,2}`)

// view is the tree as one client sees it. It is comparable.
type view struct {
	tree    *tree
	sources bool   // those of templates are there
	name    string // a file that is made for this client
	text    string // and what is in it
	beside  string // the directory where names are looked for that are not where the client looks
}

// hides reports whether a name is that of a template's source, which may say
// what is for one machine alone.
func (v view) hides(name string) bool {
	return !v.sources && strings.EqualFold(path.Ext(name), ".tmpl")
}

// Open opens a file (io/fs.FS).
func (v view) Open(name string) (fs.File, error) {
	if v.hides(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	if v.name == name {
		return openGenerated(name, []byte(v.text)), nil
	}
	f, err := v.tree.Open(name)
	if errors.Is(err, fs.ErrNotExist) && v.beside != "" {
		return v.tree.Open(path.Join(v.beside, path.Base(name)))
	}
	return f, err
}

// Stat describes a file (io/fs.StatFS).
func (v view) Stat(name string) (fs.FileInfo, error) {
	if v.hides(name) {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
	}
	if v.name == name {
		return openGenerated(name, []byte(v.text)).Stat()
	}
	info, err := v.tree.Stat(name)
	if errors.Is(err, fs.ErrNotExist) && v.beside != "" {
		return v.tree.Stat(path.Join(v.beside, path.Base(name)))
	}
	return info, err
}
