package tftp

// Files, read once and shared between transfers.
//
// A file up to half of the memory allowed is read whole into an immutable snapshot: transfers that hold it are untouched by
// whatever happens on disk afterwards. A larger one is streamed: transfers share an open handle and a bounded number of chunks, and every read
// is followed by a look at size and time; when these have changed, the transfers of it end with an ERROR rather than mix two versions.
// Each opening compares the name's size, time of change and (where the system has one) inode with what is in memory, so a new
// version is served from the next request on, while older transfers finish with the old one.
//
// All of it is called from the helper goroutines, except view, giveBack, fetch and release, which do not block on a disk.

import (
	"container/list"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"
)

const (
	// chunkSize is what is read at once of a streamed file.
	chunkSize = 256 << 10

	// settled is how old a file's time of change must be for that time to tell versions apart: file systems count in ticks, some of 2 s.
	settled = 2 * time.Second

	// unsettledLife is how long a file that changed just now is trusted, so that a burst of requests for it is one read all the same.
	unsettledLife = 200 * time.Millisecond

	// spares bounds the memory of chunks that is kept to be used again: each helper may be about to read one.
	spares = crewSize

	// readTries is how often a file that changes while it is read is read anew.
	readTries = 3
)

// The ways a file that exists cannot be served.
var (
	errChanged  = errors.New("file changed while it was being read")
	errNetascii = errors.New("file is too large for mode netascii")
)

// A fileKey tells apart what may be in memory: the tree, the name in it, and whether line ends are converted.
type fileKey struct {
	tree     any // comparable
	name     string
	netascii bool
}

// A library is the files in memory.
type library struct {
	limit int64            // bytes allowed
	now   func() time.Time // for comparison with files' times
	do    func(func())     // runs what may block

	mu    sync.Mutex
	files map[fileKey]*file
	used  int64      // bytes of snapshots and chunks
	shelf *list.List // of *file (snapshots) and *chunk, most recently used first
	spare [][]byte   // memory of former chunks: new memory has to be cleared, and collected when it is garbage
}

// A file is one version of a file. Fields above mu's line are constant once loaded.
type file struct {
	library *library
	key     fileKey
	info    fs.FileInfo
	size    int64   // as it goes over the wire
	data    []byte  // the snapshot; nil when streamed or empty
	source  *source // nil unless streamed
	loaded  time.Time

	// Under library.mu:
	loading bool
	waiters []func(*file, error)
	readers int              // transfers that hold it
	chunks  map[int64]*chunk // of a streamed file; those without data are being read
	place   *list.Element    // on the shelf
}

// A chunk is a part of a streamed file.
type chunk struct {
	file    *file
	index   int64
	data    []byte // nil while it is being read
	waiters []func(*chunk, error)
	place   *list.Element
	lent    int // to views, and to transfers that waited for it
}

// newLibrary makes an empty library.
func newLibrary(limit int64, do func(func())) *library {
	return &library{limit: limit, now: time.Now, do: do, files: map[fileKey]*file{}, shelf: list.New()}
}

// open finds a file in memory or reads it, and calls done with it, now or from the goroutine that is reading it already. What done receives
// without an error must be released.
func (l *library) open(fsys fs.FS, key fileKey, info fs.FileInfo, done func(*file, error)) {
	l.mu.Lock()
	f := l.files[key]
	if f != nil && f.loading {
		f.waiters = append(f.waiters, done)
		l.mu.Unlock()
		return
	}
	if f != nil && sameVersion(f.info, info) && l.trusted(f) {
		l.hold(f)
		l.mu.Unlock()
		done(f, nil)
		return
	}
	if f != nil {
		l.forget(f)
	}
	f = &file{library: l, key: key, loading: true, waiters: []func(*file, error){done}}
	l.files[key] = f
	l.mu.Unlock()

	err := f.load(fsys)

	l.mu.Lock()
	waiters := f.waiters
	f.waiters, f.loading = nil, false
	if err != nil {
		delete(l.files, key)
	} else {
		f.readers = len(waiters)
		if f.source == nil {
			l.shelve(f)
		}
	}
	l.mu.Unlock()
	for _, done := range waiters {
		done(f, err)
	}
}

// trusted reports whether a file's time of change is old enough to vouch for its content, or the content fresh enough not to need it.
func (l *library) trusted(f *file) bool {
	return f.loaded.Sub(f.info.ModTime()) >= settled || l.now().Sub(f.loaded) < unsettledLife
}

// sameVersion compares what a file system tells of a file.
func sameVersion(a, b fs.FileInfo) bool {
	if a.Size() != b.Size() || !a.ModTime().Equal(b.ModTime()) {
		return false
	}
	if a.Sys() == nil || b.Sys() == nil {
		return true // not the operating system's
	}
	return os.SameFile(a, b)
}

// hold counts one more reader.
func (l *library) hold(f *file) {
	f.readers++
	if f.place != nil {
		l.shelf.MoveToFront(f.place)
	}
}

