package release

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pxesidecar/pxesidecar/internal/rom"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// Request is what to fetch, and where to put it.
type Request struct {
	// Source is the URL of an archive, or a file of this host; "" for the
	// newest release's URL.
	Source string

	// SHA256 is the archive's digest; "" if it must be that of a release.
	SHA256 string

	// To is the directory that the ROMs are put into. What Fetch has put
	// there before is replaced, nothing else.
	To string

	// SecureBoot leaves out the EFI ROMs that are not signed.
	SecureBoot bool

	// UserAgent is what servers are told.
	UserAgent string

	// Progress is called with the bytes that have arrived, and how many there
	// will be, or less than 0 if the server does not say. Nil for nobody.
	Progress func(done, total int64)

	// Note is called with what a person should know on the way. Nil for
	// nobody.
	Note func(text string)

	// pause is how long to wait before a broken download is taken up again,
	// and stall how long a server may be silent; 0 for the defaults.
	pause, stall time.Duration
}

// Result is what a fetch has done.
type Result struct {
	Dir     string  // the directory, without symbolic links
	Source  string  // the archive
	SHA256  string  // of the archive
	Release Release // that the archive is; zero if it is none that is known
	Already bool    // the directory had that archive's ROMs before, and nothing was done
}

// maxArchive is the largest archive that is taken, in bytes. That of iPXE 2.0.0
// has 12 million.
const maxArchive = 256 << 20

// Fetch gets an archive, checks it, and puts its ROMs into a directory. If it
// fails, or ctx ends, the directory is as it was. What has arrived of a
// download is kept, and the next fetch goes on from there.
func Fetch(ctx context.Context, r Request) (Result, error) {
	r.Progress, r.Note = orIgnore(r.Progress), orIgnoreText(r.Note)
	if r.Source == "" {
		r.Source = Newest().URL
	}
	t, err := openTarget(r.To)
	if err != nil {
		return Result{}, err
	}
	defer t.close()
	have, err := t.installed()
	if err != nil {
		return Result{}, err
	}
	if have.SHA256 != "" && have.SecureBoot == r.SecureBoot && r.isExpected(have) && t.intact(have) {
		return r.result(t, have.SHA256, true), nil
	}
	digest, err := r.bring(ctx, t)
	if err != nil {
		return Result{}, t.explain(err)
	}
	if digest == have.SHA256 && have.SecureBoot == r.SecureBoot && t.intact(have) {
		return r.result(t, digest, true), nil
	}
	if err := t.install(ctx, r, digest); err != nil {
		return Result{}, t.explain(err)
	}
	return r.result(t, digest, false), nil
}

// orIgnore returns a function that may be called.
func orIgnore(f func(done, total int64)) func(done, total int64) {
	if f == nil {
		return func(int64, int64) {}
	}
	return f
}

// orIgnoreText returns a function that may be called.
func orIgnoreText(f func(string)) func(string) {
	if f == nil {
		return func(string) {}
	}
	return f
}

// result returns the result of a fetch.
func (r Request) result(t *target, digest string, already bool) Result {
	release, _ := withDigest(digest)
	return Result{Dir: t.dir, Source: r.Source, SHA256: digest, Release: release, Already: already}
}

// isExpected reports whether what is installed is what this request would
// bring, as far as that is known without looking at the archive.
func (r Request) isExpected(have record) bool {
	switch {
	case r.SHA256 != "":
		return have.SHA256 == r.SHA256
	case r.Source == Newest().URL:
		return have.SHA256 == Newest().sha256
	}
	return false
}

// bring makes the archive a file of this host and returns its digest, which has
// been checked.
func (r Request) bring(ctx context.Context, t *target) (digest string, err error) {
	if !r.isURL() {
		if strings.Contains(r.Source, "://") {
			return "", fmt.Errorf("%s: only http:// and https:// can be fetched", r.Source)
		}
		t.archive = r.Source
		if digest, err = digestOf(r.Source); err != nil {
			return "", err
		}
		return digest, r.checkDigest(digest)
	}
	d := newDownload(r, t)
	t.archive = filepath.Join(filepath.Dir(t.dir), d.file)
	for {
		resumed, err := d.run(ctx)
		if err != nil {
			return "", err
		}
		if digest, err = digestOf(t.archive); err != nil {
			return "", err
		}
		err = r.checkDigest(digest)
		if err == nil {
			return digest, nil
		}
		d.discard()
		if !resumed {
			return "", err
		}
		r.Note("the parts that arrived do not fit together, starting anew")
	}
}

// isURL reports whether the archive is fetched over HTTP.
func (r Request) isURL() bool {
	return strings.HasPrefix(r.Source, "http://") || strings.HasPrefix(r.Source, "https://")
}

// digestError is the error of an archive that is not the expected one.
type digestError struct {
	source string
	got    string
	want   string // "" if that of any release would do
}

// Error returns the text, with the way out.
func (e *digestError) Error() string {
	if e.want != "" {
		return fmt.Sprintf("%s: its SHA-256 is %s, not %s: it was damaged or replaced, and nothing of it was used", e.source, e.got, e.want)
	}
	return fmt.Sprintf("%s: its SHA-256 is %s, which is that of no release that is known (%s has %s): if it is meant, "+
		"compare its digest with what its publisher shows (GitHub shows the sha256 of each file of a release), and name it with --sha256",
		e.source, e.got, Newest(), Newest().sha256)
}

// checkDigest returns an error unless an archive's digest is the one that is
// expected.
func (r Request) checkDigest(digest string) error {
	switch _, known := withDigest(digest); {
	case r.SHA256 != "" && digest != r.SHA256:
		return &digestError{r.Source, digest, r.SHA256}
	case r.SHA256 == "" && r.Source == Newest().URL && digest != Newest().sha256:
		return &digestError{r.Source, digest, Newest().sha256}
	case r.SHA256 == "" && !known:
		return &digestError{r.Source, digest, ""}
	}
	return nil
}

// digestOf returns the SHA-256 digest of a file, in hexadecimal.
func digestOf(name string) (string, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%s is not a file", name)
	case info.Size() > maxArchive:
		return "", errTooLarge
	}
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return sumOf(f)
}

// sumOf returns the SHA-256 digest of what a reader has, in hexadecimal.
func sumOf(r io.Reader) (string, error) {
	sum := sha256.New()
	if _, err := io.Copy(sum, r); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// errTooLarge is the error of an archive that is larger than any release.
var errTooLarge = fmt.Errorf("the archive has more than %d MiB: that is no release of iPXE", maxArchive>>20)

// checkROMs returns an error if a directory has no ROM to serve. If only signed
// ones are wanted, it must have one for UEFI.
func checkROMs(root fs.FS, signed bool) error {
	for _, platform := range proxydhcp.Platforms() {
		if signed && platform == proxydhcp.BIOS {
			continue
		}
		if len(rom.Choose(root, ".", platform, rom.WithShims).Usable) > 0 {
			return nil
		}
	}
	if signed {
		return errors.New("the archive has no signed ROM for UEFI")
	}
	return errors.New("the archive has no iPXE ROM of a name that is known, such as x86_64/snponly.efi")
}

// isLeftOut reports whether a ROM is left out if only signed ones are wanted: a
// BIOS looks at no signature.
func isLeftOut(root fs.FS, name string) (bool, error) {
	image, err := rom.ReadFile(root, name)
	return err == nil && !image.Signed() && !image.Fits(proxydhcp.BIOS), err
}

// sorted returns a map's keys in order.
func sorted[V any](m map[string]V) []string {
	var keys []string
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
