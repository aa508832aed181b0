package bootfiles

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/internal/rom"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// romFinder finds the ROM of each platform for one segment: the one that is
// named, or else a file of a usual name in the user's directory. The
// distribution's ROMs are used only if that directory has none for any
// platform: ROMs of two origins side by side are rarely meant.
type romFinder struct {
	set      *Set
	answers  config.Answers
	hostRoot string // the root directory of this host
}

// romFile is a ROM that was found. name and source are empty for a platform
// that has none.
type romFile struct {
	name   string    // in the boot file tree or on the next server, or a URL; "" if it is not published yet
	source string    // the file on this host; "" if it is elsewhere
	image  rom.Image // what that file says about itself
	packed bool      // image was read by unpacking the file
}

// findROMs returns the ROMs of a segment, in the order of the platforms.
func (s *Set) findROMs(a config.Answers, hostRoot string, problems config.Problems) []config.ROM {
	f := &romFinder{s, a, hostRoot}
	named := f.named(problems)
	found := f.inDirectory()
	if len(found) == 0 {
		found = f.inDistribution()
	}
	var roms []config.ROM
	for _, platform := range proxydhcp.Platforms() {
		r, isNamed := named[platform]
		if !isNamed {
			r = found[platform]
		}
		if r.name == "" && r.source != "" {
			r.name = f.publish(platform, r.source)
		}
		if r.name != "" {
			roms = append(roms, f.use(platform, r))
		}
	}
	if len(roms) == 0 && len(named) == 0 {
		problems.Note(f.nothingFound())
	}
	return roms
}

// use returns a ROM as the policy needs it, and keeps what its file says.
func (f *romFinder) use(platform proxydhcp.Platform, r romFile) config.ROM {
	if r.source == "" {
		return config.ROM{Platform: platform, Name: r.name}
	}
	if platform == proxydhcp.BIOS {
		r.unpack()
	}
	f.set.images[r.name] = r.image
	x := proxydhcp.IPXE{
		Present:     true,
		HasVersion:  r.image.HasVersion,
		Version:     proxydhcp.Version(r.image.Version),
		HasFeatures: r.image.HasFeatures,
	}
	for _, feature := range r.image.Features {
		x.Features = x.Features.With(proxydhcp.Feature(feature))
	}
	return config.ROM{Platform: platform, Name: r.name, Source: r.source, IPXE: x, VersionText: r.image.VersionText, Packed: r.packed}
}

// unpack reads the version and the features of a BIOS ROM, which are packed. If
// the file cannot be read or unpacked, they stay unknown.
func (r *romFile) unpack() {
	file, err := os.Open(r.source)
	if err != nil {
		return
	}
	defer file.Close()
	if image, err := rom.ReadPacked(file, r.image.Size); err == nil && image.HasVersion {
		r.image, r.packed = image, true
	}
}

// named returns the ROMs that the user names, by platform. A platform whose
// file is wrong gets none.
func (f *romFinder) named(problems config.Problems) map[proxydhcp.Platform]romFile {
	named := map[proxydhcp.Platform]romFile{}
	for _, choice := range f.answers.ROMs {
		r := romFile{name: choice.Name}
		if choice.File != "" {
			var err error
			if r, err = f.read(choice.Platform, choice.File); err != nil {
				problems.Add("rom", choice.Text, err)
				r = romFile{}
			}
		}
		named[choice.Platform] = r
	}
	return named
}

// read finds a file of this host and checks that the platform can start it.
func (f *romFinder) read(platform proxydhcp.Platform, file string) (romFile, error) {
	r, err := f.locate(platform, file)
	if err != nil {
		return r, err
	}
	if r.image, err = rom.ReadFile(f.set, r.name); err != nil {
		return r, errors.Unwrap(err) // without the file's name
	}
	if !r.image.Fits(platform) {
		return r, fmt.Errorf("%s is %s, which does not start on %s", r.source, r.image, platform)
	}
	_, err = config.ParseBootName(r.name)
	return r, err
}

