package tftp

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"
)

// countingFS is a file system that counts openings. It can hide what its files
// can do besides Read.
type countingFS struct {
	fs.FS
	opened atomic.Int32
	plain  bool // files are neither ReaderAt nor Seeker
	gate   chan struct{}
}

func (s *countingFS) Open(name string) (fs.File, error) {
	s.opened.Add(1)
	if s.gate != nil {
		<-s.gate
	}
	f, err := s.FS.Open(name)
	if err == nil && s.plain {
		f = struct{ fs.File }{f}
	}
	return f, err
}

func (s *countingFS) Stat(name string) (fs.FileInfo, error) { return fs.Stat(s.FS, name) }

// openFile opens a file in a cache and waits for it.
func openFile(t *testing.T, c *cache, fsys fs.FS, name string) (*file, error) {
	t.Helper()
	info, err := fs.Stat(fsys, name)
	if err != nil {
		t.Fatal(err)
	}
	type answer struct {
		f   *file
		err error
	}
	got := make(chan answer, 1)
	c.open(fsys, fileKey{tree: "t", name: name}, info, func(f *file, err error) { got <- answer{f, err} })
	a := <-got
	return a.f, a.err
}

// longAgo is a time of change that identifies a version.
var longAgo = time.Now().Add(-time.Hour)

// TestCacheReadsOnce checks that many first requests for a file read it once.
func TestCacheReadsOnce(t *testing.T) {
	s := &countingFS{FS: fstest.MapFS{"rom": {Data: random(5000), ModTime: longAgo}}, gate: make(chan struct{})}
	c := newCache(1<<20, func(_ string, job func()) { go job() })
	const readers = 50
	var reading sync.WaitGroup
	for range readers {
		reading.Go(func() {
			if f, err := openFile(t, c, s, "rom"); err != nil || !bytes.Equal(f.data, random(5000)) {
				t.Error("wrong content", err)
			}
		})
	}
	s.gate <- struct{}{}
	reading.Wait()
	if n := s.opened.Load(); n != 1 {
		t.Errorf("opened %d times", n)
	}
	if f := c.files[fileKey{tree: "t", name: "rom"}]; f.readers != readers || c.used != 5000 {
		t.Errorf("%d readers, %d bytes", f.readers, c.used)
	}
}

// TestCacheEvicts checks that memory is bounded: files that nobody reads go
// first, those that are read stay, and what does not fit is streamed.
func TestCacheEvicts(t *testing.T) {
	files := fstest.MapFS{}
	for _, name := range []string{"a", "b", "c", "d"} {
		files[name] = &fstest.MapFile{Data: random(400), ModTime: longAgo}
	}
	c := newCache(1000, func(_ string, job func()) { job() })
	held := map[string]*file{}
	take := func(name string) {
		f, err := openFile(t, c, files, name)
		if err != nil {
			t.Fatal(err)
		}
		held[name] = f
	}
	has := func(name string) bool { return c.files[fileKey{tree: "t", name: name}] != nil }
	take("a")
	take("b")
	held["a"].release()
	take("c") // a has to go
	if has("a") || !has("b") || !has("c") || c.used != 800 {
		t.Errorf("a %v, b %v, c %v, %d bytes", has("a"), has("b"), has("c"), c.used)
	}
	take("d") // nothing can go
	if held["d"].source == nil || c.used != 800 {
		t.Errorf("d is held whole: %d bytes", c.used)
	}
	for _, name := range []string{"b", "c", "d"} {
		held[name].release()
	}
	if has("d") || !has("b") || c.used != 800 {
		t.Errorf("after release: d %v, b %v, %d bytes", has("d"), has("b"), c.used)
	}
}

// TestCacheVersions checks that a version is identified by size and time, and
// that a time close to now is not trusted for long.
func TestCacheVersions(t *testing.T) {
	now := time.Now()
	files := fstest.MapFS{"rom": {Data: []byte("one"), ModTime: now}}
	s := &countingFS{FS: files}
	c := newCache(1<<20, func(_ string, job func()) { job() })
	c.now = func() time.Time { return now }
	read := func(want string, opened int32) {
		t.Helper()
		f, err := openFile(t, c, s, "rom")
		if err != nil || string(f.data) != want || s.opened.Load() != opened {
			t.Errorf("%q, %v, opened %d times; want %q, %d", f.data, err, s.opened.Load(), want, opened)
		}
		f.release()
	}
	read("one", 1)
	now = now.Add(unsettledLife / 2)
	read("one", 1) // a burst of requests
	files["rom"].Data = []byte("two")
	now = now.Add(unsettledLife)
	read("two", 2) // same size and time, within the clock's tick
	now = now.Add(time.Minute)
	read("two", 3) // the last reading was too early to identify the version
	now = now.Add(time.Minute)
	read("two", 3) // settled
	files["rom"] = &fstest.MapFile{Data: []byte("other"), ModTime: now.Add(-time.Hour)}
	read("other", 4)
}

