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

// A shop is a file system that counts openings, and can hide what its files can do beside Read.
type shop struct {
	fs.FS
	opened  atomic.Int32
	plainly bool // neither ReaderAt nor Seeker
	gate    chan struct{}
}

func (s *shop) Open(name string) (fs.File, error) {
	s.opened.Add(1)
	if s.gate != nil {
		<-s.gate
	}
	f, err := s.FS.Open(name)
	if err == nil && s.plainly {
		f = struct{ fs.File }{f}
	}
	return f, err
}

func (s *shop) Stat(name string) (fs.FileInfo, error) { return fs.Stat(s.FS, name) }

// borrow opens a file and waits for it.
func borrow(t *testing.T, l *library, fsys fs.FS, name string) (*file, error) {
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
	l.open(fsys, fileKey{tree: "t", name: name}, info, func(f *file, err error) { got <- answer{f, err} })
	a := <-got
	return a.f, a.err
}

var long = time.Now().Add(-time.Hour)

// Many first requests for one file are one reading of it.
func TestLibraryReadsOnce(t *testing.T) {
	s := &shop{FS: fstest.MapFS{"rom": {Data: random(5000), ModTime: long}}, gate: make(chan struct{})}
	l := newLibrary(1<<20, func(job func()) { go job() })
	const readers = 50
	var reading sync.WaitGroup
	for range readers {
		reading.Go(func() {
			if f, err := borrow(t, l, s, "rom"); err != nil || !bytes.Equal(f.data, random(5000)) {
				t.Error("wrong content", err)
			}
		})
	}
	s.gate <- struct{}{}
	reading.Wait()
	if n := s.opened.Load(); n != 1 {
		t.Errorf("opened %d times", n)
	}
	if f := l.files[fileKey{tree: "t", name: "rom"}]; f.readers != readers || l.used != 5000 {
		t.Errorf("%d readers, %d bytes", f.readers, l.used)
	}
}

// Memory is bounded: what nobody reads goes first, what is read stays, and what does not fit is streamed.
func TestLibraryEvicts(t *testing.T) {
	files := fstest.MapFS{}
	for _, name := range []string{"a", "b", "c", "d"} {
		files[name] = &fstest.MapFile{Data: random(400), ModTime: long}
	}
	l := newLibrary(1000, func(job func()) { job() })
	held := map[string]*file{}
	take := func(name string) {
		f, err := borrow(t, l, files, name)
		if err != nil {
			t.Fatal(err)
		}
		held[name] = f
	}
	has := func(name string) bool { return l.files[fileKey{tree: "t", name: name}] != nil }
	take("a")
	take("b")
	held["a"].release()
	take("c") // a has to go
	if has("a") || !has("b") || !has("c") || l.used != 800 {
		t.Errorf("a %v, b %v, c %v, %d bytes", has("a"), has("b"), has("c"), l.used)
	}
	take("d") // nothing can go
	if held["d"].source == nil || l.used != 800 {
		t.Errorf("d is held whole: %d bytes", l.used)
	}
	for _, name := range []string{"b", "c", "d"} {
		held[name].release()
	}
	if has("d") || !has("b") || l.used != 800 {
		t.Errorf("after release: d %v, b %v, %d bytes", has("d"), has("b"), l.used)
	}
}

// A version is recognised by size and time; a time too close to now is not relied on for long.
func TestLibraryVersions(t *testing.T) {
	now := time.Now()
	files := fstest.MapFS{"rom": {Data: []byte("one"), ModTime: now}}
	s := &shop{FS: files}
	l := newLibrary(1<<20, func(job func()) { job() })
	l.now = func() time.Time { return now }
	read := func(want string, opened int32) {
		t.Helper()
		f, err := borrow(t, l, s, "rom")
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
	read("two", 3) // was read too early to vouch for itself
	now = now.Add(time.Minute)
	read("two", 3) // settled
	files["rom"] = &fstest.MapFile{Data: []byte("other"), ModTime: now.Add(-time.Hour)}
	read("other", 4)
}

// The memory of chunks is used again, but never while somebody looks at it.
func TestChunkMemory(t *testing.T) {
	content := random(8 * chunkSize)
	l := newLibrary(2*chunkSize, func(job func()) { job() })
	f, err := borrow(t, l, fstest.MapFS{"rom": {Data: content, ModTime: long}}, "rom")
	if err != nil {
		t.Fatal(err)
	}
	defer f.release()
	look := func(v *view, index int64, held ...*chunk) {
		t.Helper()
		if got := f.view(v, index*chunkSize, chunkSize, held); got != chunkSize {
			t.Fatalf("%d bytes of chunk %d", got, index)
		}
	}
	check := func(v *view, index int64) {
		t.Helper()
		if !bytes.Equal(v.pieces[0], content[index*chunkSize:][:chunkSize]) {
			t.Fatalf("chunk %d is another by now", index)
		}
	}
	var early, waited view
	f.fetch(0, nil)
	look(&early, 0)
	var held *chunk
	f.fetch(1, func(c *chunk, err error) { held = c })
	for index := int64(2); index < 8; index++ { // there is room for two
		f.fetch(index, nil)
	}
	check(&early, 0)
	look(&waited, 1, held)
	check(&waited, 1)
	spare := len(l.spare)
	l.giveBack(early.lent)
	if len(l.spare) != spare+1 {
		t.Errorf("%d spare, want one more than %d", len(l.spare), spare)
	}
	l.giveBack(waited.lent)
	f.fetch(0, nil)
	f.fetch(2, nil)
	check(&waited, 1) // the transfer that waited still holds it
	spare = len(l.spare)
	l.giveBack([]*chunk{held})
	if len(l.spare) != spare+1 {
		t.Errorf("%d spare, want one more than %d", len(l.spare), spare)
	}
	if l.used > l.limit || len(l.spare) > spares {
		t.Errorf("%d bytes and %d spare", l.used, len(l.spare))
	}
	// Reading on and on takes no more memory than there is room for.
	if n := testing.AllocsPerRun(10, func() {
		for index := range int64(8) {
			var v view
			f.fetch(index, nil)
			look(&v, index)
			check(&v, index)
			l.giveBack(v.lent)
		}
	}); n > 8*12 {
		t.Errorf("%v allocations for 8 chunks", n)
	}
}

// A streamed file that offers neither ReadAt nor Seek is read onward, and again from the start for what lies behind.
func TestSourceReadsOn(t *testing.T) {
	content := random(10_000)
	s := &shop{FS: fstest.MapFS{"rom": {Data: content, ModTime: long}}, plainly: true}
	l := newLibrary(1000, func(job func()) { job() })
	f, err := borrow(t, l, s, "rom")
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
		t.Errorf("behind the end: %v", err)
	}
}

// A file that fails while it is read fails for all who wait, and is tried again by the next.
func TestLibraryFailure(t *testing.T) {
	broken := errors.New("broken disk")
	files := fstest.MapFS{"rom": {Data: random(100), ModTime: long}}
	f := &failing{FS: files, err: broken}
	l := newLibrary(1<<20, func(job func()) { job() })
	if _, err := borrow(t, l, f, "rom"); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	f.err = nil
	if _, err := borrow(t, l, f, "rom"); err != nil {
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

// failingFile is one of them.
type failingFile struct {
	fs.File
	err error
}

func (f *failingFile) Read([]byte) (int, error) { return 0, f.err }

var _ io.Reader = (*failingFile)(nil)
