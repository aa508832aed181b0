package release

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/pxesidecar/pxesidecar/internal/rom/romtest"
)

// hexSum returns the SHA-256 digest of data.
func hexSum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// archives are an archive and one of another release, for all tests.
var archives struct {
	sync.Once
	all [2][]byte
}

// archive returns an archive, 0 or 1.
func archive(t *testing.T, number int) []byte {
	t.Helper()
	archives.Do(func() {
		for i, minor := range []byte{0, 1} {
			archives.all[i] = romtest.Archive(t, romtest.Release(t, 2, minor, 0))
		}
	})
	return archives.all[number]
}

// server is an HTTP server that has an archive. The zero value has none.
type server struct {
	*httptest.Server
	mu       sync.Mutex
	archive  []byte
	etag     string
	cuts     int  // so many answers break off
	piece    int  // after so many bytes; 0 for a third of the archive
	noRanges bool // Range is ignored
	careless bool // If-Range is ignored
	ranges   []string
}

// newServer starts a server.
func newServer(t *testing.T, archive []byte) *server {
	t.Helper()
	s := &server{archive: archive, etag: `"one"`}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// ServeHTTP answers a request (http.Handler).
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ranges = append(s.ranges, r.Header.Get("Range"))
	if s.noRanges {
		r.Header.Del("Range")
	}
	if s.careless {
		r.Header.Del("If-Range")
	}
	w.Header().Set("ETag", s.etag)
	if s.cuts > 0 {
		s.cuts--
		w = &cutter{w, cmp.Or(s.piece, len(s.archive)/3)}
	}
	http.ServeContent(w, r, "ipxeboot.tar.gz", time.Time{}, bytes.NewReader(s.archive))
}

// asked returns the ranges of the requests so far, and forgets them.
func (s *server) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { s.ranges = nil }()
	return s.ranges
}

// cutter breaks a connection off after so many bytes.
type cutter struct {
	http.ResponseWriter
	left int
}

// Write writes (io.Writer).
func (c *cutter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p[:min(len(p), c.left)])
	if c.left -= n; c.left == 0 {
		c.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, err
}

// request returns a request for the server's archive.
func (s *server) request(to string) Request {
	return Request{Source: s.URL + "/ipxeboot.tar.gz", SHA256: hexSum(s.archive), To: to, pause: time.Millisecond}
}