// locate finds a file that the user names: in the user's directory, or anywhere
// by its path, in which case it is published under its base name.
func (f *romFinder) locate(platform proxydhcp.Platform, value string) (romFile, error) {
	dir := f.answers.Text.Root
	if dir != "" {
		name := strings.TrimLeft(filepath.ToSlash(value), "/")
		if rel, err := filepath.Rel(dir, value); filepath.IsAbs(value) && err == nil && filepath.IsLocal(rel) {
			name = filepath.ToSlash(rel)
		}
		name = path.Join(f.answers.Mount, name)
		if info, err := fs.Stat(f.set, name); err == nil && info.Mode().IsRegular() {
			return romFile{name: name, source: f.set.Source(name)}, nil
		}
	}
	file, err := filepath.Abs(value)
	if err != nil {
		return romFile{}, err
	}
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist) && dir != "":
		return romFile{}, fmt.Errorf("not found, neither in %s nor as %s", dir, file)
	case errors.Is(err, fs.ErrNotExist):
		return romFile{}, fmt.Errorf("%s: no such file", file)
	case err != nil:
		return romFile{}, err
	case !info.Mode().IsRegular():
		return romFile{}, fmt.Errorf("%s is not a file", file)
	}
	return romFile{name: f.publish(platform, file), source: file}, nil
}

// publish makes a file from outside the user's directory part of the tree and
// returns its name there: its own, unless another file has that already.
func (f *romFinder) publish(platform proxydhcp.Platform, file string) string {
	name := filepath.Base(file)
	if _, err := fs.Stat(f.set, name); err == nil && f.set.Source(name) != file {
		name = path.Join(platform.String(), name)
	}
	f.set.addFile(name, file)
	return name
}

// inDirectory returns the ROMs of usual names in the user's directory, by
// platform.
func (f *romFinder) inDirectory() map[proxydhcp.Platform]romFile {
	found := map[proxydhcp.Platform]romFile{}
	dir := f.answers.Text.Root
	if dir == "" || f.answers.Remote {
		return found
	}
	for _, platform := range proxydhcp.Platforms() {
		choice := rom.Choose(os.DirFS(dir), ".", platform)
		for _, err := range choice.Passed {
			f.set.Warnings = append(f.set.Warnings, err.Error())
		}
		if choice.Found() {
			found[platform] = romFile{name: path.Join(f.answers.Mount, choice.Name), source: filepath.Join(dir, choice.Name), image: choice.Image}
		}
	}
	return found
}

// inDistribution returns the ROMs that the distribution's packages installed,
// by platform.
func (f *romFinder) inDistribution() map[proxydhcp.Platform]romFile {
	found := map[proxydhcp.Platform]romFile{}
	if f.answers.Remote {
		return found
	}
	for platform, choice := range rom.Find(os.DirFS(f.hostRoot)) {
		found[platform] = romFile{source: filepath.Join(f.hostRoot, choice.Path()), image: choice.Image}
	}
	return found
}

// nothingFound returns the error for a segment without any ROM.
func (f *romFinder) nothingFound() error {
	if f.answers.Remote {
		return fmt.Errorf("--next-server %s: name the ROMs that it has with --rom, such as --rom x64=ipxe.efi", f.answers.NextServer)
	}
	where := "no iPXE ROM found in the distribution's directories"
	if dir := f.answers.Text.Root; dir != "" {
		where = fmt.Sprintf("no iPXE ROM found in %s or in the distribution's directories", dir)
	}
	hint := "install iPXE"
	if release, err := os.ReadFile(filepath.Join(f.hostRoot, "etc/os-release")); err == nil {
		hint = rom.PackageHint(bytes.NewReader(release))
	}
	return fmt.Errorf("%s: %s, or name one with --rom x64=FILE", where, hint)
}
