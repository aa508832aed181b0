package rom

// The digest that a signature of an EFI image signs (Microsoft, "Windows
// Authenticode Portable Executable Signature Format"; edk2,
// DxeImageVerificationLib.c:HashPeImage). It covers the file without its
// checksum and its signatures.

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/x509/pkix"
	"encoding/asn1"
	"io"
	"slices"

	"github.com/smallstep/pkcs7"
)

// digests computes the digests of one image. Each is computed once.
type digests struct {
	file   io.ReaderAt
	size   int64
	header peHeader
	known  map[crypto.Hash][][]byte
}

// hashes are the algorithms that firmware accepts.
var hashes = map[string]crypto.Hash{
	pkcs7.OIDDigestAlgorithmSHA1.String():   crypto.SHA1,
	pkcs7.OIDDigestAlgorithmSHA256.String(): crypto.SHA256,
	pkcs7.OIDDigestAlgorithmSHA384.String(): crypto.SHA384,
	pkcs7.OIDDigestAlgorithmSHA512.String(): crypto.SHA512,
}

// digestInfo is the second value of an SpcIndirectDataContent, the content of a
// signature.
type digestInfo struct {
	Algorithm pkix.AlgorithmIdentifier
	Digest    []byte
}

// contradict reports whether the digest in a signature's content is not that of
// the file. It returns false if that cannot be decided.
func (d *digests) contradict(content []byte) (bool, error) {
	var kind asn1.RawValue
	var signed digestInfo
	rest, err := asn1.Unmarshal(content, &kind)
	if err != nil {
		return false, nil
	}
	if _, err := asn1.Unmarshal(rest, &signed); err != nil {
		return false, nil
	}
	hash, ok := hashes[signed.Algorithm.Algorithm.String()]
	if !ok || d.size > maxScan {
		return false, nil
	}
	computed, err := d.of(hash)
	return !slices.ContainsFunc(computed, func(sum []byte) bool { return bytes.Equal(sum, signed.Digest) }), err
}

// of returns the digests of the image by that algorithm. There are two readings
// of the format, which differ for images with gaps between their sections. The
// tools that sign files use either, so a signature may have either.
func (d *digests) of(hash crypto.Hash) ([][]byte, error) {
	if sums, ok := d.known[hash]; ok {
		return sums, nil
	}
	var sums [][]byte
	for _, spans := range [][]span{d.wholeFile(), d.sections()} {
		sum, err := d.sum(hash, spans)
		if err != nil {
			return nil, err
		}
		sums = append(sums, sum)
	}
	if d.known == nil {
		d.known = map[crypto.Hash][][]byte{}
	}
	d.known[hash] = sums
	return sums, nil
}

// wholeFile returns what is hashed if it is all of the file.
func (d *digests) wholeFile() []span {
	end := d.header.certificate.offset + d.header.certificate.length
	return append(d.headers(d.header.certificate.offset), span{end, d.size - end})
}

// headers returns the beginning of the file, up to an offset, without the
// checksum and the entry of the certificate table.
func (d *digests) headers(end int64) []span {
	h := d.header
	afterChecksum, afterSecurity := h.checksum.offset+h.checksum.length, h.security.offset+h.security.length
	return []span{
		{0, h.checksum.offset},
		{afterChecksum, h.security.offset - afterChecksum},
		{afterSecurity, end - afterSecurity},
	}
}

// sections returns what is hashed if it is the headers, the sections in the
// order of the file, and what follows them.
func (d *digests) sections() []span {
	spans, end := d.headers(d.header.size), d.header.size
	sorted := slices.SortedStableFunc(slices.Values(d.header.sections), func(a, b peSection) int { return cmp.Compare(a.offset, b.offset) })
	for _, section := range sorted {
		spans = append(spans, section.span)
		end += section.length
	}
	return append(spans, span{end, d.size - d.header.certificate.length - end})
}

// sum hashes parts of the file. A part that is not in the file is empty. Parts
// that overlap so much that together they are longer than the file have no sum:
// no real image is like that, and it would take long.
func (d *digests) sum(hash crypto.Hash, spans []span) ([]byte, error) {
	h := hash.New()
	left := d.size
	for _, s := range spans {
		if s.length <= 0 || !s.within(d.size) {
			continue
		}
		if left -= s.length; left < 0 {
			return nil, nil
		}
		if _, err := io.Copy(h, io.NewSectionReader(d.file, s.offset, s.length)); err != nil {
			return nil, err
		}
	}
	return h.Sum(nil), nil
}