// fetch fetches what must come.
func fetch(t *testing.T, r Request) Result {
	t.Helper()
	got, err := Fetch(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// tree returns the files of a directory with their digests.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(filepath.Join(dir, name))
		files[name] = hexSum(data)
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return files
}

// leftovers returns what is beside a directory, but for the lock.
func leftovers(t *testing.T, dir string) (names []string) {
	t.Helper()
	beside, err := filepath.Glob(dir + ".*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range beside {
		if end := strings.TrimPrefix(name, dir+"."); end != lockEnd {
			names = append(names, end)
		}
	}
	return names
}

// wantAll are the files that are unpacked of a release.
var wantAll = []string{
	".rom-fetch.json", "arm32/ipxe.efi", "arm32/snponly.efi", "arm64-sb/ipxe-shim.efi", "arm64-sb/ipxe.efi", "arm64-sb/shimaa64.efi",
	"arm64-sb/snponly-shim.efi", "arm64-sb/snponly.efi", "arm64/ipxe.efi", "arm64/snponly.efi", "i386/ipxe.efi", "i386/ipxe.pxe",
	"i386/snponly.efi", "i386/undionly.kpxe", "ipxe.efi", "ipxe.pxe", "loong64/ipxe.efi", "loong64/snponly.efi", "riscv32/ipxe.efi",
	"riscv32/snponly.efi", "riscv64/ipxe.efi", "riscv64/snponly.efi", "snponly.efi", "undionly.kpxe", "x86_64-sb/ipxe-shim.efi",
	"x86_64-sb/ipxe.efi", "x86_64-sb/shimx64.efi", "x86_64-sb/snponly-shim.efi", "x86_64-sb/snponly.efi", "x86_64/ipxe.efi",
	"x86_64/ipxe.pxe", "x86_64/snponly.efi", "x86_64/undionly.kpxe",
}

// wantSigned are those that are unpacked if only signed ones are wanted.
var wantSigned = []string{
	".rom-fetch.json", "arm64-sb/ipxe-shim.efi", "arm64-sb/ipxe.efi", "arm64-sb/shimaa64.efi", "arm64-sb/snponly-shim.efi",
	"arm64-sb/snponly.efi", "i386/ipxe.pxe", "i386/undionly.kpxe", "ipxe.pxe", "undionly.kpxe", "x86_64-sb/ipxe-shim.efi",
	"x86_64-sb/ipxe.efi", "x86_64-sb/shimx64.efi", "x86_64-sb/snponly-shim.efi", "x86_64-sb/snponly.efi", "x86_64/ipxe.pxe",
	"x86_64/undionly.kpxe",
}

// TestFetch fetches a release, again, and another one.
func TestFetch(t *testing.T) {
	s := newServer(t, archive(t, 0))
	to := filepath.Join(t.TempDir(), "lib", "pxesidecar", "ipxe")
	got := fetch(t, s.request(to))
	if want := (Result{Dir: to, Source: s.URL + "/ipxeboot.tar.gz", SHA256: hexSum(s.archive)}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	first := tree(t, to)
	if diff := gocmp.Diff(wantAll, slices.Sorted(maps.Keys(first))); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if first["x86_64-sb/snponly-shim.efi"] != first["x86_64-sb/shimx64.efi"] {
		t.Error("a link is not what it leads to")
	}
	if left := leftovers(t, to); left != nil {
		t.Errorf("%v are left behind", left)
	}
	if asked := s.asked(); len(asked) != 1 {
		t.Errorf("%d requests, want 1", len(asked))
	}

	// Again: nothing is done, and nothing is asked.
	if got := fetch(t, s.request(to)); !got.Already {
		t.Errorf("the second fetch says %+v", got)
	}
	if asked := s.asked(); len(asked) != 0 {
		t.Errorf("%d requests for what is there, want 0", len(asked))
	}
	if diff := gocmp.Diff(first, tree(t, to)); diff != "" {
		t.Errorf("a fetch of what is there (-before +after):\n%s", diff)
	}

	// A file that was changed is fetched again.
	if err := os.WriteFile(filepath.Join(to, "i386/snponly.efi"), []byte("damaged"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := fetch(t, s.request(to)); got.Already {
		t.Error("a damaged file is taken for the one that was fetched")
	}
	if diff := gocmp.Diff(first, tree(t, to)); diff != "" {
		t.Errorf("mended (-want +got):\n%s", diff)
	}

	// Signed ones alone; then another release takes their place.
	signed := s.request(to)
	signed.SecureBoot = true
	fetch(t, signed)
	if diff := gocmp.Diff(wantSigned, slices.Sorted(maps.Keys(tree(t, to)))); diff != "" {
		t.Errorf("signed files (-want +got):\n%s", diff)
	}
	next := newServer(t, archive(t, 1))
	fetch(t, next.request(to))
	if now := tree(t, to); len(now) != len(first) || now["x86_64/snponly.efi"] == first["x86_64/snponly.efi"] {
		t.Errorf("%d files of the other release, want %d", len(now), len(first))
	}
	if left := leftovers(t, to); left != nil {
		t.Errorf("%v are left behind", left)
	}
}

// TestFetchFile takes an archive from a file of this host.
func TestFetchFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "ipxeboot.tar.gz")
	if err := os.WriteFile(file, archive(t, 0), 0o644); err != nil {
		t.Fatal(err)
	}
	r := Request{Source: file, SHA256: hexSum(archive(t, 0)), To: filepath.Join(dir, "ipxe")}
	fetch(t, r)
	if got := fetch(t, r); !got.Already {
		t.Error("the second fetch did something")
	}
	if _, err := os.Stat(file); err != nil {
		t.Errorf("the file itself: %v", err)
	}
}

// TestPinned checks what the digest must be if nobody names one, and what the
// error says.
func TestPinned(t *testing.T) {
	s := newServer(t, archive(t, 0))
	r := s.request(filepath.Join(t.TempDir(), "ipxe"))
	r.SHA256 = ""
	_, err := Fetch(t.Context(), r)
	want := fmt.Sprintf("%s: its SHA-256 is %s, which is that of no release that is known (iPXE 2.0.0 has %s): if it is meant, compare its digest with "+
		"what its publisher shows (GitHub shows the sha256 of each file of a release), and name it with --sha256", r.Source, hexSum(s.archive), Newest().sha256)
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	for _, text := range []string{"", "12", Newest().sha256[1:] + "g", Newest().sha256 + "00"} {
		if got, err := ParseDigest(text); err == nil {
			t.Errorf("the digest %q is %q", text, got)
		}
	}
	for _, text := range []string{"sha256:" + Newest().sha256, strings.ToUpper(Newest().sha256)} {
		if got, err := ParseDigest(text); got != Newest().sha256 {
			t.Errorf("the digest %q is %q, %v", text, got, err)
		}
	}
	for _, r := range releases {
		if got, err := ParseDigest(r.sha256); got != r.sha256 || !strings.HasPrefix(r.URL, "https://") {
			t.Errorf("%s: digest %q, URL %s: %v", r, r.sha256, r.URL, err)
		}
	}
}

// TestFailuresKeepWhatWasThere has fetches fail in every way, and checks that
// the directory is as it was, and what is said.
func TestFailuresKeepWhatWasThere(t *testing.T) {
	to := filepath.Join(t.TempDir(), "ipxe")
	good := newServer(t, archive(t, 0))
	fetch(t, good.request(to))
	before := tree(t, to)
	of := func(members map[string]romtest.Member) []byte { return romtest.Archive(t, members) }
	file := romtest.Member{Data: "text"}
	for _, tt := range []struct {
		name    string
		archive []byte
		change  func(*Request)
		want    string // a part of the error
	}{
		{"wrong digest", archive(t, 1), func(r *Request) { r.SHA256 = hexSum(nil) }, "not " + hexSum(nil) + ": it was damaged or replaced"},
		{"no archive", []byte("<html> is no archive"), nil, "is not a release of iPXE (.tar.gz): gzip: invalid header"},
		{"half an archive", archive(t, 1)[:len(archive(t, 1))/2], nil, "is not a release of iPXE (.tar.gz): unexpected EOF"},
		{"no tar", gzipped(t, "text"), nil, "is not a release of iPXE (.tar.gz): unexpected EOF"},
		{"no ROMs", of(map[string]romtest.Member{"x/readme": file}), nil, "the archive has no iPXE ROM of a name that is known"},
		{"no signed ROMs", of(map[string]romtest.Member{"x/undionly.kpxe": {Data: romtest.BIOS}}), func(r *Request) { r.SecureBoot = true }, "the archive has no signed ROM for UEFI"},
		{"parent", of(map[string]romtest.Member{"ipxeboot/../../snponly.efi": file}), nil, `refused: "ipxeboot/../../snponly.efi" is no name of a file in a directory`},
		{"absolute", of(map[string]romtest.Member{"/etc/passwd": file}), nil, `refused: "/etc/passwd" is no name of a file`},
		{"backslash", of(map[string]romtest.Member{`a\..\b.efi`: file}), nil, `is no name of a file`},
		{"drive", of(map[string]romtest.Member{`C:snponly.efi`: file}), nil, `is no name of a file`},
		{"link out", of(map[string]romtest.Member{"snponly.efi": romtest.Link("../../etc/passwd")}), nil, `refused: "snponly.efi" is a link to "../../etc/passwd", which is not in the archive`},
		{"link to a path", of(map[string]romtest.Member{"snponly.efi": romtest.Link("/etc/passwd")}), nil, `is a link to "/etc/passwd", which is not in the archive`},
		{"link to nothing", of(map[string]romtest.Member{"snponly.efi": romtest.Link("absent")}), nil, `is a link to "absent", which is not in the archive`},
		{"links in a ring", of(map[string]romtest.Member{"snponly.efi": romtest.Link("ipxe.efi"), "ipxe.efi": romtest.Link("snponly.efi")}), nil, "is a link that leads nowhere"},
		{"hard link out", of(map[string]romtest.Member{"snponly.efi": {Type: tar.TypeLink, Link: "/etc/passwd"}}), nil, `is a link to "/etc/passwd"`},
		{"device", of(map[string]romtest.Member{"snponly.efi": {Type: tar.TypeChar}}), nil, `refused: "snponly.efi" is neither a file nor a directory`},
		{"pipe", of(map[string]romtest.Member{"snponly.efi": {Type: tar.TypeFifo}}), nil, `is neither a file nor a directory`},
		{"twice", of(map[string]romtest.Member{"snponly.efi": file, "./snponly.efi": file}), nil, `refused: "snponly.efi" is there twice`},
		{"many members", of(many(maxMembers + 1)), nil, "has more than 4096 members"},
		{"large file", of(map[string]romtest.Member{"snponly.efi": {Data: strings.Repeat("\x00", maxROM+1)}}), nil, `"snponly.efi" has more than 16 MiB`},
		{"bomb", of(map[string]romtest.Member{"other": {Data: strings.Repeat("\x00", maxUnpacked)}}), nil, "unpacks to more than 128 MiB"},
		{"absent file", nil, func(r *Request) { r.Source = "/nowhere/ipxeboot.tar.gz" }, "stat /nowhere/ipxeboot.tar.gz: no such file or directory"},
		{"directory", nil, func(r *Request) { r.Source = "/" }, "/ is not a file"},
		{"scheme", nil, func(r *Request) { r.Source = "ftp://x/y" }, "ftp://x/y: only http:// and https:// can be fetched"},
		{"absent URL", nil, func(r *Request) { r.Source = good.URL + "/absent\x7f" }, "invalid"},
		{"404", nil, func(r *Request) { r.Source = absent(t) }, "the server says 404 Not Found"},
		{"nobody listens", nil, func(r *Request) { r.Source = "http://127.0.0.1:1/" },
			"http://127.0.0.1:1/: dial tcp 127.0.0.1:1: connect: connection refused; if this host cannot reach it, fetch it elsewhere and name the file with --url"},
		{"silence", nil, func(r *Request) { r.Source, r.stall = silent(t), 20*time.Millisecond }, "the server has stopped sending"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, tt.archive)
			r := s.request(to)
			if tt.change != nil {
				tt.change(&r)
			}
			_, err := Fetch(t.Context(), r)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %s", err, tt.want)
			}
			if diff := gocmp.Diff(before, tree(t, to)); diff != "" {
				t.Errorf("the directory changed (-before +after):\n%s", diff)
			}
			if left := leftovers(t, to); slices.Contains(left, newEnd) || slices.Contains(left, oldEnd) {
				t.Errorf("%v are left behind", left)
			}
		})
	}
}

