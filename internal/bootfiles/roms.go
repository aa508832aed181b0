package bootfiles

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
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
	set        *Set
	answers    config.Answers
	secureBoot config.SecureBoot
	fallback   config.ROMFallback
	hostRoot   string // the root directory of this host
}

// romFile is a ROM that was found. name and source are empty for a platform
// that has none.
type romFile struct {
	name   string    // in the boot file tree or on the next server, or a URL; "" if it is not published yet
	source string    // the file on this host; "" if it is elsewhere
	image  rom.Image // what that file says about itself
	packed bool      // image was read by unpacking the file

	byDefault bool // nobody named it, or its directory

	second secondFile // what it loads, if it is a shim that has a second stage
}

// none reports whether it stands for a platform without a ROM.
func (r romFile) none() bool { return r.name == "" && r.source == "" }

// secondFile is the second stage of a shim. It is empty for none.
type secondFile struct {
	asked  string // the name that the shim asks for, in its own directory
	name   string // in the boot file tree; "" if it is not published yet
	source string // the file on this host
	image  rom.Image
}

// maxAlternatives bounds how many other ROMs a machine may be given that does
// not start the first.
const maxAlternatives = 3

// findROMs returns the ROMs of a segment, in the order of the platforms.
func (s *Set) findROMs(a config.Answers, c *config.Config, hostRoot string, problems config.Problems) []config.ROM {
	f := &romFinder{s, a, c.SecureBoot, c.ROMFallback, hostRoot}
	named := f.named(problems)
	found := f.inDirectory(named)
	if len(found) == 0 {
		found = f.byDefault()
	}
	var chosen [][]romFile // by platform: the ROM, and its alternatives
	var platforms []proxydhcp.Platform
	for _, platform := range proxydhcp.Platforms() {
		files := found[platform]
		if r, isNamed := named[platform]; isNamed {
			files = f.afterNamed(r, files)
		}
		if files = f.withSecureBoot(platform, files, problems); len(files) > 0 && !files[0].none() {
			platforms = append(platforms, platform)
			chosen = append(chosen, files[:min(len(files), 1+f.alternatives())])
		}
	}
	f.publishAll(platforms, chosen)
	var roms []config.ROM
	for i, files := range chosen {
		f.warn(platforms[i], files[0])
		first := f.use(platforms[i], files[0])
		for _, other := range files[1:] {
			first.Alternatives = append(first.Alternatives, f.use(platforms[i], other))
		}
		roms = append(roms, first)
	}
	if len(roms) == 0 && len(named) == 0 {
		problems.Note(f.nothingFound())
	}
	return roms
}

// alternatives returns how many other ROMs of its platform a machine may be
// given that does not start the first.
func (f *romFinder) alternatives() int {
	if f.fallback == config.ROMFallbackNever {
		return 0
	}
	return maxAlternatives
}

// afterNamed returns the ROM that --rom names and, if it has alternatives,
// those of found that follow it. Whether a machine starts a ROM that is not on
// this host is not seen, so that one has none.
func (f *romFinder) afterNamed(r romFile, found []romFile) []romFile {
	files := []romFile{r}
	if f.fallback != config.ROMFallbackAlways || r.source == "" {
		return files
	}
	return append(files, slices.DeleteFunc(slices.Clone(found), func(other romFile) bool { return other.source == r.source })...)
}

// publishAll makes the files part of the tree, those that are chosen before
// their alternatives: they keep their own names.
func (f *romFinder) publishAll(platforms []proxydhcp.Platform, chosen [][]romFile) {
	for rank := range 1 + maxAlternatives {
		for i, files := range chosen {
			if rank < len(files) {
				f.publish(platforms[i], &files[rank])
			}
		}
	}
}

// use returns a ROM as the policy needs it, and keeps what its file says.
func (f *romFinder) use(platform proxydhcp.Platform, r romFile) config.ROM {
	if r.source == "" {
		return config.ROM{Platform: platform, Name: r.name}
	}
	out := r.describe(platform)
	f.set.images[r.name] = r.image
	if r.second.name != "" {
		f.set.images[r.second.name] = r.second.image
	}
	if r.byDefault {
		f.set.byDefault[r.source] = true
	}
	return out
}

