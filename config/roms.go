package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/pxesidecar/pxesidecar/internal/bootfiles"
	"github.com/pxesidecar/pxesidecar/internal/rom"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// Which ROM each platform gets, and whether the policy can live with it.

// ROM is the boot ROM of one platform.
type ROM struct {
	Platform proxydhcp.Platform
	Name     string    // a name in the boot file tree, or a URL
	Source   string    // the file on this host, "" where it is elsewhere
	Image    rom.Image // what the file says of itself; zero where it is elsewhere
	Packed   bool      // what it says of its iPXE was unpacked
}

// unpack reads the version and the features of a BIOS ROM, which are packed.
func (r *ROM) unpack() {
	if r.Platform != proxydhcp.BIOS || r.Source == "" {
		return
	}
	f, err := os.Open(r.Source)
	if err != nil {
		return // it was read before; what cannot be unpacked is not known
	}
	defer f.Close()
	if image, err := rom.ReadPacked(f, r.Image.Size); err == nil && image.HasVersion {
		r.Image, r.Packed = image, true
	}
}

// noROM is the word for leaving a platform without a ROM: --rom ia32=none.
const noROM = "none"

// romFinder finds the ROM of each platform: the one that is named, else a file
// of a usual name in the user's directory. Only where that has none for any
// platform are the distribution's taken: ROMs of two origins side by side are
// rarely meant.
type romFinder struct {
	answers  Answers
	mount    string // where the user's directory is in the tree
	host     Host
	tree     *bootfiles.Tree
	foreign  bool // the files are on another host and cannot be looked at
	warnings []string
}

// find returns the ROMs in the order of the platforms.
func (f *romFinder) find(p reporter) []ROM {
	named := map[proxydhcp.Platform]ROM{}
	dropped := map[proxydhcp.Platform]bool{}
	for _, text := range parseAll(p, "rom", f.answers.ROMs, func(s string) (string, error) { return s, nil }) {
		r, err := f.named(text)
		p.add("rom", text, err)
		if r.Platform == proxydhcp.NoPlatform {
			continue
		}
		named[r.Platform], dropped[r.Platform] = r, r.Name == ""
	}
	found := f.inRoot()
	if len(found) == 0 {
		found = f.distribution()
	}
	var roms []ROM
	for _, platform := range proxydhcp.Platforms() {
		r, ok := named[platform]
		if !ok {
			r, ok = found[platform]
		}
		if !ok || dropped[platform] {
			continue
		}
		if r.Name == "" {
			r.Name = f.publish(platform, r.Source)
		}
		roms = append(roms, r)
	}
	for i := range roms {
		roms[i].unpack()
	}
	if len(roms) == 0 && len(named) == 0 {
		p.note(f.nothingFound())
	}
	return roms
}

// named reads one value of --rom. A ROM without a name is a platform that
// shall have none.
func (f *romFinder) named(text string) (ROM, error) {
	arch, value, ok := strings.Cut(text, "=")
	if !ok || value == "" {
		return ROM{}, errors.New("write ARCH=FILE, such as x64=ipxe.efi, ARCH=URL, or ARCH=none")
	}
	platform, err := proxydhcp.ParsePlatform(arch)
	if err != nil || value == noROM {
		return ROM{Platform: platform}, err
	}
	r := ROM{Platform: platform}
	if f.foreign || isURL(value) {
		r.Name, err = parseBootName(value)
		return r, err
	}
	r.Source, r.Name, err = f.locate(platform, value)
	if err != nil {
		return r, err
	}
	if r.Image, err = rom.ReadFile(f.tree, r.Name); err != nil {
		return r, errors.Unwrap(err)
	}
	if !r.Image.Fits(platform) {
		return r, fmt.Errorf("%s is %s, which does not start on %s", r.Source, r.Image, platform)
	}
	_, err = parseBootName(r.Name)
	return r, err
}

// locate finds the file that --rom names: in the user's directory, or anywhere
// by its path, in which case it is published under its base name.
func (f *romFinder) locate(platform proxydhcp.Platform, value string) (source, name string, err error) {
	if root := f.answers.Root; root != "" {
		name := strings.TrimLeft(filepath.ToSlash(value), "/")
		if rel, err := filepath.Rel(root, value); filepath.IsAbs(value) && err == nil && filepath.IsLocal(rel) {
			name = filepath.ToSlash(rel)
		}
		name = bootfiles.Join(f.mount, name)
		if info, err := fs.Stat(f.tree, name); err == nil && info.Mode().IsRegular() {
			return f.tree.Source(name), name, nil
		}
	}
	file, err := filepath.Abs(value)
	if err != nil {
		return "", "", err
	}
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist) && f.answers.Root != "":
		return "", "", fmt.Errorf("not found, neither in %s nor as %s", f.answers.Root, file)
	case errors.Is(err, fs.ErrNotExist):
		return "", "", fmt.Errorf("%s: no such file", file)
	case err != nil:
		return "", "", err
	case !info.Mode().IsRegular():
		return "", "", fmt.Errorf("%s is not a file", file)
	}
	return file, f.publish(platform, file), nil
}

// publish makes a file from outside the user's directory part of the tree and
// returns its name there: its own, unless another file has that already.
func (f *romFinder) publish(platform proxydhcp.Platform, file string) string {
	name := filepath.Base(file)
	if _, err := fs.Stat(f.tree, name); err == nil && f.tree.Source(name) != file {
		name = path.Join(platform.String(), name)
	}
	f.tree.AddFile(name, file)
	return name
}

