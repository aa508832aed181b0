package lab

// Local disks: what a machine boots from when network boot ends.

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
)

// DiskGreeting is what a machine writes on its screen after it has started from
// its local disk.
const DiskGreeting = "This machine has started from its local disk."

// NewDisk makes a local disk for a firmware (BIOS or OVMF64), for Guest.Disk.
func (l *Lab) NewDisk(ctx context.Context, f Firmware) (string, error) {
	switch f {
	case BIOS:
		path := l.Path("disk-bios")
		// One cylinder of 16 heads and 63 sectors, so that the BIOS finds a
		// geometry.
		image := append(bootSector(greeting()), make([]byte, (16*63-1)*512)...)
		return path, os.WriteFile(path, image, 0o644)
	case OVMF64:
		image, err := l.grub(ctx, "x86_64-efi", "grub-efi-amd64-bin", "echo \""+DiskGreeting+"\"\nsleep 600\n", "normal", "echo", "sleep")
		if err != nil {
			return "", err
		}
		content, err := os.ReadFile(image)
		if err != nil {
			return "", err
		}
		// QEMU makes a FAT file system from a folder.
		path, err := l.Write("disk-ovmf64/EFI/BOOT/BOOTX64.EFI", string(content))
		return "fat:rw:" + filepath.Dir(filepath.Dir(filepath.Dir(path))), err
	case Secure64, OVMF32, AArch64, SecureAArch64, UBoot:
	}
	return "", fmt.Errorf("local disk: none is known for firmware %q", f)
}

// NewFAT makes a disk with a FAT file system and these files (name to content),
// for Guest.Disk. FromFAT reads what the machine has written there, after the
// machine was switched off.
func (l *Lab) NewFAT(ctx context.Context, name string, mebibytes int, files map[string]string) (string, error) {
	disk := l.Path(name)
	sectors := fmt.Sprint(mebibytes << 20 / 512)
	if _, err := output(ctx, l.Dir, "mformat", "-C", "-i", disk, "-T", sectors, "-h", "16", "-s", "63", "::"); err != nil {
		return "", fmt.Errorf("disk %s: %w", name, err)
	}
	for file, content := range files {
		source, err := l.Write(name+"-"+file, content)
		if err == nil {
			_, err = output(ctx, l.Dir, "mcopy", "-i", disk, source, "::/"+file)
		}
		if err != nil {
			return "", fmt.Errorf("disk %s: file %s: %w", name, file, err)
		}
	}
	return disk, nil
}

// FromFAT reads a file of such a disk.
func (l *Lab) FromFAT(ctx context.Context, disk, file string) ([]byte, error) {
	copied := disk + "-" + file
	if _, err := output(ctx, l.Dir, "mcopy", "-n", "-i", disk, "::/"+file, copied); err != nil {
		return nil, fmt.Errorf("disk %s: file %s: %w", disk, file, err)
	}
	return os.ReadFile(copied)
}

// bootSector makes the first sector of a disk from a program, which the BIOS
// loads to 0x7c00.
func bootSector(code []byte) []byte {
	const size = 512
	sector := make([]byte, size)
	copy(sector, code)
	sector[size-2], sector[size-1] = 0x55, 0xaa
	return sector
}

// greeting returns a program that writes DiskGreeting through the BIOS and then
// stops.
func greeting() []byte {
	const loaded, text = 0x7c00, 25
	code := []byte{0xfc, 0x31, 0xc0, 0x8e, 0xd8, 0xbe} // cld; ds = 0; mov si, the text's address
	code = binary.LittleEndian.AppendUint16(code, loaded+text)
	code = append(code,
		0xac,       // lodsb
		0x84, 0xc0, // test al, al
		0x74, 0x09, // jz to the hlt
		0xb4, 0x0e, // mov ah, 0x0e: write a character
		0xbb, 0x07, 0x00, // mov bx, 7
		0xcd, 0x10, // int 0x10
		0xeb, 0xf2, // jmp to the lodsb
		0xf4,       // hlt
		0xeb, 0xfd, // jmp to the hlt
	)
	return append(code, "\r\n"+DiskGreeting+"\r\n\x00"...)
}
