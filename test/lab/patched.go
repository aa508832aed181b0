package lab

// Patched ROMs: Debian's binaries that announce another version, as a build with a bumped version does.

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
)

// packing is how the main part of iPXE's BIOS ROMs is packed, in the words of xz(1).
var packing = []string{"--quiet", "--format=raw", "--lzma1=preset=9,lc=2,lp=0,pb=0", "--stdout"}

// Patched makes a copy of one of the release's ROMs that says another version, in DHCP and in ${version}, and returns
// its path. It stands for a build with a bumped version: who only hears it can not tell it from one, and building
// needs sources that not every mirror has. The version must be as long as the release's own.
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
		err = i.rebadgePacked(ctx, rom[start:start+length], path, version)
	} else {
		err = i.rebadge(rom, version)
	}
	if err != nil {
		return "", fmt.Errorf("patched %s: %w", filepath.Base(source), err)
	}
	return path, os.WriteFile(path, rom, 0o644)
}

// Sleepless makes a copy of one of the release's ROMs for 64-bit ARM that never waits for an interrupt, and returns its
// path. It stands for a build with NAP_NULL, which U-Boot wants (ipxe/ipxe#1442): it has no interrupts, so that who
// sleeps until one comes sleeps for ever.
func (l *Lab) Sleepless(i IPXE, name string) (string, error) {
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

// rebadge changes both places where a build has its version: sub-option 235 of DHCP's option 175, which is three
// numbers, and the text.
func (i IPXE) rebadge(code []byte, version string) error {
	before, after, err := announcements(i.Announced, version)
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

// announcements are the bytes of the sub-option for two versions.
func announcements(from, to string) (before, after []byte, err error) {
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

// packedPart finds the packed part of a BIOS ROM: on a boundary of 16 bytes its length, little-endian in four bytes,
// then itself up to the ROM's end. A length of 0 means that there is none.
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

// rebadgePacked changes the version inside a packed part, in place: a stream with a mark at its end, and then a CRC-32
// of all before it, without its final inversion. What packs smaller than before leaves zeros behind the mark.
func (i IPXE) rebadgePacked(ctx context.Context, part []byte, scratch, version string) error {
	const sum = 4
	stream := part[:len(part)-sum]
	if err := os.WriteFile(scratch, stream, 0o644); err != nil {
		return err
	}
	plain, err := output(ctx, "", "xz", append(append([]string{"--decompress"}, packing...), scratch)...)
	if err != nil {
		return err
	}
	code := []byte(plain)
	if err := i.rebadge(code, version); err != nil {
		return err
	}
	if err := os.WriteFile(scratch, code, 0o644); err != nil {
		return err
	}
	packed, err := output(ctx, "", "xz", append(append([]string{"--compress"}, packing...), scratch)...)
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
