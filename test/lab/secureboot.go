package lab

// Secure Boot: keys of the lab's own, files signed with them, firmware that
// trusts them, and the signed boot loaders of Debian.

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// SigningKey is a key of the lab's own that signs boot files.
type SigningKey struct {
	// Certificate and Key are paths of PEM files.
	Certificate, Key string

	dir string
}

// NewSigningKey makes a key for this run.
func (s *Stock) NewSigningKey(ctx context.Context) (SigningKey, error) {
	dir, err := os.MkdirTemp(s.temp, "signing-")
	if err != nil {
		return SigningKey{}, fmt.Errorf("lab: %w", err)
	}
	k := SigningKey{Certificate: filepath.Join(dir, "lab.crt"), Key: filepath.Join(dir, "lab.key"), dir: dir}
	_, err = output(ctx, dir, "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-sha256", "-days", "2",
		"-subj", "/CN=lab/", "-keyout", k.Key, "-out", k.Certificate)
	return k, err
}

// Sign makes a signed copy of an EFI file and returns its path.
func (k SigningKey) Sign(ctx context.Context, source string) (string, error) {
	signed := filepath.Join(k.dir, "signed-"+filepath.Base(source))
	_, err := output(ctx, k.dir, "sbsign", "--key", k.Key, "--cert", k.Certificate, "--output", signed, source)
	return signed, err
}

// WithoutSignature makes a copy of a signed EFI file that lacks one of its
// signatures, counted from 1, and returns its path.
func (s *Stock) WithoutSignature(ctx context.Context, source string, number int) (string, error) {
	content, err := os.ReadFile(source)
	if err != nil {
		return "", fmt.Errorf("lab: %w", err)
	}
	dir, err := os.MkdirTemp(s.temp, "signature-")
	if err != nil {
		return "", fmt.Errorf("lab: %w", err)
	}
	copied := filepath.Join(dir, filepath.Base(source))
	if err := os.WriteFile(copied, content, 0o644); err != nil {
		return "", fmt.Errorf("lab: %w", err)
	}
	_, err = output(ctx, dir, "sbattach", "--signum", fmt.Sprint(number), "--remove", copied)
	return copied, err
}

// keyOwner is the GUID under which the lab's keys are in the firmware's lists.
const keyOwner = "6c61622d-0000-4000-8000-000000000000"

// InDB returns the arguments of Stock.NewVariables that add a key to db, the
// list of keys that the firmware trusts.
func (k SigningKey) InDB() []string { return []string{"--add-db", keyOwner, k.Certificate} }

// InMOK returns the arguments of Stock.NewVariables that add a key to the
// machine owner keys (MOK), which shim trusts, but not the firmware.
func (k SigningKey) InMOK() []string { return []string{"--add-mok", keyOwner, k.Certificate} }

// NewVariables makes variables for Guest.Variables: those that the firmware
// comes with, changed by virt-fw-vars with these arguments.
func (s *Stock) NewVariables(ctx context.Context, f Firmware, args ...string) (string, error) {
	files, err := s.flash(ctx, f)
	if err != nil {
		return "", err
	}
	bin, env, err := s.VirtFirmware(ctx)
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(s.temp, "variables-")
	if err != nil {
		return "", fmt.Errorf("lab: %w", err)
	}
	made := filepath.Join(dir, "variables.fd")
	cmd := command(ctx, dir, filepath.Join(bin, "virt-fw-vars"), append([]string{"--input", files.vars, "--output", made}, args...)...)
	cmd.Env = append(cmd.Env, env)
	_, err = finish(cmd)
	return made, err
}

// OnlyMicrosoft2023 returns the arguments of NewVariables that make Microsoft's
// certificate of 2023 for boot loaders the only one in db. The variables that
// bookworm's firmware comes with have that of 2011.
func (s *Stock) OnlyMicrosoft2023(ctx context.Context) ([]string, error) {
	dir, _, err := s.Package(ctx, Trixie, "python3-virt-firmware")
	certificate := filepath.Join(dir, "usr/lib/python3/dist-packages/virt/firmware/certs/MicrosoftUEFICA2023.pem")
	return []string{"--delete", "db", "--add-db", keyOwner, certificate}, err
}

