package rom

// The signatures of an EFI image: Authenticode, one PKCS#7 message in each
// entry of the PE certificate table (Microsoft's PE format, "The Attribute
// Certificate Table"; UEFI 2.10, section 32.5). A file signed for old and new
// machines has two.

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/smallstep/pkcs7"
)

// Signature is one signature of an EFI image.
type Signature struct {
	// Signer and issuer are the names in the certificate of the key that
	// signed; "" if the signature cannot be read.
	Signer, issuer string

	// Authority is who stands behind that key.
	Authority Authority

	// broken reports whether the signature is not one of this file: the file
	// was changed after it was signed, or the signature itself was. Firmware
	// refuses such a file. What cannot be checked is not broken.
	broken bool

	// chain is the certificate of the signer, and its issuers' as far as the
	// signature has them.
	chain []*x509.Certificate
}

// Authority is who stands behind the key of a signature, by the names in its
// certificates. Names can be forged, so it says which machines are meant to
// accept the signature, not which do.
//
// The date does not count: firmware does not look at it. Microsoft's authority
// of 2011 ended in June 2026, and machines that have it accept its signatures
// as before.
type Authority uint8

// The authorities.
const (
	AuthorityUnknown       Authority = iota // the signature cannot be read
	Microsoft2011                           // nearly every machine; those made for the authority of 2023 alone refuse it
	Microsoft2023                           // new machines, and those that were updated
	MicrosoftOptionROM2023                  // for cards' option ROMs; machines need not accept it for a boot loader
	VendorKey                               // issued by another authority: a distribution's or a company's
	OwnKey                                  // signed by itself
	TestKey                                 // its names say that it is for tests, so that its private half may be public
)

// authorityNames are the names of the authorities, for people.
var authorityNames = [...]string{
	AuthorityUnknown:       "unknown",
	Microsoft2011:          "Microsoft 2011",
	Microsoft2023:          "Microsoft 2023",
	MicrosoftOptionROM2023: "Microsoft option ROM 2023",
	VendorKey:              "vendor",
	OwnKey:                 "own key",
	TestKey:                "test key",
}

// String returns the authority's name.
func (a Authority) String() string { return authorityNames[a] }

// microsoftCAs are Microsoft's authorities for what is not Windows, by their
// certificates' names.
var microsoftCAs = map[string]Authority{
	"Microsoft Corporation UEFI CA 2011": Microsoft2011,
	"Microsoft UEFI CA 2023":             Microsoft2023,
	"Microsoft Option ROM UEFI CA 2023":  MicrosoftOptionROM2023,
}

// testNames matches the names of keys that are for tests: the word test,
// Debian's snakeoil keys, and the keys of firmware vendors' samples, which say
// "DO NOT TRUST" or "DO NOT SHIP".
var testNames = regexp.MustCompile(`(?i)\btest(ing)?\b|snake-?oil|do not (trust|ship)`)

// authorityOf returns who stands behind the first certificate of a chain.
func authorityOf(chain []*x509.Certificate) Authority {
	for _, c := range chain {
		if a, ok := microsoftCAs[c.Issuer.CommonName]; ok && slices.Contains(c.Issuer.Organization, "Microsoft Corporation") {
			return a
		}
	}
	signer := chain[0]
	switch {
	case testNames.MatchString(signer.Subject.String()), testNames.MatchString(signer.Issuer.String()):
		return TestKey
	case bytes.Equal(signer.RawSubject, signer.RawIssuer):
		return OwnKey
	}
	return VendorKey
}

// Signed reports whether the image has a signature. It need not be one that a
// machine accepts.
func (image Image) Signed() bool { return len(image.Signatures) > 0 }

// SignedBy reports whether the image has a signature of that authority that is
// not broken.
func (image Image) SignedBy(a Authority) bool {
	return slices.ContainsFunc(image.Signatures, func(s Signature) bool { return s.Authority == a && !s.broken })
}

// Broken reports whether all signatures of a signed image are broken.
func (image Image) Broken() bool {
	return image.Signed() && !slices.ContainsFunc(image.Signatures, func(s Signature) bool { return !s.broken })
}

// The entries of a certificate table, WIN_CERTIFICATE: length with this head,
// revision, type, content; each begins at a multiple of 8.
const (
	certificateHead     = 8
	certificateRevision = 0x0200
	certificatePKCS7    = 0x0002
)

// Limits of a certificate table. Microsoft's signatures have 10 KB.
const (
	maxCertificate  = 64 << 10
	maxCertificates = 8
	maxCertChain    = 8
)

// readSignatures sets the signatures of an image.
func (image *Image) readSignatures(r io.ReaderAt, header peHeader) error {
	if !header.certificate.within(image.Size) {
		return nil
	}
	table, err := readRange(r, header.certificate.offset, min(header.certificate.length, maxCertificates*maxCertificate))
	if err != nil {
		return err
	}
	digests := digests{file: r, size: image.Size, header: header}
	for _, content := range certificates(table) {
		signature, err := readSignature(content, &digests)
		if err != nil {
			return err
		}
		image.Signatures = append(image.Signatures, signature)
	}
	return nil
}