// TestChunkMemory checks that the memory of chunks is used again, but never
// while somebody reads it.
func TestChunkMemory(t *testing.T) {
	content := random(8 * chunkSize)
	c := newCache(2*chunkSize, func(_ string, job func()) { job() })
	f, err := openFile(t, c, fstest.MapFS{"rom": {Data: content, ModTime: longAgo}}, "rom")
	if err != nil {
		t.Fatal(err)
	}
	defer f.release()
	read := func(v *view, index int64, held ...*chunk) {
		t.Helper()
		if got := f.view(v, index*chunkSize, chunkSize, held); got != chunkSize {
			t.Fatalf("%d bytes of chunk %d", got, index)
		}
	}
	check := func(v *view, index int64) {
		t.Helper()
		if !bytes.Equal(v.pieces[0], content[index*chunkSize:][:chunkSize]) {
			t.Fatalf("chunk %d has the content of another one", index)
		}
	}
	var early, waited view
	f.fetch(0, nil)
	read(&early, 0)
	var held *chunk
	f.fetch(1, func(c *chunk, err error) { held = c })
	for index := int64(2); index < 8; index++ { // there is room for two
		f.fetch(index, nil)
	}
	check(&early, 0)
	read(&waited, 1, held)
	check(&waited, 1)
	spare := len(c.spare)
	c.giveBack(early.lent)
	if len(c.spare) != spare+1 {
		t.Errorf("%d spare, want one more than %d", len(c.spare), spare)
	}
	c.giveBack(waited.lent)
	f.fetch(0, nil)
	f.fetch(2, nil)
	check(&waited, 1) // the transfer that waited still holds it
	spare = len(c.spare)
	c.giveBack([]*chunk{held})
	if len(c.spare) != spare+1 {
		t.Errorf("%d spare, want one more than %d", len(c.spare), spare)
	}
	if c.used > c.limit || len(c.spare) > maxSpare {
		t.Errorf("%d bytes and %d spare", c.used, len(c.spare))
	}
	// Reading on and on takes no more memory than there is room for.
	if n := testing.AllocsPerRun(10, func() {
		for index := range int64(8) {
			var v view
			f.fetch(index, nil)
			read(&v, index)
			check(&v, index)
			c.giveBack(v.lent)
		}
	}); n > 8*12 {
		t.Errorf("%v allocations for 8 chunks", n)
	}
}

// TestSourceReadsOn checks that a streamed file with neither ReadAt nor Seek is
// read onward, and from the start again for an earlier offset.
func TestSourceReadsOn(t *testing.T) {
	content := random(10_000)
	s := &countingFS{FS: fstest.MapFS{"rom": {Data: content, ModTime: longAgo}}, plain: true}
	c := newCache(1000, func(_ string, job func()) { job() })
	f, err := openFile(t, c, s, "rom")
	if err != nil {
		t.Fatal(err)
	}
	defer f.release()
	for _, offset := range []int64{0, 1000, 5000, 9000, 2000, 0} {
		got := make([]byte, 1000)
		if err := f.source.read(got, offset); err != nil || !bytes.Equal(got, content[offset:offset+1000]) {
			t.Errorf("at %d: %v", offset, err)
		}
	}
	if n := s.opened.Load(); n != 3 {
		t.Errorf("opened %d times, want 3", n)
	}
	if err := f.source.read(make([]byte, 10), 9995); !errors.Is(err, errChanged) {
		t.Errorf("past the end: %v", err)
	}
}

// TestCacheFailure checks that an error of reading is not kept: the next
// request reads again.
func TestCacheFailure(t *testing.T) {
	broken := errors.New("broken disk")
	files := fstest.MapFS{"rom": {Data: random(100), ModTime: longAgo}}
	f := &failing{FS: files, err: broken}
	c := newCache(1<<20, func(_ string, job func()) { job() })
	if _, err := openFile(t, c, f, "rom"); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	f.err = nil
	if _, err := openFile(t, c, f, "rom"); err != nil {
		t.Error(err)
	}
}

// failing is a file system whose files fail to be read.
type failing struct {
	fs.FS
	err error
}

func (f *failing) Open(name string) (fs.File, error) {
	opened, err := f.FS.Open(name)
	if err == nil && f.err != nil {
		opened = &failingFile{opened, f.err}
	}
	return opened, err
}

// failingFile is a file of failing.
type failingFile struct {
	fs.File
	err error
}

func (f *failingFile) Read([]byte) (int, error) { return 0, f.err }

var _ io.Reader = (*failingFile)(nil)