// inRoot looks for ROMs in the user's directory.
func (f *romFinder) inRoot() map[proxydhcp.Platform]ROM {
	found := map[proxydhcp.Platform]ROM{}
	if f.answers.Root == "" || f.foreign {
		return found
	}
	for _, platform := range proxydhcp.Platforms() {
		choice := rom.Choose(os.DirFS(f.answers.Root), ".", platform)
		for _, err := range choice.Passed {
			f.warnings = append(f.warnings, err.Error())
		}
		if choice.Found() {
			found[platform] = ROM{Platform: platform, Name: bootfiles.Join(f.mount, choice.Name), Source: filepath.Join(f.answers.Root, choice.Name), Image: choice.Image}
		}
	}
	return found
}

// distribution looks for the ROMs that the distribution's packages installed.
func (f *romFinder) distribution() map[proxydhcp.Platform]ROM {
	found := map[proxydhcp.Platform]ROM{}
	if f.foreign {
		return found
	}
	choices := rom.Find(os.DirFS(f.host.Root))
	for _, platform := range proxydhcp.Platforms() {
		if choice, ok := choices[platform]; ok {
			found[platform] = ROM{Platform: platform, Source: filepath.Join(f.host.Root, choice.Path()), Image: choice.Image}
		}
	}
	return found
}

// nothingFound is the error of a host without any ROM.
func (f *romFinder) nothingFound() error {
	if f.foreign {
		return fmt.Errorf("--next-server %s: name the ROMs that it has with --rom, such as --rom x64=ipxe.efi", f.answers.NextServer)
	}
	where := "no iPXE ROM found in the distribution's directories"
	if f.answers.Root != "" {
		where = fmt.Sprintf("no iPXE ROM found in %s or in the distribution's directories", f.answers.Root)
	}
	hint := "install iPXE"
	if release, err := os.ReadFile(filepath.Join(f.host.Root, "etc/os-release")); err == nil {
		hint = rom.PackageHint(strings.NewReader(string(release)))
	}
	return fmt.Errorf("%s: %s, or name one with --rom x64=FILE", where, hint)
}

// checkROMs finds the ROMs that the policy would have replaced: a machine that
// runs one would be handed it again for ever. Only what can be read out of the
// file is held against the policy. EFI ROMs are refused. A BIOS ROM, which is
// packed, is warned of: on the wire the loop ends after one download. ROMs that
// lack the same are told together.
func checkROMs(policy *proxydhcp.Policy, a answers, p reporter) (warnings []string) {
	var order []proxydhcp.Unmet
	lacking := map[proxydhcp.Unmet][]ROM{}
	for _, r := range a.roms {
		unmet := policy.Rejects(a.scope, r.Platform, r.ipxe())
		switch {
		case unmet == (proxydhcp.Unmet{}):
			continue
		case r.Packed:
			warnings = append(warnings, rejection([]ROM{r}, unmet.Text, "so the machines that run it are given the boot script as they are", a.demands))
			continue
		case lacking[unmet] == nil:
			order = append(order, unmet)
		}
		lacking[unmet] = append(lacking[unmet], r)
	}
	for _, unmet := range order {
		p.note(errors.New(rejection(lacking[unmet], unmet.Text, "so the machines that run it would be handed it again for ever", a.demands)))
	}
	return warnings
}

// ipxe is what an iPXE that runs this ROM will tell of itself, as far as the
// file says.
func (r ROM) ipxe() proxydhcp.IPXE {
	var features proxydhcp.Features
	for _, f := range r.Image.Features {
		features = features.With(proxydhcp.Feature(f))
	}
	return proxydhcp.IPXE{
		Present:     true,
		HasVersion:  r.Image.HasVersion,
		Version:     proxydhcp.Version(r.Image.Version),
		HasFeatures: r.Image.HasFeatures,
		Features:    features,
	}
}

// rejection words what ROMs lack, what follows from it, and the ways out.
func rejection(roms []ROM, unmet, consequence string, d demands) string {
	var files, without []string
	remark := ""
	for _, r := range roms {
		files = append(files, fmt.Sprintf("%s (%s)", r.Source, r.Platform))
		without = append(without, fmt.Sprintf("--rom %s=%s", r.Platform, noROM))
		reported := proxydhcp.Version(r.Image.Version)
		if !d.match.Version.IsZero() && d.match.Version.Contains(reported) {
			continue // it is not the version that is wrong
		}
		if text := r.Image.VersionText; text != "" && !strings.HasPrefix(text, reported.String()) {
			remark = fmt.Sprintf(" (it calls itself %s, but iPXE 1.x built outside a git clone reports 1.0.0 in DHCP, and DHCP is all there is to go by)", text)
		} else if reported == (proxydhcp.Version{1, 0, 0}) {
			remark = " (as every iPXE 1.x does that was built outside a git clone, whatever it calls itself)"
		}
	}
	rebuild := "rebuild with what is wanted"
	if v, ok := d.match.Version.Example(); ok {
		rebuild = fmt.Sprintf("rebuild with make VERSION_MAJOR=%d VERSION_MINOR=%d VERSION_PATCH=%d and what else is wanted", v[0], v[1], v[2])
	}
	return fmt.Sprintf("ROM %s: %s%s, %s: %s, demand less (--ipxe-version %s), or leave it out (%s)",
		strings.Join(files, ", "), unmet, remark, consequence, rebuild, autoVersion, strings.Join(without, " "))
}
