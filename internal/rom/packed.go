package rom

import (
	"bytes"
	"encoding/binary"
	"io"

	"github.com/ulikunitz/xz/lzma"
)

// What an iPXE for BIOS will announce of itself. All but its first few kilobytes are packed (since 2015;
// before, with another method that is not read here): on a boundary of 16 bytes stands the length of the packed
// part in four bytes, little-endian, and then that part to the end of the file. It is a bare LZMA stream of fixed
// properties with a mark at its end (iPXE src/util/zbin.c, src/arch/x86/prefix/unlzma.S). Before
// packing, a filter replaced the targets of jumps; tables of bytes it leaves alone.

// ReadPacked is Read for those who also want to know what is inside a BIOS network boot program or a
// .lkrn: their version and features too, where they can be read. It takes about a tenth of a second.
//
// Read leaves them out so that one image is judged by what every image of its format shows.
func ReadPacked(r io.ReaderAt, size int64) (Image, error) {
	image, err := Read(r, size)
	if err != nil || !image.IPXE || image.Format != NBP && image.Format != Kernel || size > maxScan {
		return image, err
	}
	file, err := readRange(r, 0, size)
	if err != nil {
		return Image{}, err
	}
	if data, ok := unpack(file); ok {
		image.announce(findAnnouncements(data))
	}
	return image, nil
}

// packed is how iPXE's BIOS builds are packed: literal context of 2 bits, no position bits, and here the
// header that a stream of those properties would have in a file, with the dictionary of 8 MiB that the
// packer uses (liblzma's default) and no length.
var packed = []byte{2, 0, 0, 0x80, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// unpack returns the unpacked part of a BIOS build. It is not ok where there is none, or where it does not
// unpack to its very end.
func unpack(file []byte) (data []byte, ok bool) {
	const boundary, lengthSize = 16, 4
	for at := boundary; at+lengthSize < min(len(file), maxHead); at += boundary {
		stream := file[at+lengthSize:]
		if int64(binary.LittleEndian.Uint32(file[at:])) != int64(len(stream)) {
			continue
		}
		r, err := lzma.NewReader(io.MultiReader(bytes.NewReader(packed), bytes.NewReader(stream)))
		if err != nil {
			return nil, false
		}
		data, err := io.ReadAll(io.LimitReader(r, maxScan))
		return data, err == nil
	}
	return nil, false
}
