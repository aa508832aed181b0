package lab

// Patched ROMs: Debian's binaries that report another version, as a build with
// a higher version does.

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
)

// xzOptions are the options of xz(1) for the packed part of iPXE's BIOS ROMs.
var xzOptions = []string{"--quiet", "--format=raw", "--lzma1=preset=9,lc=2,lp=0,pb=0", "--stdout"}

// Patched makes a copy of one of the release's ROMs that reports another
// version, in DHCP and in ${version}, and returns its path. It takes the place
// of a build with a higher version, which a server cannot distinguish from it.
// A build would need sources that not every mirror has. The version must be as
// long as the release's own.
func (l *Lab) Patched(ctx context.Context, i IPXE, name, version string) (string, error) {
	source, err := i.File(name)
	if err != nil {
		return "", err
	}
	path := l.Path("patched-" + name)
	rom, err := os.ReadFile(source)
	if err != nil {
		return "", err
	}
	if start, length := packedPart(rom); length > 0 {
		err = i.changePackedVersion(ctx, rom[start:start+length], path, version)
	} else {
		err = i.changeVersion(rom, version)
	}
	if err != nil {
		return "", fmt.Errorf("patched %s: %w", filepath.Base(source), err)
	}
	return path, os.WriteFile(path, rom, 0o644)
}

// WithoutSleep makes a copy of one of the release's ROMs for 64-bit ARM that
// never waits for an interrupt, and returns its path. It takes the place of a
// build with NAP_NULL, which U-Boot needs (ipxe/ipxe#1442): U-Boot has no
// interrupts, so that such a wait never ends.
func (l *Lab) WithoutSleep(i IPXE, name string) (string, error) {
	source, err := i.File(name)
	if err != nil {
		return "", err
	}
	rom, err := os.ReadFile(source)
	if err != nil {
		return "", err
	}
	const wfi, nop = 0xd503207f, 0xd503201f
	found := 0
	for at := 0; at+4 <= len(rom); at += 4 {
		if code := rom[at:]; binary.LittleEndian.Uint32(code) == wfi {
			binary.LittleEndian.PutUint32(code, nop)
			found++
		}
	}
	if found != 1 {
		return "", fmt.Errorf("sleepless %s: waits for interrupts in %d places, not one", name, found)
	}
	return l.Write("sleepless-"+name, string(rom))
}

// changeVersion changes both places where a build has its version: sub-option
// 235 of DHCP option 175, which is three numbers, and the text.
func (i IPXE) changeVersion(code []byte, version string) error {
	before, after, err := versionOptions(i.Announced, version)
	if err != nil {
		return err
	}
	if n := bytes.Count(code, before); n != 1 {
		return fmt.Errorf("announces %s in %d places, not one", i.Announced, n)
	}
	text := []byte(i.Version)
	if len(version) != len(text) || !bytes.Contains(code, text) {
		return fmt.Errorf("has no text %q to become %q", text, version)
	}
	copy(code[bytes.Index(code, before):], after)
	for at := bytes.Index(code, text); at >= 0; at = bytes.Index(code, text) {
		copy(code[at:], version)
	}
	return nil
}

// versionOptions returns the bytes of the sub-option for two versions.
func versionOptions(from, to string) (before, after []byte, err error) {
	const subOption, length = 235, 3
	encode := func(version string) []byte {
		b := []byte{subOption, length, 0, 0, 0}
		if _, scanErr := fmt.Sscanf(version, "%d.%d.%d", &b[2], &b[3], &b[4]); scanErr != nil {
			err = fmt.Errorf("version %q: %w", version, scanErr)
		}
		return b
	}
	return encode(from), encode(to), err
}

// packedPart returns the place of the packed part of a BIOS ROM: at a boundary
// of 16 bytes its length, little-endian in four bytes, then the part itself up
// to the end of the ROM. A length of 0 means that there is none.
func packedPart(rom []byte) (start, length int) {
	const boundary, header, farthest = 16, 4, 64 << 10
	if bytes.HasPrefix(rom, []byte("MZ")) {
		return 0, 0
	}
	for at := boundary; at+header < min(len(rom), farthest); at += boundary {
		if rest := len(rom) - at - header; int64(binary.LittleEndian.Uint32(rom[at:])) == int64(rest) {
			return at + header, rest
		}
	}
	return 0, 0
}

// changePackedVersion changes the version inside a packed part, in place. The
// part is a stream with an end mark, then a CRC-32 of all bytes before it,
// without its final inversion. If the new stream is smaller, zeros follow the
// end mark.
func (i IPXE) changePackedVersion(ctx context.Context, part []byte, scratch, version string) error {
	const sum = 4
	stream := part[:len(part)-sum]
	if err := os.WriteFile(scratch, stream, 0o644); err != nil {
		return err
	}
	plain, err := output(ctx, "", "xz", append(append([]string{"--decompress"}, xzOptions...), scratch)...)
	if err != nil {
		return err
	}
	code := []byte(plain)
	if err := i.changeVersion(code, version); err != nil {
		return err
	}
	if err := os.WriteFile(scratch, code, 0o644); err != nil {
		return err
	}
	packed, err := output(ctx, "", "xz", append(append([]string{"--compress"}, xzOptions...), scratch)...)
	if err != nil {
		return err
	}
	if len(packed) > len(stream) {
		return fmt.Errorf("packs into %d bytes, and there is room for %d", len(packed), len(stream))
	}
	clear(stream[copy(stream, packed):])
	binary.LittleEndian.PutUint32(part[len(stream):], ^crc32.ChecksumIEEE(stream))
	return nil
}
