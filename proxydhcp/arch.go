package proxydhcp

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Arch is a client system architecture type as option 93 carries it: a 16-bit
// number in network byte order, assigned in IANA's registry "Processor
// Architecture Types" (RFC 4578, section 2.1; RFC 5970, section 3.3). Unknown
// numbers are kept as they are.
type Arch uint16

// The architecture types that boot from a network in practice. EBC is sent by
// x64 firmware too: RFC 4578 as printed had 7 and 9 the other way round
// (erratum 4624), so both stand for x64.
const (
	ArchBIOS           Arch = 0x00
	ArchIA32           Arch = 0x06
	ArchX64            Arch = 0x07
	ArchEBC            Arch = 0x09
	ArchARM32          Arch = 0x0a
	ArchARM64          Arch = 0x0b
	ArchIA32HTTP       Arch = 0x0f
	ArchX64HTTP        Arch = 0x10
	ArchEBCHTTP        Arch = 0x11
	ArchARM32HTTP      Arch = 0x12
	ArchARM64HTTP      Arch = 0x13
	ArchBIOSHTTP       Arch = 0x14
	ArchARM32UBoot     Arch = 0x15
	ArchARM64UBoot     Arch = 0x16
	ArchARM32UBootHTTP Arch = 0x17
	ArchARM64UBootHTTP Arch = 0x18
	ArchRISCV32        Arch = 0x19
	ArchRISCV32HTTP    Arch = 0x1a
	ArchRISCV64        Arch = 0x1b
	ArchRISCV64HTTP    Arch = 0x1c
	ArchLoong64        Arch = 0x27
	ArchLoong64HTTP    Arch = 0x28
	ArchRPiBoot        Arch = 0x29

	noArch Arch = 0xffff // U-Boot sends it if it was built without PXE
)

// Platform is what a boot ROM is built for: a processor and its firmware.
// Several architecture types share one platform (7, 9, 16 and 17 all run the
// x64 EFI build).
type Platform uint8

// The platforms, in the order in which they are listed to people.
const (
	NoPlatform Platform = iota
	BIOS
	IA32
	X64
	ARM32
	ARM64
	RISCV32
	RISCV64
	Loong64
)

// platformNames are the names that --rom ARCH=FILE takes.
var platformNames = [...]string{
	NoPlatform: "none", BIOS: "bios", IA32: "ia32", X64: "x64", ARM32: "arm32", ARM64: "arm64", RISCV32: "riscv32", RISCV64: "riscv64", Loong64: "loong64",
}

// Platforms returns every platform a ROM can be named for.
func Platforms() []Platform {
	return []Platform{BIOS, IA32, X64, ARM32, ARM64, RISCV32, RISCV64, Loong64}
}

// String returns the platform's name on the command line, such as "x64".
func (p Platform) String() string {
	return enumName(platformNames[:], p, "platform")
}

// HTTP reports whether a is registered for HTTP boot rather than for PXE.
func (a Arch) HTTP() bool {
	r, _ := a.row()
	return r.http
}

// ParsePlatform reads a platform's name. The error lists the names.
func ParsePlatform(s string) (Platform, error) {
	if i := slices.Index(platformNames[1:], strings.ToLower(s)); i >= 0 {
		return Platform(i + 1), nil
	}
	return NoPlatform, fmt.Errorf("unknown architecture %q: one of %s", s, strings.Join(platformNames[1:], ", "))
}

// archRow is what is known of one architecture type.
type archRow struct {
	arch     Arch
	name     string
	platform Platform
	http     bool // the type registered for HTTP boot rather than PXE
}