// shelve accounts for a snapshot.
func (l *library) shelve(f *file) {
	l.used += int64(len(f.data))
	f.place = l.shelf.PushFront(f)
	l.evict(0)
}

// forget takes a file out of the index; its readers keep it.
func (l *library) forget(f *file) {
	if l.files[f.key] == f {
		delete(l.files, f.key)
	}
	if f.readers == 0 {
		l.drop(f)
	}
}

// drop ends a file that nobody reads.
func (l *library) drop(f *file) {
	if f.place != nil {
		l.shelf.Remove(f.place)
		l.used -= int64(len(f.data))
		f.place = nil
	}
	for _, c := range f.chunks {
		l.discard(c)
	}
	if f.source != nil {
		f.source.close()
	}
}

// discard takes a chunk out of memory.
func (l *library) discard(c *chunk) {
	if c.place != nil {
		l.shelf.Remove(c.place)
		l.used -= int64(len(c.data))
		c.place = nil
		l.reuse(c)
	}
	delete(c.file.chunks, c.index)
}

// reuse takes the memory of a chunk that was discarded, where nobody can look at it any more.
func (l *library) reuse(c *chunk) {
	if c.place != nil || c.lent > 0 || len(c.data) < chunkSize {
		return
	}
	if len(l.spare) < spares {
		l.spare = append(l.spare, c.data)
	}
	c.data = nil
}

// memory returns memory for a chunk of n bytes, with anything in it.
func (l *library) memory(n int64) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := len(l.spare) - 1
	if n < chunkSize || last < 0 {
		return make([]byte, n)
	}
	data := l.spare[last]
	l.spare[last] = nil
	l.spare = l.spare[:last]
	return data
}

// giveBack ends a loan of each of the chunks.
func (l *library) giveBack(lent []*chunk) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range lent {
		c.lent--
		l.reuse(c)
	}
}

// evict makes room for n more bytes: chunks, and snapshots that nobody reads, the least recently used first.
func (l *library) evict(n int64) {
	for place := l.shelf.Back(); place != nil && l.used+n > l.limit; {
		previous := place.Prev()
		switch item := place.Value.(type) {
		case *chunk:
			l.discard(item)
		case *file:
			if item.readers == 0 {
				l.forget(item)
			}
		}
		place = previous
	}
}

// release gives back a file. A streamed one is closed with its last reader.
func (f *file) release() {
	l := f.library
	l.mu.Lock()
	defer l.mu.Unlock()
	f.readers--
	if f.readers > 0 {
		return
	}
	if f.source != nil || l.files[f.key] != f {
		l.forget(f)
		return
	}
	l.evict(0)
}

// load reads a file or, when it is large, prepares for streaming it.
func (f *file) load(fsys fs.FS) error {
	for try := 1; ; try++ {
		err := f.loadOnce(fsys)
		if !errors.Is(err, errChanged) || try == readTries {
			return err
		}
	}
}

// loadOnce is one attempt of load.
func (f *file) loadOnce(fsys fs.FS) error {
	opened, err := fsys.Open(f.key.name)
	if err != nil {
		return err
	}
	info, err := opened.Stat()
	if err != nil {
		return errors.Join(err, opened.Close())
	}
	f.info, f.size, f.loaded = info, info.Size(), f.library.now()
	if !f.library.admits(f.size) {
		if f.key.netascii {
			return errors.Join(errNetascii, opened.Close())
		}
		reopen := func() (fs.File, error) { return fsys.Open(f.key.name) }
		f.source = &source{file: opened, info: info, reopen: reopen}
		f.chunks = map[int64]*chunk{}
		return nil
	}
	data, err := readWhole(opened, info)
	if err := errors.Join(err, opened.Close()); err != nil {
		return err
	}
	if f.key.netascii {
		data = toNetascii(data)
	}
	f.data, f.size = data, int64(len(data))
	return nil
}

// admits reports whether a file of that size may be held whole, and makes room for it.
func (l *library) admits(size int64) bool {
	if size > l.limit/2 {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.evict(size)
	return l.used+size <= l.limit
}

// readWhole reads a file of known size and makes sure that it was one version.
func readWhole(r fs.File, info fs.FileInfo) ([]byte, error) {
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(r, data); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, errChanged
		}
		return nil, err
	}
	after, err := r.Stat()
	if err != nil {
		return nil, err
	}
	if !sameVersion(info, after) {
		return nil, errChanged
	}
	return data, nil
}

// toNetascii converts line ends: LF becomes CR LF, and CR becomes CR NUL (RFC 764 as RFC 1350 uses it).
func toNetascii(data []byte) []byte {
	converted := make([]byte, 0, len(data)+len(data)/16)
	for _, c := range data {
		switch c {
		case '\n':
			converted = append(converted, '\r', '\n')
		case '\r':
			converted = append(converted, '\r', 0)
		default:
			converted = append(converted, c)
		}
	}
	return converted
}