// PendingVariables makes an argument of NewVariables from a folder of variables
// as Linux shows them in efivarfs, one a file: its name and GUID are the file's
// name, and four bytes of attributes come before its value. Variables that the
// firmware makes at each start are left out.
func (s *Stock) PendingVariables(folder string) ([]string, error) {
	type variable struct {
		Name       string `json:"name"`
		GUID       string `json:"guid"`
		Attributes uint32 `json:"attr"`
		Data       string `json:"data"`
	}
	var all struct {
		Version   int        `json:"version"`
		Variables []variable `json:"variables"`
	}
	all.Version, all.Variables = 2, []variable{} // in virt-fw-vars' format
	files, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	const attributes, nonVolatile = 4, 1
	for _, f := range files {
		content, err := os.ReadFile(filepath.Join(folder, f.Name()))
		if err != nil {
			return nil, fmt.Errorf("lab: %w", err)
		}
		name, guid, found := strings.Cut(f.Name(), "-")
		if !found || len(content) < attributes {
			return nil, fmt.Errorf("lab: %s is not a variable of efivarfs", f.Name())
		}
		if a := binary.LittleEndian.Uint32(content); a&nonVolatile != 0 {
			all.Variables = append(all.Variables, variable{name, guid, a, hex.EncodeToString(content[attributes:])})
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	file, err := os.CreateTemp(s.temp, "pending-*.json")
	if err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	_, err = file.Write(text)
	return []string{"--set-json", file.Name()}, errors.Join(err, file.Close())
}

// VirtFirmware returns the folder of the program virt-fw-vars, and the
// environment variable that it needs. bookworm has no such package.
func (s *Stock) VirtFirmware(ctx context.Context) (bin, env string, err error) {
	dir, _, err := s.Package(ctx, Trixie, "python3-virt-firmware")
	return filepath.Join(dir, "usr/bin"), "PYTHONPATH=" + filepath.Join(dir, "usr/lib/python3/dist-packages"), err
}

// SignedLoaders are boot loaders with signatures, as files.
type SignedLoaders struct {
	// Shim is signed by Microsoft, and starts what Debian has signed.
	Shim string
	// MokManager is started by shim where it does not trust the second stage.
	// Debian has signed it.
	MokManager string
}

// SignedLoaders returns Debian's boot loaders for an architecture, in Debian's
// notation: amd64 or arm64.
func (s *Stock) SignedLoaders(ctx context.Context, architecture string) (SignedLoaders, error) {
	suffix, known := map[string]string{"amd64": "x64", "arm64": "aa64"}[architecture]
	if !known {
		return SignedLoaders{}, fmt.Errorf("lab: signed boot loaders for %s are not known", architecture)
	}
	shim, _, err := s.Package(ctx, Trixie, "shim-signed:"+architecture)
	if err != nil {
		return SignedLoaders{}, err
	}
	helpers, _, err := s.Package(ctx, Trixie, "shim-helpers-"+architecture+"-signed:"+architecture)
	return SignedLoaders{
		Shim:       filepath.Join(shim, "usr/lib/shim/shim"+suffix+".efi.signed"),
		MokManager: filepath.Join(helpers, "usr/lib/shim/mm"+suffix+".efi.signed"),
	}, err
}

// SignedGRUB returns the path of a suite's GRUB for network boot on x64, which
// Debian has signed. It has its configuration on a server.
func (s *Stock) SignedGRUB(ctx context.Context, suite Suite) (string, error) {
	dir, _, err := s.Package(ctx, suite, "grub-efi-amd64-signed")
	return filepath.Join(dir, "usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed"), err
}