// archTable follows IANA's registry. A row without a platform is an
// architecture for which no iPXE exists.
var archTable = []archRow{
	{ArchBIOS, "bios", BIOS, false},
	{0x01, "pc98", NoPlatform, false},
	{0x02, "ia64-uefi", NoPlatform, false},
	{0x03, "alpha", NoPlatform, false},
	{0x04, "arc-x86", NoPlatform, false},
	{0x05, "lean-client", NoPlatform, false},
	{ArchIA32, "ia32-uefi", IA32, false},
	{ArchX64, "x64-uefi", X64, false},
	{0x08, "xscale-uefi", NoPlatform, false},
	{ArchEBC, "ebc-uefi", X64, false},
	{ArchARM32, "arm32-uefi", ARM32, false},
	{ArchARM64, "arm64-uefi", ARM64, false},
	{0x0c, "powerpc-ofw", NoPlatform, false},
	{0x0d, "powerpc-epapr", NoPlatform, false},
	{0x0e, "power-opal", NoPlatform, false},
	{ArchIA32HTTP, "ia32-uefi-http", IA32, true},
	{ArchX64HTTP, "x64-uefi-http", X64, true},
	{ArchEBCHTTP, "ebc-uefi-http", X64, true},
	{ArchARM32HTTP, "arm32-uefi-http", ARM32, true},
	{ArchARM64HTTP, "arm64-uefi-http", ARM64, true},
	{ArchBIOSHTTP, "bios-http", BIOS, true},
	{ArchARM32UBoot, "arm32-uboot", ARM32, false},
	{ArchARM64UBoot, "arm64-uboot", ARM64, false},
	{ArchARM32UBootHTTP, "arm32-uboot-http", ARM32, true},
	{ArchARM64UBootHTTP, "arm64-uboot-http", ARM64, true},
	{ArchRISCV32, "riscv32-uefi", RISCV32, false},
	{ArchRISCV32HTTP, "riscv32-uefi-http", RISCV32, true},
	{ArchRISCV64, "riscv64-uefi", RISCV64, false},
	{ArchRISCV64HTTP, "riscv64-uefi-http", RISCV64, true},
	{0x1d, "riscv128-uefi", NoPlatform, false},
	{0x1e, "riscv128-uefi-http", NoPlatform, true},
	{0x1f, "s390-basic", NoPlatform, false},
	{0x20, "s390-extended", NoPlatform, false},
	{0x21, "mips32-uefi", NoPlatform, false},
	{0x22, "mips64-uefi", NoPlatform, false},
	{0x23, "sunway32-uefi", NoPlatform, false},
	{0x24, "sunway64-uefi", NoPlatform, false},
	{0x25, "loong32-uefi", NoPlatform, false},
	{0x26, "loong32-uefi-http", NoPlatform, true},
	{ArchLoong64, "loong64-uefi", Loong64, false},
	{ArchLoong64HTTP, "loong64-uefi-http", Loong64, true},
	{ArchRPiBoot, "rpiboot", NoPlatform, false},
}

// row returns what the table knows of a, with ok false for an unknown number.
// The registry is dense from 0, so the table is indexed by number.
func (a Arch) row() (archRow, bool) {
	if int(a) < len(archTable) {
		return archTable[a], true
	}
	return archRow{}, false
}

// String returns the name of a, such as "x64-uefi", or its number, such as
// "arch-42", if the table does not have it.
func (a Arch) String() string {
	if r, ok := a.row(); ok {
		return r.name
	}
	return "arch-" + strconv.Itoa(int(a))
}

// Platform returns the platform whose ROM runs on a, or NoPlatform.
func (a Arch) Platform() Platform {
	r, _ := a.row()
	return r.platform
}

// Archs returns the architecture types that run the platform's ROM.
func (p Platform) Archs() []Arch {
	var archs []Arch
	for _, r := range archTable {
		if r.platform == p && p != NoPlatform {
			archs = append(archs, r.arch)
		}
	}
	return archs
}

// ParseArch reads an architecture type: its name, or its number as decimal,
// 0x hexadecimal or the five digits option 60 writes ("00007").
func ParseArch(s string) (Arch, error) {
	name := strings.ToLower(s)
	for _, r := range archTable {
		if r.name == name {
			return r.arch, nil
		}
	}
	base := 10
	if hex, ok := strings.CutPrefix(name, "0x"); ok {
		name, base = hex, 16
	}
	n, err := strconv.ParseUint(name, base, 16)
	if err != nil {
		return 0, fmt.Errorf("unknown architecture %q: a name such as x64-uefi, or a number of IANA's registry", s)
	}
	return Arch(n), nil
}