// A view is a part of a file's content as it is in memory, in pieces, and the chunks that are to be given back when nobody looks at it any more.
type view struct {
	pieces [][]byte
	lent   []*chunk
}

// reset lets go of the content, and keeps the chunks.
func (v *view) reset() {
	clear(v.pieces)
	v.pieces = v.pieces[:0]
}

// view adds to v the bytes [offset, offset+n) as far as they are in memory without a gap, held ones included, and returns how many bytes that is.
func (f *file) view(v *view, offset, n int64, held []*chunk) int64 {
	if f.source == nil {
		v.pieces = append(v.pieces, f.data[offset:offset+n])
		return n
	}
	f.library.mu.Lock()
	defer f.library.mu.Unlock()
	var got int64
	for got < n {
		at := offset + got
		c := f.resident(at/chunkSize, held)
		if c == nil {
			break
		}
		part := c.data[at%chunkSize:]
		part = part[:min(int64(len(part)), n-got)]
		v.pieces = append(v.pieces, part)
		c.lent++
		v.lent = append(v.lent, c)
		got += int64(len(part))
	}
	return got
}

// resident returns a chunk that is in memory, nil when it is not.
func (f *file) resident(index int64, held []*chunk) *chunk {
	for _, c := range held {
		if c != nil && c.index == index {
			return c
		}
	}
	c := f.chunks[index]
	if c == nil || c.data == nil {
		return nil
	}
	f.library.shelf.MoveToFront(c.place)
	return c
}

// fetch reads a chunk and calls done with it, which is lent then, from a helper goroutine; done is nil for reading ahead. It does not block.
func (f *file) fetch(index int64, done func(*chunk, error)) {
	l := f.library
	l.mu.Lock()
	c := f.chunks[index]
	switch {
	case index*chunkSize >= f.size || done == nil && c != nil:
		l.mu.Unlock()
	case c != nil && c.data != nil:
		c.lent++
		l.mu.Unlock()
		done(c, nil)
	case c != nil:
		c.waiters = append(c.waiters, done)
		l.mu.Unlock()
	default:
		c = &chunk{file: f, index: index}
		if done != nil {
			c.waiters = append(c.waiters, done)
		}
		f.chunks[index] = c
		f.readers++ // the reading itself, so that the source stays open
		l.mu.Unlock()
		l.do(func() { f.fill(c) })
	}
}

// fill reads a chunk from the disk and hands it to those who wait.
func (f *file) fill(c *chunk) {
	l := f.library
	data := l.memory(min(chunkSize, f.size-c.index*chunkSize))
	err := f.source.read(data, c.index*chunkSize)
	l.mu.Lock()
	waiters := c.waiters
	c.waiters = nil
	c.lent += len(waiters)
	if err != nil {
		delete(f.chunks, c.index)
	} else {
		l.evict(int64(len(data)))
		c.data = data
		c.place = l.shelf.PushFront(c)
		l.used += int64(len(data))
	}
	l.mu.Unlock()
	for _, done := range waiters {
		done(c, err)
	}
	f.release()
}

// A source is the open handle of a streamed file.
type source struct {
	info   fs.FileInfo
	reopen func() (fs.File, error)

	mu       sync.Mutex // for files that have only one position
	file     fs.File
	position int64
}

// read fills b from an offset, and fails when the file is no longer the version that was opened.
func (s *source) read(b []byte, offset int64) error {
	var err error
	if at, ok := s.file.(io.ReaderAt); ok {
		var n int
		if n, err = at.ReadAt(b, offset); n == len(b) {
			err = nil // io.EOF may come with the last byte
		}
	} else {
		err = s.readOn(b, offset)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errChanged
	}
	if err != nil {
		return err
	}
	return s.check()
}

// check compares the open file with what it was.
func (s *source) check() error {
	info, err := s.file.Stat()
	if err != nil {
		return err
	}
	if !sameVersion(s.info, info) {
		return errChanged
	}
	return nil
}

// readOn reads a file that has one position: by seeking where it can, else onward, and from the start again for what lies behind.
func (s *source) readOn(b []byte, offset int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if seeker, ok := s.file.(io.Seeker); ok {
		if _, err := seeker.Seek(offset, io.SeekStart); err != nil {
			return err
		}
		_, err := io.ReadFull(s.file, b)
		return err
	}
	if offset < s.position {
		again, err := s.reopen()
		if err != nil {
			return fmt.Errorf("reopen: %w", err)
		}
		s.file.Close() // was only read
		s.file, s.position = again, 0
	}
	skipped, err := io.CopyN(io.Discard, s.file, offset-s.position)
	s.position += skipped
	if err != nil {
		return err
	}
	n, err := io.ReadFull(s.file, b)
	s.position += int64(n)
	return err
}

// close ends the handle.
func (s *source) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.file.Close() // was only read
}
