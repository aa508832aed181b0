// Package romtest makes boot files for tests: signed ones, with keys of their
// own, and files of Debian's packages.
package romtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"math/big"
	"testing"
	"time"

	"github.com/smallstep/pkcs7"
)

// Key is a key with its certificate.
type Key struct {
	Certificate *x509.Certificate
	private     crypto.Signer
	issuer      *Key
}

// NewKey returns a new key of that name. issuer signs its certificate; nil for
// one that is signed by itself. That one has ended years ago, because no date
// of an authority counts.
func NewKey(t testing.TB, name pkix.Name, issuer *Key) *Key {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 1024) // as short as may be: the tests make many
	if err != nil {
		t.Fatal(err)
	}
	return newKey(t, name, issuer, private)
}

// NewECKey returns a new key on an elliptic curve, signed by itself.
func NewECKey(t testing.TB, name pkix.Name) *Key {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return newKey(t, name, nil, private)
}

// newKey returns a key with its certificate.
func newKey(t testing.TB, name pkix.Name, issuer *Key, private crypto.Signer) *Key {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: name, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Date(2011, 6, 27, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2020, 6, 27, 0, 0, 0, 0, time.UTC),
	}
	key := &Key{private: private, issuer: issuer}
	parent, signer := template, private
	if issuer != nil {
		template.NotAfter = time.Date(2099, 6, 27, 0, 0, 0, 0, time.UTC)
		parent, signer = issuer.Certificate, issuer.private
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, private.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	if key.Certificate, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return key
}

// indirectData is the type of a signature's content, SpcIndirectDataContent,
// and imageData that of what it is about (Authenticode).
var (
	indirectData = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 1, 4}
	imageData    = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 1, 15}
)

// Sign returns a PE image with a signature of each key, in their order. What
// signatures it had are removed.
func Sign(t testing.TB, image []byte, keys ...*Key) []byte {
	t.Helper()
	image, security := unsigned(t, image)
	checksum := security - 8*4 - 48 // PE32+: 64 of the optional header, whose directories begin at 112
	if magic(image) == 0x10b {
		checksum = security - 8*4 - 32
	}
	hash := sha256.New()
	hash.Write(image[:checksum])
	hash.Write(image[checksum+4 : security])
	hash.Write(image[security+8:])
	var table []byte
	for _, key := range keys {
		table = append(table, Entry(key.sign(t, hash.Sum(nil)))...)
	}
	binary.LittleEndian.PutUint32(image[security:], uint32(len(image)))
	binary.LittleEndian.PutUint32(image[security+4:], uint32(len(table)))
	return append(image, table...)
}

// Entry returns an entry of a PE certificate table with that PKCS#7 message.
func Entry(message []byte) []byte {
	entry := binary.LittleEndian.AppendUint32(nil, uint32(8+len(message)))
	entry = append(entry, 0, 2, 2, 0)
	return padded(append(entry, message...))
}

// padded returns data with zeros up to a multiple of 8 bytes.
func padded(data []byte) []byte { return append(data, make([]byte, -len(data)&7)...) }

// magic returns which of the two forms the optional header of a PE image has.
func magic(image []byte) uint16 {
	return binary.LittleEndian.Uint16(image[binary.LittleEndian.Uint32(image[0x3c:])+24:])
}

// unsigned returns a copy of a PE image without its signatures, and the offset
// of the directory's entry for them.
func unsigned(t testing.TB, image []byte) (plain []byte, security int) {
	t.Helper()
	optional := int(binary.LittleEndian.Uint32(image[0x3c:])) + 24
	security = optional + 112 + 8*4
	if magic(image) == 0x10b {
		security = optional + 96 + 8*4
	}
	plain = append(plain, image...)
	if end := binary.LittleEndian.Uint32(plain[security:]); end != 0 {
		plain = plain[:end]
		clear(plain[security : security+8])
	}
	return padded(plain), security
}

// sign returns the PKCS#7 message that signs a SHA-256 digest as that of an
// image.
func (k *Key) sign(t testing.TB, digest []byte) []byte {
	t.Helper()
	marshal := func(value any) []byte {
		der, err := asn1.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	content := append(
		marshal(struct{ Type asn1.ObjectIdentifier }{imageData}),
		marshal(struct {
			Algorithm pkix.AlgorithmIdentifier
			Digest    []byte
		}{pkix.AlgorithmIdentifier{Algorithm: pkcs7.OIDDigestAlgorithmSHA256, Parameters: asn1.NullRawValue}, digest})...)
	message, err := pkcs7.NewSignedData(content)
	if err != nil {
		t.Fatal(err)
	}
	message.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256)
	message.GetSignedData().ContentInfo.ContentType = indirectData
	message.GetSignedData().ContentInfo.Content.Bytes = marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: content})
	var parents []*x509.Certificate
	for issuer := k.issuer; issuer != nil; issuer = issuer.issuer {
		parents = append(parents, issuer.Certificate)
	}
	if err := message.AddSignerChain(k.Certificate, k.private, parents, pkcs7.SignerInfoConfig{}); err != nil {
		t.Fatal(err)
	}
	signed, err := message.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return signed
}