// gzipped returns a compressed text.
func gzipped(t *testing.T, text string) []byte {
	t.Helper()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

// many returns that many members.
func many(n int) map[string]romtest.Member {
	members := map[string]romtest.Member{}
	for i := range n {
		members[fmt.Sprint("x/", i)] = romtest.Member{}
	}
	return members
}

// absent returns a URL that a server does not have.
func absent(t *testing.T) string {
	s := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(s.Close)
	return s.URL
}

// silent returns the URL of a server that never ends its answer.
func silent(t *testing.T) string {
	ended := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-ended
	}))
	t.Cleanup(s.Close)
	t.Cleanup(func() { close(ended) })
	return s.URL
}

// TestResume takes up downloads that broke off, within a fetch and after it.
func TestResume(t *testing.T) {
	third := len(archive(t, 0)) / 3
	from := func(n int) string { return fmt.Sprintf("bytes=%d-", n) }
	t.Run("within a fetch", func(t *testing.T) {
		s := newServer(t, archive(t, 0))
		const cuts = 2 * maxTries // each of them after a byte
		s.cuts, s.piece = cuts, third/cuts
		fetch(t, s.request(filepath.Join(t.TempDir(), "ipxe")))
		want := []string{""}
		for n := range cuts {
			want = append(want, from((n+1)*s.piece))
		}
		if diff := gocmp.Diff(want, s.asked()); diff != "" {
			t.Errorf("ranges (-want +got):\n%s", diff)
		}
	})
	// begun returns a server whose archive has arrived to a third.
	begun := func(t *testing.T) (*server, Request) {
		s := newServer(t, archive(t, 0))
		s.cuts = 1
		r := s.request(filepath.Join(t.TempDir(), "ipxe"))
		ctx, stop := context.WithCancelCause(t.Context())
		r.Note = func(string) { stop(errors.New("interrupted")) }
		if _, err := Fetch(ctx, r); err == nil || !strings.Contains(err.Error(), "interrupted") {
			t.Fatalf("error %v, want that it was interrupted", err)
		}
		r.Note = nil
		s.asked()
		return s, r
	}
	t.Run("in a later fetch", func(t *testing.T) {
		s, r := begun(t)
		fetch(t, r)
		if diff := gocmp.Diff([]string{from(third)}, s.asked()); diff != "" {
			t.Errorf("ranges (-want +got):\n%s", diff)
		}
		if left := leftovers(t, r.To); left != nil {
			t.Errorf("%v are left behind", left)
		}
	})
	t.Run("server without ranges", func(t *testing.T) {
		s, r := begun(t)
		s.noRanges = true
		fetch(t, r)
		if diff := gocmp.Diff([]string{from(third)}, s.asked()); diff != "" {
			t.Errorf("ranges (-want +got):\n%s", diff)
		}
	})
	t.Run("changed file", func(t *testing.T) {
		s, r := begun(t)
		s.archive, s.etag = archive(t, 1), `"two"`
		r.SHA256 = hexSum(s.archive)
		fetch(t, r)
		if diff := gocmp.Diff([]string{from(third)}, s.asked()); diff != "" {
			t.Errorf("ranges (-want +got):\n%s", diff)
		}
	})
	t.Run("changed file, and a server that does not say so", func(t *testing.T) {
		s, r := begun(t)
		s.archive, s.careless = archive(t, 1), true
		r.SHA256 = hexSum(s.archive)
		fetch(t, r)
		if diff := gocmp.Diff([]string{from(third), ""}, s.asked()); diff != "" {
			t.Errorf("ranges (-want +got):\n%s", diff)
		}
	})
	t.Run("shorter file", func(t *testing.T) {
		s, r := begun(t)
		s.archive, s.careless = gzipped(t, "short"), true
		r.SHA256 = hexSum(s.archive)
		if _, err := Fetch(t.Context(), r); err == nil || !strings.Contains(err.Error(), "is not a release") {
			t.Errorf("error %v, want that it is no release", err)
		}
		if diff := gocmp.Diff([]string{from(third), ""}, s.asked()); diff != "" {
			t.Errorf("ranges (-want +got):\n%s", diff)
		}
	})
	t.Run("no way to tell versions apart", func(t *testing.T) {
		s, r := begun(t)
		about := r.To + "." + aboutEnd
		text, err := os.ReadFile(about)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(about, bytes.ReplaceAll(text, []byte(`\"one\"`), []byte(`W/\"one\"`)), 0o644); err != nil {
			t.Fatal(err)
		}
		fetch(t, r)
		if diff := gocmp.Diff([]string{""}, s.asked()); diff != "" {
			t.Errorf("ranges (-want +got):\n%s", diff)
		}
	})
	t.Run("another URL", func(t *testing.T) {
		s, r := begun(t)
		r.Source += "?other"
		fetch(t, r)
		if diff := gocmp.Diff([]string{""}, s.asked()); diff != "" {
			t.Errorf("ranges (-want +got):\n%s", diff)
		}
	})
}

