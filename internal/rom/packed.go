package rom

// The version and the features inside an iPXE for BIOS.
//
// All of it but the first few kilobytes is packed: since 2015 with LZMA, before
// that with another method that is not supported here. The packed part begins
// on a boundary of 16 bytes, with its length in four bytes, little-endian, and
// extends to the end of the file. It is a bare LZMA stream with fixed
// properties and an end marker (iPXE src/util/zbin.c,
// src/arch/x86/prefix/unlzma.S). Before packing, a filter replaces the targets
// of jumps; it does not change the feature table.

import (
	"bytes"
	"encoding/binary"
	"io"

	"github.com/ulikunitz/xz/lzma"
)

// ReadPacked describes a boot file as ReadFile does. For a BIOS network boot
// program or a .lkrn it also returns the version, its text and the features, if
// they can be unpacked. That takes about a tenth of a second.
//
// ReadFile leaves them out, so that it always reports the same fields for files
// of one format.
func ReadPacked(r io.ReaderAt, size int64) (Image, error) {
	image, err := read(r, size)
	if err != nil || !image.isIPXE || image.format != formatNBP && image.format != formatKernel || size > maxScan {
		return image, err
	}
	file, err := readRange(r, 0, size)
	if err != nil {
		return Image{}, err
	}
	if data, ok := unpack(file); ok {
		image.setFeatures(findFeatureTables(data))
		image.setVersionText(versionTextsIn(data))
	}
	return image, nil
}

// lzmaHeader is the header that a file with such a stream would have. The
// properties are those of iPXE's BIOS builds: 2 literal context bits, no
// position bits. The dictionary size is liblzma's default, 8 MiB, which iPXE's
// packer uses; the length is unknown.
var lzmaHeader = []byte{2, 0, 0, 0x80, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// unpack returns the unpacked part of a BIOS build. It is not ok if there is no
// packed part, or if it cannot be unpacked to its end.
func unpack(file []byte) (data []byte, ok bool) {
	const boundary, lengthSize = 16, 4
	for at := boundary; at+lengthSize < min(len(file), maxHead); at += boundary {
		stream := file[at+lengthSize:]
		if int64(binary.LittleEndian.Uint32(file[at:])) != int64(len(stream)) {
			continue
		}
		r, err := lzma.NewReader(io.MultiReader(bytes.NewReader(lzmaHeader), bytes.NewReader(stream)))
		if err != nil {
			return nil, false
		}
		data, err := io.ReadAll(io.LimitReader(r, maxScan))
		return data, err == nil
	}
	return nil, false
}
