package rom

// Which file a shim loads, and whose signature it accepts.
//
// A shim loads one file, its second stage, from the place that it was loaded
// from itself. Over the network that is the directory of the boot file's name
// (shim's netboot.c, httpboot.c). Which name it asks for was chosen when it was
// built: DEFAULT_LOADER, as a UCS-2 string in its data.
//
//	distributions' shims   \\grubx64.efi, \\grubaa64.efi, \\grub.efi (SUSE)
//	iPXE's shim            its own name without "-shim" and the processor:
//	                       snponly-shim.efi, snponly-shimx64.efi -> snponly.efi;
//	                       ipxe.efi if its own name is of no such form
//	                       (ipxe/shim, shim.c:automatic_next_path)
//
// iPXE's shim has the text "-shim" for that, which no other shim has.
//
// The second stage must be signed by a key that the firmware accepts, or by one
// that the shim carries or that was enrolled on the machine (MOK). What a shim
// carries is in its section .vendor_cert.

import (
	"bytes"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// shim is what a shim says about its second stage.
type shim struct {
	loader  string              // the file that it asks for; "" if that cannot be read
	derives bool                // it asks for its own name without "-shim", if it has such a name
	keys    []*x509.Certificate // whose signatures it accepts, beside those that the firmware accepts
}

// secondStage returns the name that a shim of that name asks for: a path in the
// same directory. It returns "" for other files, and if the name cannot be
// read.
func (image Image) secondStage(name string) string {
	if image.shim == nil {
		return ""
	}
	if plain := withoutShim(name); plain != "" && image.shim.derives {
		return plain
	}
	if image.shim.loader == "" {
		return ""
	}
	return path.Join(path.Dir(name), image.shim.loader)
}

// withoutShim returns the name of the second stage that belongs to a shim of
// that name in the layout of iPXE's releases: snponly.efi for snponly-shim.efi
// and snponly-shimx64.efi. It returns "" for a name of another form. The rule
// is that of iPXE's shim.
func withoutShim(name string) string {
	const mark, longestTail = "-shim", len("-shimxxxx")
	dir, file := path.Split(name)
	hyphen, dot := strings.LastIndexByte(file, '-'), strings.LastIndexByte(file, '.')
	if hyphen < 0 || dot < hyphen+len(mark) || dot-hyphen > longestTail {
		return ""
	}
	if !strings.EqualFold(file[hyphen:hyphen+len(mark)], mark) || !strings.EqualFold(file[dot:], ".efi") {
		return ""
	}
	return dir + file[:hyphen] + file[dot:]
}

// Second is the second stage of a shim.
type Second struct {
	Name  string // the path that the shim asks for; "" for none
	File  string // the path of the file: Name, or that of an iPXE that has to be served as Name, too
	Image Image
}

// errNoSecond is the error of a shim whose second stage is missing.
var errNoSecond = errors.New("is missing")

// FindSecond returns the second stage of the shim of that name. If no file has
// the name that the shim asks for, it may be one that a person put there for
// it: the signed iPXE that the shim's own name says, snponly.efi or ipxe.efi.
func FindSecond(fsys fs.FS, name string, shim Image) (Second, error) {
	asked := shim.secondStage(name)
	if asked == "" {
		return Second{}, errors.New("is a shim, and which file it loads cannot be read")
	}
	image, err := ReadFile(fsys, asked)
	if err == nil {
		return Second{asked, asked, image}, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return Second{Name: asked}, fmt.Errorf("is a shim, and of what it loads: %w", err)
	}
	dir := path.Dir(name)
	for _, file := range []string{withoutShim(name), path.Join(dir, "snponly.efi"), path.Join(dir, "ipxe.efi")} {
		if image, err := ReadFile(fsys, file); file != "" && err == nil && image.IsIPXE() && image.Signed() && image.machine == shim.machine {
			return Second{asked, file, image}, nil
		}
	}
	return Second{Name: asked}, fmt.Errorf("is a shim, and the file %q that it loads %w", asked, errNoSecond)
}

// checkChain returns why a machine with Secure Boot would not start a second
// stage behind a shim.
func checkChain(shim Image, second Second, platform proxydhcp.Platform) error {
	switch {
	case !shim.Signed():
		return errors.New("is a shim that is not signed")
	case shim.Broken():
		return errors.New("is a shim that was changed after it was signed")
	case !second.Image.Fits(platform):
		return fmt.Errorf("is a shim, and the file %q that it loads is %v, not for %s", second.File, second.Image, platform)
	case !second.Image.Signed():
		return fmt.Errorf("is a shim, and the file %q that it loads is not signed", second.File)
	case second.Image.Broken():
		return fmt.Errorf("is a shim, and the file %q that it loads was changed after it was signed", second.File)
	}
	return nil
}

// Carries reports whether a shim carries the key that signed another image, or
// the key of the authority that issued the signer's certificate. A machine then
// needs no other key to start that image behind this shim.
func (image Image) Carries(second Image) bool {
	if image.shim == nil {
		return false
	}
	for _, signature := range second.Signatures {
		for _, certificate := range signature.chain {
			if !signature.broken && slices.ContainsFunc(image.shim.keys, func(key *x509.Certificate) bool { return isBy(certificate, key) }) {
				return true
			}
		}
	}
	return false
}

// isBy reports whether a certificate is that of key, or was issued by it.
// Neither the dates nor what a certificate may be used for count: a shim does
// not look at them.
func isBy(certificate, key *x509.Certificate) bool {
	if certificate.Equal(key) {
		return true
	}
	return bytes.Equal(certificate.RawIssuer, key.RawSubject) &&
		key.CheckSignature(certificate.SignatureAlgorithm, certificate.RawTBSCertificate, certificate.Signature) == nil
}

// loaderNames collects what the data of a shim says about its second stage.
type loaderNames struct {
	names []string
	mark  bool // the text "-shim" is there
}

// shimMark is the text by which iPXE's shim recognises its own name.
var shimMark = []byte("-shim\x00")

// nameEnd is the end of a file name in UCS-2, with the zero after it.
var nameEnd = []byte(".\x00e\x00f\x00i\x00\x00\x00")

// find adds the names in a section's data.
func (l *loaderNames) find(data []byte) {
	l.mark = l.mark || bytes.Contains(data, shimMark)
	for from := 0; ; {
		next := bytes.Index(data[from:], nameEnd)
		if next < 0 {
			return
		}
		end := from + next + len(nameEnd) - 2
		from = end
		if name := loaderName(textBefore(data, end)); name != "" && !slices.Contains(l.names, name) {
			l.names = append(l.names, name)
		}
	}
}

// answer returns the file that the shim loads, and whether it is one of iPXE's,
// which derive it from their own name. A shim with several names that could be
// it does not show which one it is.
func (l *loaderNames) answer() (loader string, derives bool) {
	if len(l.names) != 1 {
		return "", false
	}
	return l.names[0], l.mark
}

// longestLoader is the longest name of a second stage, in characters.
const longestLoader = 64

// textBefore returns the UCS-2 text of printable ASCII that ends at an offset.
func textBefore(data []byte, end int) string {
	var units []uint16
	for at := end - 2; at >= 0 && len(units) <= longestLoader; at -= 2 {
		unit := binary.LittleEndian.Uint16(data[at:])
		if unit < ' ' || unit > '~' {
			break
		}
		units = append(units, unit)
	}
	slices.Reverse(units)
	return string(utf16.Decode(units))
}

// otherPrograms are how the names of the other files begin that a shim may
// load: MokManager, fallback, and files with revocations and certificates.
var otherPrograms = []string{"mm", "fb", "mokmanager", "fallback", "revocations", "shim_certificate"}

// loaderName returns a text of a shim as the name of its second stage, without
// the separators in front. It returns "" for what is none: a sentence, a path,
// or the name of another program.
func loaderName(text string) string {
	name := strings.TrimLeft(text, `\/`)
	if len(name) > longestLoader || strings.ContainsAny(name, ` \/`) {
		return ""
	}
	for _, other := range otherPrograms {
		if strings.HasPrefix(strings.ToLower(name), other) {
			return ""
		}
	}
	return name
}

// The head of a shim's certificate table (cert.S), and of a list in a signature
// database (UEFI 2.10, section 32.4.1).
const (
	certTableSize     = 16 // sizes and offsets of what is authorised and what is not
	signatureListSize = 28 // type, size of the list, of its header, of each entry
	signatureOwner    = 16 // the GUID before each entry
)

// x509Type is the type of a list of certificates: EFI_CERT_X509_GUID.
var x509Type = []byte("\xa1\x59\xc0\xa5\xe4\x94\xa7\x4a\x87\xb5\xab\x15\x5c\x2b\xf0\x72")

// vendorKeys returns the certificates in a .vendor_cert section: a single one,
// or signature lists.
func vendorKeys(section []byte) []*x509.Certificate {
	if len(section) < certTableSize {
		return nil
	}
	size, offset := binary.LittleEndian.Uint32(section), binary.LittleEndian.Uint32(section[8:])
	authorised := span{int64(offset), int64(size)}
	if !authorised.within(int64(len(section))) {
		return nil
	}
	data := section[offset:][:size]
	if key, err := x509.ParseCertificate(data); err == nil {
		return []*x509.Certificate{key}
	}
	return listedKeys(data)
}

// listedKeys returns the certificates of signature lists.
func listedKeys(data []byte) (keys []*x509.Certificate) {
	for len(data) >= signatureListSize {
		length := int64(binary.LittleEndian.Uint32(data[16:]))
		header := int64(binary.LittleEndian.Uint32(data[20:]))
		entry := int64(binary.LittleEndian.Uint32(data[24:]))
		if length > int64(len(data)) || length < signatureListSize+header || entry <= signatureOwner {
			return keys
		}
		entries := data[signatureListSize+header : length]
		for ; bytes.HasPrefix(data, x509Type) && int64(len(entries)) >= entry; entries = entries[entry:] {
			if key, err := x509.ParseCertificate(entries[signatureOwner:entry]); err == nil {
				keys = append(keys, key)
			}
		}
		data = data[length:]
	}
	return keys
}