// TestSlowServer waits for a server that sends little at a time, as long as it
// sends.
func TestSlowServer(t *testing.T) {
	archive := archive(t, 0)
	const pieces, pause = 8, 100 * time.Millisecond
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for piece := range slices.Chunk(archive, len(archive)/pieces) {
			_, _ = w.Write(piece)
			w.(http.Flusher).Flush()
			time.Sleep(pause)
		}
	}))
	t.Cleanup(slow.Close)
	fetch(t, Request{Source: slow.URL, SHA256: hexSum(archive), To: filepath.Join(t.TempDir(), "ipxe"), stall: pieces / 2 * pause})
}

// TestRedirects follows a redirection, but not from HTTPS to HTTP.
func TestRedirects(t *testing.T) {
	s := newServer(t, archive(t, 0))
	front := httptest.NewServer(http.RedirectHandler(s.URL, http.StatusFound))
	t.Cleanup(front.Close)
	r := s.request(filepath.Join(t.TempDir(), "ipxe"))
	r.Source = front.URL + "/releases/latest"
	fetch(t, r)

	get := func(url string) *http.Request {
		request, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		return request
	}
	if err := checkRedirect(get("http://b/"), []*http.Request{get("https://a/")}); err == nil {
		t.Error("a redirection from HTTPS to HTTP is followed")
	}
	if err := checkRedirect(get("https://b/"), []*http.Request{get("https://a/")}); err != nil {
		t.Error(err)
	}
	ring := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusFound) }))
	t.Cleanup(ring.Close)
	r.Source = ring.URL
	r.SHA256 = hexSum(nil)
	if _, err := Fetch(t.Context(), r); err == nil || !strings.Contains(err.Error(), "more than 10 redirections") {
		t.Errorf("error %v, want that there are too many redirections", err)
	}
}