// describe returns a ROM of this host with what its file says. It unpacks the
// file, if that is necessary.
func (r *romFile) describe(platform proxydhcp.Platform) config.ROM {
	if platform == proxydhcp.BIOS {
		r.unpack()
	}
	runs := r.image
	if r.second.source != "" {
		runs = r.second.image
	}
	x := proxydhcp.IPXE{
		Present:     true,
		HasVersion:  runs.HasVersion,
		Version:     proxydhcp.Version(runs.Version),
		HasFeatures: runs.HasFeatures,
	}
	for _, feature := range runs.Features {
		x.Features = x.Features.With(proxydhcp.Feature(feature))
	}
	return config.ROM{
		Platform: platform, Name: r.name, Source: r.source, IPXE: x, VersionText: runs.VersionText, Packed: r.packed,
		SecondStage: r.second.name,
	}
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
	r, err := f.locate(file)
	if err != nil {
		return r, err
	}
	beside, base := os.DirFS(filepath.Dir(r.source)), filepath.Base(r.source)
	var files fs.FS = f.set
	name := r.name
	if name == "" {
		files, name = beside, base
	}
	if r.image, err = rom.ReadFile(files, name); err != nil {
		return r, errors.Unwrap(err) // without the file's name
	}
	if !r.image.Fits(platform) {
		return r, fmt.Errorf("%s is %s, which does not start on %s", r.source, r.image, platform)
	}
	if r.image.IsShim() {
		second, err := rom.FindSecond(beside, base, r.image)
		if err != nil {
			f.set.warn("ROM %s (%s): %v: no machine gets further with it", r.source, platform, err)
		}
		r.addSecond(second)
	}
	_, err = config.ParseBootName(name)
	return r, err
}

// addSecond adds the second stage of a shim, which is in the shim's directory
// on this host.
func (r *romFile) addSecond(second rom.Second) {
	if second.File == "" {
		return
	}
	r.second = secondFile{
		asked:  path.Base(second.Name),
		source: filepath.Join(filepath.Dir(r.source), path.Base(second.File)),
		image:  second.Image,
	}
}

// locate finds a file that the user names: in the user's directory, or anywhere
// by its path, in which case it has no name in the tree yet.
func (f *romFinder) locate(value string) (romFile, error) {
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
	return romFile{source: file}, nil
}

// publish makes the files of a ROM part of the tree, as far as they are not. A
// file from outside the user's directory gets its own name there, unless
// another file has that already. A second stage has the name that its shim asks
// for.
func (f *romFinder) publish(platform proxydhcp.Platform, r *romFile) {
	if r.source == "" {
		return
	}
	if r.name == "" {
		r.name = filepath.Base(r.source)
		if f.taken(r.name, r.source) || r.second.source != "" && f.taken(r.second.asked, r.second.source) {
			r.name = path.Join(platform.String(), r.name)
		}
		f.set.addFile(r.name, r.source)
	}
	if r.second.source != "" {
		r.second.name = path.Join(path.Dir(r.name), r.second.asked)
		f.set.addFile(r.second.name, r.second.source)
	}
}

// taken reports whether the tree has another file of that name.
func (f *romFinder) taken(name, file string) bool {
	_, err := fs.Stat(f.set, name)
	return err == nil && f.set.Source(name) != file
}

// shims says whether a shim may be chosen.
func (f *romFinder) shims() rom.Shims { return f.secureBoot != config.SecureBootOff }

// inDirectory returns the ROMs of usual names in the user's directory, by
// platform, best first. It warns of those that it passes over, unless a ROM is
// named for their platform.
func (f *romFinder) inDirectory(named map[proxydhcp.Platform]romFile) map[proxydhcp.Platform][]romFile {
	found := map[proxydhcp.Platform][]romFile{}
	dir := f.answers.Text.Root
	if dir == "" || f.answers.Remote {
		return found
	}
	for _, platform := range proxydhcp.Platforms() {
		choices := rom.Choose(os.DirFS(dir), ".", platform, f.shims())
		if _, isNamed := named[platform]; !isNamed {
			for _, err := range choices.Passed {
				f.set.warn("%v", err)
			}
		}
		for _, choice := range choices.Usable {
			found[platform] = append(found[platform], f.inRoot(choice))
		}
	}
	return found
}

// inRoot returns a file in the user's directory.
func (f *romFinder) inRoot(choice rom.Choice) romFile {
	r := romFile{name: path.Join(f.answers.Mount, choice.Name), source: filepath.Join(f.answers.Text.Root, choice.Name), image: choice.Image}
	r.addSecond(choice.Second)
	return r
}

// onHost returns a file of this host that is in no directory of the user's.
func (f *romFinder) onHost(choice rom.Choice) romFile {
	r := romFile{source: filepath.Join(f.hostRoot, choice.Path()), image: choice.Image}
	r.addSecond(choice.Second)
	return r
}

// byDefault returns the ROMs that are there without anybody naming them or
// their directory, by platform, best first: those that were fetched, or else
// those that the distribution's packages installed.
func (f *romFinder) byDefault() map[proxydhcp.Platform][]romFile {
	found := map[proxydhcp.Platform][]romFile{}
	if f.answers.Remote {
		return found
	}
	for platform, choices := range rom.Find(os.DirFS(f.hostRoot), f.shims()) {
		for _, choice := range choices.Usable {
			r := f.onHost(choice)
			r.byDefault = true
			found[platform] = append(found[platform], r)
		}
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
	release, _ := os.ReadFile(filepath.Join(f.hostRoot, "etc/os-release")) // without one the system is unknown
	return fmt.Errorf("%s: %s, or name one with --rom x64=FILE", where, rom.PackageHint(bytes.NewReader(release)))
}