// certificates returns the PKCS#7 messages in a certificate table.
func certificates(table []byte) (contents [][]byte) {
	for len(table) >= certificateHead && len(contents) < maxCertificates {
		length := int64(binary.LittleEndian.Uint32(table))
		if length <= certificateHead || length > int64(len(table)) {
			return contents
		}
		revision, kind := binary.LittleEndian.Uint16(table[4:]), binary.LittleEndian.Uint16(table[6:])
		if revision == certificateRevision && kind == certificatePKCS7 {
			contents = append(contents, table[certificateHead:length])
		}
		table = table[min((length+7)&^7, int64(len(table))):]
	}
	return contents
}

// readSignature describes a PKCS#7 message. The error is that of the file.
func readSignature(content []byte, digests *digests) (Signature, error) {
	message := parseMessage(content)
	if message == nil {
		return Signature{}, nil
	}
	signer := message.GetOnlySigner()
	if signer == nil {
		return Signature{}, nil
	}
	chain := chainOf(signer, message.Certificates)
	broken, err := digests.contradict(message.Content)
	return Signature{
		Signer: nameOf(signer.Subject), issuer: nameOf(signer.Issuer), Authority: authorityOf(chain),
		broken: broken || isForged(message.Verify()), chain: chain,
	}, err
}

// parseMessage parses a PKCS#7 message, which may have zeros after it. It
// returns nil if there is none.
func parseMessage(content []byte) *pkcs7.PKCS7 {
	var outer asn1.RawValue
	if _, err := asn1.Unmarshal(content, &outer); err != nil || len(outer.FullBytes) > maxCertificate || tooDeep(outer.FullBytes, maxNesting) {
		return nil
	}
	message, err := pkcs7.Parse(outer.FullBytes)
	if err != nil {
		return nil
	}
	return message
}

// maxNesting is how deep the values of a message may be nested. Those of real
// signatures, with timestamps, are up to 16 deep.
const maxNesting = 40

// tooDeep reports whether a DER value is nested deeper than depth. The parser
// copies a value once for each level.
func tooDeep(der []byte, depth int) bool {
	for len(der) > 0 {
		var v asn1.RawValue
		rest, err := asn1.Unmarshal(der, &v)
		if err != nil || v.IsCompound && (depth == 0 || tooDeep(v.Bytes, depth-1)) {
			return true
		}
		der = rest
	}
	return false
}

// isForged reports whether an error of a verification says that the signature
// is not one of its content. A time outside of the certificate's validity says
// nothing, and neither does an algorithm that we do not have.
func isForged(err error) bool {
	var digest *pkcs7.MessageDigestMismatchError
	return errors.As(err, &digest) || errors.Is(err, rsa.ErrVerification)
}

// chainOf returns a certificate and its issuers' certificates, as far as they
// are among all.
func chainOf(signer *x509.Certificate, all []*x509.Certificate) []*x509.Certificate {
	chain := []*x509.Certificate{signer}
	for last := signer; len(chain) < maxCertChain; {
		at := slices.IndexFunc(all, func(c *x509.Certificate) bool { return bytes.Equal(c.RawSubject, last.RawIssuer) })
		if at < 0 || slices.ContainsFunc(chain, all[at].Equal) {
			break
		}
		last = all[at]
		chain = append(chain, last)
	}
	return chain
}

// longestName is the longest name that is shown of a certificate, in bytes.
const longestName = 80

// nameOf returns the name of a certificate's subject or issuer: the common one,
// or else that of its organisation. Whoever made the file chose it, so what a
// terminal could take for a command is left out.
func nameOf(n pkix.Name) string {
	name := n.CommonName
	if name == "" && len(n.Organization) > 0 {
		name = n.Organization[0]
	}
	if name == "" {
		name = n.String()
	}
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, name)
	if len(name) > longestName {
		return name[:longestName-3] + "..."
	}
	return name
}

// String returns in a few words who signed, and whether that is worth nothing.
func (s Signature) String() string {
	switch {
	case s.broken:
		return "a signature of another file"
	case s.Authority == AuthorityUnknown:
		return "a signature that cannot be read"
	case s.Authority == Microsoft2011, s.Authority == Microsoft2023, s.Authority == MicrosoftOptionROM2023:
		return s.Authority.String()
	case s.Authority == TestKey:
		return "signed by " + s.Signer + ", a test key"
	case s.Authority == VendorKey:
		return "signed by " + s.Signer + " of " + s.issuer
	}
	return "signed by " + s.Signer
}

// Signers returns in a few words who signed the image, each once, or that
// nobody did.
func (i Image) Signers() string {
	var names []string
	for _, s := range i.Signatures {
		if name := s.String(); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "not signed"
	}
	return strings.Replace(strings.Join(names, " and "), "2011 and Microsoft 2023", "2011+2023", 1)
}
