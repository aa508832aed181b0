// Package rom identifies boot files: their format, the machine they are for,
// the iPXE inside them, and where distributions install theirs.
//
// Reading is strict. A fact that is not plainly in the file is reported as
// absent, never guessed. The facts are checked against the policy before the
// server starts, and with a wrong version a machine would load its ROM in a
// loop.
package rom

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// maxHead is how much of a file's beginning is read to recognise its format. It
// covers the headers of every format, the part of iPXE's BIOS images that is
// not packed, and the volume descriptor of a CD.
const maxHead = 64 << 10

// ReadFile describes the boot file called name in fsys. It returns an error
// only if the file cannot be opened or read: a file of no known format is an
// Image too.
func ReadFile(fsys fs.FS, name string) (Image, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return Image{}, fmt.Errorf("boot file %q: %w", name, err)
	}
	defer f.Close()
	image, err := readOpen(f)
	if err != nil {
		return Image{}, fmt.Errorf("boot file %q: %w", name, err)
	}
	return image, nil
}

// errDirectory is returned for a directory, if a file was expected.
var errDirectory = errors.New("is a directory, name a file in it")

// readOpen describes an open file. If the file cannot be read at an offset, it
// is read into memory.
func readOpen(f fs.File) (Image, error) {
	info, err := f.Stat()
	if err != nil {
		return Image{}, err
	}
	if info.IsDir() {
		return Image{}, errDirectory
	}
	if r, ok := f.(io.ReaderAt); ok {
		return read(r, info.Size())
	}
	data, err := io.ReadAll(io.LimitReader(f, maxScan+1))
	if err != nil {
		return Image{}, err
	}
	return read(bytes.NewReader(data), int64(len(data)))
}

// read describes the boot file of that size in r.
func read(r io.ReaderAt, size int64) (Image, error) {
	head, err := readRange(r, 0, min(size, maxHead))
	if err != nil {
		return Image{}, err
	}
	image := Image{format: formatOf(head), Size: size}
	switch image.format {
	case formatEFI:
		err = image.readEFI(r, head)
	case formatNBP:
		image.isIPXE = bytes.Contains(head, biosMark)
	case formatKernel:
		if image.isIPXE = bytes.Contains(head, biosMark); image.isIPXE {
			image.VersionText = kernelVersion(head)
		}
	case formatUnknown, formatScript, formatOptionROM, formatDisk:
	}
	if err != nil {
		return Image{}, err
	}
	return image, nil
}

// readRange returns length bytes of r from offset, fewer if r ends before that.
func readRange(r io.ReaderAt, offset, length int64) ([]byte, error) {
	if length <= 0 {
		return nil, nil
	}
	data := make([]byte, length)
	n, err := r.ReadAt(data, offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return data[:n], nil
}