// TestForeignFiles refuses a directory that has anything else, which would be
// lost.
func TestForeignFiles(t *testing.T) {
	s := newServer(t, archive(t, 0))
	to := t.TempDir()
	r := s.request(filepath.Join(to, "empty"))
	if err := os.MkdirAll(filepath.Join(to, "empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	fetch(t, r)
	if err := os.WriteFile(filepath.Join(to, "empty", "boot.ipxe"), []byte("#!ipxe"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{to, r.To} {
		r.To = dir
		_, err := Fetch(t.Context(), r)
		if err == nil || !strings.Contains(err.Error(), "which rom fetch did not put there and would remove: name another directory with --to") {
			t.Errorf("%s: error %v", dir, err)
		}
	}
	r.To = filepath.Join(to, "empty", "boot.ipxe")
	if _, err := Fetch(t.Context(), r); err == nil || !strings.Contains(err.Error(), "name a directory of its own") {
		t.Errorf("a file: error %v", err)
	}
}

// TestBusy refuses to work on a directory twice at once. What was killed is
// cleared away.
func TestBusy(t *testing.T) {
	s := newServer(t, archive(t, 0))
	r := s.request(filepath.Join(t.TempDir(), "ipxe"))
	busy, err := openTarget(r.To)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Fetch(t.Context(), r); !errors.Is(err, errBusy) {
		t.Errorf("error %v, want %v", err, errBusy)
	}
	busy.close()
	fetch(t, r)
	whole := tree(t, r.To)

	// One was killed after it had moved the old directory away.
	if err := errors.Join(os.Rename(r.To, r.To+"."+oldEnd), os.MkdirAll(r.To+"."+newEnd+"/x86_64", 0o755)); err != nil {
		t.Fatal(err)
	}
	r.SHA256 = hexSum(nil)
	if _, err := Fetch(t.Context(), r); err == nil {
		t.Fatal("an archive with another digest was taken")
	}
	if diff := gocmp.Diff(whole, tree(t, r.To)); diff != "" {
		t.Errorf("put back (-want +got):\n%s", diff)
	}
	if left := leftovers(t, r.To); left != nil {
		t.Errorf("%v are left behind", left)
	}
}

// TestReplace puts a directory in the place of another where the system cannot
// have them change places.
func TestReplace(t *testing.T) {
	to := filepath.Join(t.TempDir(), "ipxe")
	target, err := openTarget(to)
	if err != nil {
		t.Fatal(err)
	}
	defer target.close()
	write := func(end, text string) {
		t.Helper()
		dir := to + end
		if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, "file"), []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	write("", "old")
	write("."+newEnd, "new")
	if err := target.replace(target.beside(newEnd), target.beside(oldEnd)); err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(map[string]string{"file": hexSum([]byte("new"))}, tree(t, to)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := target.replace("absent", target.beside(oldEnd)); err == nil {
		t.Error("a directory that does not exist took the place of another")
	}
	if diff := gocmp.Diff(map[string]string{"file": hexSum([]byte("new"))}, tree(t, to)); diff != "" {
		t.Errorf("put back (-want +got):\n%s", diff)
	}
}

// TestSmallDisk runs itself where there is little room, and where nothing can
// be written: in a mount namespace of its own.
func TestSmallDisk(t *testing.T) {
	const variable = "PXESIDECAR_TEST_DISK"
	if dir := os.Getenv(variable); dir != "" {
		testSmallDisk(t, dir)
		return
	}
	dir := t.TempDir()
	args := []string{"--mount", "sh", "-e", "-c", `
mkdir "$1/full" "$1/locked" "$1/mounted"
mount -t tmpfs -o size=64k tmpfs "$1/full"
mount -t tmpfs -o size=64k,ro tmpfs "$1/locked"
mount -t tmpfs tmpfs "$1/mounted"
export ` + variable + `="$1"; exec "$2" -test.run '^TestSmallDisk$'`, "sh", dir, os.Args[0]}
	if os.Geteuid() != 0 {
		args = append([]string{"--user", "--map-root-user"}, args...)
	}
	if out, err := exec.Command("unshare", args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// testSmallDisk fetches into directories on small file systems.
func testSmallDisk(t *testing.T, dir string) {
	s := newServer(t, archive(t, 0))
	to := filepath.Join(dir, "full", "ipxe")
	small := romtest.Archive(t, map[string]romtest.Member{"undionly.kpxe": {Data: romtest.BIOS}})
	first := newServer(t, small)
	fetch(t, first.request(to))
	before := tree(t, to)
	inFull := "no space left on device: make room in " + filepath.Dir(to) + ", or name another directory with --to; what was there is unchanged"

	// The archive does not fit; then the archive does, and its files do not.
	noise := make([]byte, 100<<10)
	for i := range noise {
		noise[i] = byte(i * i >> 7)
	}
	for name, packed := range map[string][]byte{
		"archive": append(slices.Clone(s.archive), noise...),
		"files":   romtest.Archive(t, map[string]romtest.Member{"undionly.kpxe": {Data: romtest.BIOS + strings.Repeat("\x00", 100<<10)}}),
	} {
		s := newServer(t, packed)
		_, err := Fetch(t.Context(), s.request(to))
		if err == nil || !strings.HasSuffix(err.Error(), inFull) {
			t.Errorf("%s: error %v, want %s", name, err, inFull)
		}
		if diff := gocmp.Diff(before, tree(t, to)); diff != "" {
			t.Errorf("%s: the directory changed (-before +after):\n%s", name, diff)
		}
		if left := leftovers(t, to); left != nil {
			t.Errorf("%s: %v are left behind on a full disk", name, left)
		}
	}
	_, err := Fetch(t.Context(), s.request(filepath.Join(dir, "mounted")))
	if want := "busy: if " + filepath.Join(dir, "mounted") + " is a mount point, name a directory in it with --to"; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("error %v, want %s", err, want)
	}
	locked := filepath.Join(dir, "locked")
	_, err = Fetch(t.Context(), s.request(filepath.Join(locked, "ipxe")))
	if want := "read-only file system: run it as a user who may write in " + locked + ", or name another directory with --to"; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("error %v, want %s", err, want)
	}
}
