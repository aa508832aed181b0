package bootfiles

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/pxesidecar/pxesidecar/internal/regularfile"
)

// tree is the boot file tree: the one namespace that TFTP and HTTP serve. It is
// a read-only file system made of layers: the user's directories, single files
// from elsewhere such as the distribution's ROMs, and generated scripts. If
// several layers have a name, the one that was added first serves it. The tree
// follows no symbolic link out of a directory. It is filled before it is used;
// after that several goroutines may read it.
type tree struct {
	layers []layer
	roots  []*directory
}

// generatedSource is the source of the files that we make.
const generatedSource = "generated"

// layer is one of the file systems of a tree.
type layer struct {
	fs.FS
	mount  string // the directory of the tree it is in, "" for its root
	source string // where its files come from, for people
	folder bool   // source is a directory with its files
}

// addDir adds a directory as a layer, in the directory mount of the tree; "" is
// the tree's root. The error says what is wrong with it.
func (t *tree) addDir(mount, dir string) error {
	root, err := openDirectory(dir)
	if err != nil {
		return fmt.Errorf("directory %s: %w", dir, err)
	}
	t.roots = append(t.roots, root)
	t.layers = append(t.layers, layer{root, mount, dir, true})
	return nil
}

// has reports whether a directory was added in that place.
func (t *tree) has(mount, dir string) bool {
	return slices.ContainsFunc(t.layers, func(l layer) bool { return l.mount == mount && l.source == dir })
}

// addFile adds one file from elsewhere under a name of its own. The user named
// that file, so links are followed. A file that replaces it is served from then
// on.
func (t *tree) addFile(name, file string) {
	if t.Source(name) == file {
		return
	}
	t.layers = append(t.layers, layer{single{name, file}, "", file, false})
}

// addGenerated adds a layer of files that are kept in memory.
func (t *tree) addGenerated(files map[string][]byte) {
	t.layers = append(t.layers, layer{generated(files), "", generatedSource, false})
}

// Close closes the directories.
func (t *tree) Close() error {
	var errs []error
	for _, r := range t.roots {
		errs = append(errs, r.Close())
	}
	return errors.Join(errs...)
}

// Open opens the named file in the first layer that has it (io/fs.FS). A layer
// that has the name but refuses it, because it may not be read or leads out of
// the directory, hides the layers below: they hold another file. What is
// neither a file nor a directory is refused as well.
func (t *tree) Open(name string) (fs.File, error) {
	return first(t, "open", name, func(l layer, inside string) (fs.File, error) { return l.Open(inside) })
}

// Stat describes the named file in the first layer that has it, without opening
// it (io/fs.StatFS): each TFTP request begins with that.
func (t *tree) Stat(name string) (fs.FileInfo, error) {
	return first(t, "stat", name, func(l layer, inside string) (fs.FileInfo, error) { return fs.Stat(l.FS, inside) })
}

// first returns what get returns for a name in the first layer that has it.
func first[T any](t *tree, op, name string, get func(l layer, inside string) (T, error)) (found T, err error) {
	for _, l := range t.layers {
		inside, ok := l.name(name)
		if !ok {
			continue
		}
		found, err := get(l, inside)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return found, err
		}
	}
	return found, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
}

// Source returns where the named file comes from, for people: a path on disk,
// or "generated"; "" if the tree does not have it.
func (t *tree) Source(name string) string {
	for _, l := range t.layers {
		inside, ok := l.name(name)
		if !ok {
			continue
		}
		if info, err := fs.Stat(l.FS, inside); err != nil || info.IsDir() {
			continue
		}
		if l.folder {
			return path.Join(l.source, inside)
		}
		return l.source
	}
	return ""
}

// name returns the name that a name of the tree has in the layer.
func (l layer) name(name string) (string, bool) {
	if l.mount == "" {
		return name, true
	}
	return strings.CutPrefix(name, l.mount+"/")
}

// single is a file system with one file in it.
type single struct {
	name string // the name it is served under
	file string // its path on disk
}

// Open opens the one file (io/fs.FS).
func (s single) Open(name string) (fs.File, error) {
	if name != s.name {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	f, err := regularfile.Open(s.file)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Stat describes the one file (io/fs.StatFS).
func (s single) Stat(name string) (fs.FileInfo, error) {
	if name != s.name {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
	}
	return os.Stat(s.file)
}

// cause returns a file error without its operation and path, which our own text
// has already.
func cause(err error) error {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err
	}
	return err
}
