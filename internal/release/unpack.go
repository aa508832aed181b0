package release

// What is taken out of an archive, and what makes it refused.
//
// An archive is read twice: first its list of members, which must be harmless
// as a whole, then the members that are wanted. Symbolic links are not made,
// but copied: iPXE's archive has several names for one shim, and a shim loads
// the file that its name says. A link that leads out of the archive is refused.

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/pxesidecar/pxesidecar/internal/rom"
)

// Limits of an archive. That of iPXE 2.0.0 has some fifty members, and 12
// million bytes packed.
const (
	maxMembers  = 4096
	maxUnpacked = 128 << 20 // bytes, of all members
	maxROM      = 16 << 20  // bytes, of one that is wanted
	maxLinks    = 8         // from link to link
)

// errBomb is the error of an archive that is larger unpacked than any release.
var errBomb = fmt.Errorf("unpacks to more than %d MiB", maxUnpacked>>20)

// unpack writes the ROMs of an archive into a directory, and returns their
// names.
func unpack(ctx context.Context, archive *os.File, to *os.Root) (names []string, err error) {
	members := index{}
	if err := walk(ctx, archive, func(h *tar.Header, _ io.Reader) error { return members.add(h) }); err != nil {
		return nil, err
	}
	wanted, err := members.wanted()
	if err != nil {
		return nil, err
	}
	err = walk(ctx, archive, func(h *tar.Header, content io.Reader) error {
		as := wanted[cleanName(h.Name)]
		if len(as) == 0 || h.Typeflag != tar.TypeReg {
			return nil
		}
		names = append(names, as...)
		return writeAll(to, as, content)
	})
	return names, err
}

// walk calls a function for each member of an archive, from its beginning. A
// failure of the function is returned as it is.
func walk(ctx context.Context, archive *os.File, each func(*tar.Header, io.Reader) error) error {
	if _, err := archive.Seek(0, io.SeekStart); err != nil {
		return err
	}
	unzipped, err := gzip.NewReader(archive)
	if err != nil {
		return errNoArchive(err)
	}
	members := tar.NewReader(&bounded{unzipped, maxUnpacked})
	for n := 0; ; n++ {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		h, err := members.Next()
		switch {
		case err == io.EOF:
			return nil
		case errors.Is(err, errBomb):
			return errNoArchive(errBomb)
		case err != nil:
			return errNoArchive(err)
		case n >= maxMembers:
			return errNoArchive(fmt.Errorf("has more than %d members", maxMembers))
		}
		if err := each(h, members); err != nil {
			return err
		}
	}
}

// errNoArchive returns an error for an archive that cannot be read.
func errNoArchive(err error) error {
	return fmt.Errorf("the archive is not a release of iPXE (.tar.gz): %w", err)
}

// bounded is a reader that fails after so many bytes.
type bounded struct {
	io.Reader
	left int64
}

// Read reads (io.Reader).
func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errBomb
	}
	n, err := b.Reader.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// index is the members of an archive by name: for a link the member that it
// leads to, for a file "".
type index map[string]string

// add adds a member. The error says why the archive is refused.
func (x index) add(h *tar.Header) error {
	name := cleanName(h.Name)
	refuse := func(why string) error { return fmt.Errorf("the archive is refused: %q %s", h.Name, why) }
	if name == "." && h.Typeflag == tar.TypeDir {
		return nil
	}
	if !isHarmless(name) {
		return refuse("is no name of a file in a directory")
	}
	link := ""
	switch h.Typeflag {
	case tar.TypeXGlobalHeader, tar.TypeDir:
		return nil
	case tar.TypeReg:
	case tar.TypeSymlink:
		link = path.Join(path.Dir(name), h.Linkname)
		if !isHarmless(link) || path.IsAbs(h.Linkname) {
			return refuse(fmt.Sprintf("is a link to %q, which is not in the archive", h.Linkname))
		}
	case tar.TypeLink:
		if link = cleanName(h.Linkname); !isHarmless(link) {
			return refuse(fmt.Sprintf("is a link to %q, which is not in the archive", h.Linkname))
		}
	default:
		return refuse("is neither a file nor a directory")
	}
	if _, twice := x[name]; twice {
		return refuse("is there twice")
	}
	x[name] = link
	return nil
}

// cleanName returns the name of a member without what tar may add to it.
func cleanName(name string) string {
	for strings.HasPrefix(name, "./") {
		name = name[2:]
	}
	if name = strings.TrimRight(name, "/"); name == "" {
		return "."
	}
	return name
}

// isHarmless reports whether a name is that of a file below a directory, on
// every system.
func isHarmless(name string) bool {
	return name != "." && fs.ValidPath(name) && !strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == '\\' || r == ':' || r == 0x7f })
}

// wanted returns the names under which each file of the archive is written. The
// folder that all of an archive may be in is not one of the names.
func (x index) wanted() (map[string][]string, error) {
	top := x.top()
	as := map[string][]string{}
	for _, name := range sorted(x) {
		short := strings.TrimPrefix(name, top)
		if !rom.IsUsualName(short) {
			continue
		}
		file := name
		for hops := 0; x[file] != ""; hops++ {
			if file = x[file]; hops == maxLinks {
				return nil, fmt.Errorf("the archive is refused: %q is a link that leads nowhere", name)
			}
		}
		if _, ok := x[file]; !ok {
			return nil, fmt.Errorf("the archive is refused: %q is a link to %q, which is not in the archive", name, file)
		}
		as[file] = append(as[file], short)
	}
	return as, nil
}

// top returns the folder that all members are in, with a slash: "ipxeboot/". It
// returns "" if there is none.
func (x index) top() string {
	top := ""
	for name := range x {
		first, _, inFolder := strings.Cut(name, "/")
		if !inFolder || top != "" && top != first+"/" {
			return ""
		}
		top = first + "/"
	}
	return top
}

// writeAll writes a file under all of its names.
func writeAll(to *os.Root, names []string, content io.Reader) error {
	data, err := io.ReadAll(io.LimitReader(content, maxROM+1))
	switch {
	case errors.Is(err, errBomb):
		return errNoArchive(errBomb)
	case err != nil:
		return errNoArchive(err)
	case len(data) > maxROM:
		return fmt.Errorf("the archive is refused: %q has more than %d MiB", names[0], maxROM>>20)
	}
	for _, name := range names {
		if err := to.MkdirAll(path.Dir(name), dirPerm); err != nil {
			return err
		}
		if err := writeFile(to, name, data); err != nil {
			return err
		}
	}
	return nil
}

// writeFile writes a new file so that everybody can read it, to the disk.
func writeFile(to *os.Root, name string, data []byte) (err error) {
	f, err := to.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, filePerm)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return errors.Join(f.Chmod(filePerm), f.Sync()) // whatever the umask is
}
