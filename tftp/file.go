package tftp

// One version of a file: how it is read, whole or in chunks, and how its
// content is given out.

import (
	"container/list"
	"errors"
	"io"
	"io/fs"
	"time"
)

// readTries is how often a file is read that changes while it is read.
const readTries = 3

// The reasons why a file that exists cannot be served.
var (
	errChanged  = errors.New("file changed while it was being read")
	errNetascii = errors.New("file is too large for mode netascii")
)

// file is one version of a file. The first fields do not change once it is
// loaded.
type file struct {
	cache  *cache
	key    fileKey
	info   fs.FileInfo
	size   int64   // as it goes over the wire
	data   []byte  // the content; nil if it is streamed or empty
	source *source // nil unless it is streamed
	loaded time.Time

	// These are used under cache.mu.
	loading bool
	waiters []func(*file, error)
	readers int              // transfers that hold it, and reads in progress
	chunks  map[int64]*chunk // of a streamed file; those without data are being read
	entry   *list.Element    // in cache.lru
}

// chunk is a part of a streamed file.
type chunk struct {
	file    *file
	index   int64
	data    []byte // nil while it is being read
	waiters []func(*chunk, error)
	entry   *list.Element // in cache.lru
	lent    int           // how many views, and transfers that waited for it, read it
}

// load reads a file, or prepares for streaming it if it is large.
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
	f.info, f.size, f.loaded = info, info.Size(), f.cache.now()
	if !f.cache.admits(f.size) {
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

// readWhole reads a file of known size, and checks that it was one version.
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

// toNetascii converts line ends: LF becomes CR LF, and CR becomes CR NUL (RFC
// 764, as RFC 1350 uses it).
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

// release gives back a file. A streamed one is closed by its last reader.
func (f *file) release() {
	c := f.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	f.readers--
	if f.readers > 0 {
		return
	}
	if f.source != nil || c.files[f.key] != f {
		c.forget(f)
		return
	}
	c.evict(0)
}

// view is a part of a file's content in memory, in pieces, and the chunks to be
// given back when nobody reads it any more.
type view struct {
	pieces [][]byte
	lent   []*chunk
}

// reset drops the content and keeps the chunks.
func (v *view) reset() {
	clear(v.pieces)
	v.pieces = v.pieces[:0]
}

// giveBack gives back the chunks. All are of one cache.
func (v *view) giveBack() {
	if len(v.lent) == 0 {
		return
	}
	v.lent[0].file.cache.giveBack(v.lent)
	clear(v.lent)
	v.lent = v.lent[:0]
}

// view adds the bytes [offset, offset+n) to v, up to the first that is neither
// in memory nor held. It returns how many bytes that is.
func (f *file) view(v *view, offset, n int64, held []*chunk) int64 {
	if f.source == nil {
		v.pieces = append(v.pieces, f.data[offset:offset+n])
		return n
	}
	f.cache.mu.Lock()
	defer f.cache.mu.Unlock()
	var got int64
	for got < n {
		at := offset + got
		k := f.resident(at/chunkSize, held)
		if k == nil {
			break
		}
		part := k.data[at%chunkSize:]
		part = part[:min(int64(len(part)), n-got)]
		v.pieces = append(v.pieces, part)
		k.lent++
		v.lent = append(v.lent, k)
		got += int64(len(part))
	}
	return got
}

// resident returns a chunk that is held or in memory, nil if it is not.
func (f *file) resident(index int64, held []*chunk) *chunk {
	for _, k := range held {
		if k != nil && k.index == index {
			return k
		}
	}
	k := f.chunks[index]
	if k == nil || k.data == nil {
		return nil
	}
	f.cache.lru.MoveToFront(k.entry)
	return k
}

// fetch has a chunk read and calls done with it, from a worker. The chunk is
// lent then. done is nil for reading ahead. fetch does not block.
func (f *file) fetch(index int64, done func(*chunk, error)) {
	c := f.cache
	c.mu.Lock()
	k := f.chunks[index]
	switch {
	case index*chunkSize >= f.size || done == nil && k != nil:
		c.mu.Unlock()
	case k != nil && k.data != nil:
		k.lent++
		c.mu.Unlock()
		done(k, nil)
	case k != nil:
		k.waiters = append(k.waiters, done)
		c.mu.Unlock()
	default:
		k = &chunk{file: f, index: index}
		if done != nil {
			k.waiters = append(k.waiters, done)
		}
		f.chunks[index] = k
		f.readers++ // the reading itself, so that the source stays open
		c.mu.Unlock()
		c.do(f.key.name, func() { f.fill(k) })
	}
}

// fill reads a chunk from the disk and gives it to those who wait.
func (f *file) fill(k *chunk) {
	c := f.cache
	data := c.memory(min(chunkSize, f.size-k.index*chunkSize))
	err := f.source.read(data, k.index*chunkSize)
	c.mu.Lock()
	waiters := k.waiters
	k.waiters = nil
	k.lent += len(waiters)
	if err != nil {
		delete(f.chunks, k.index)
	} else {
		c.addChunk(k, data)
	}
	c.mu.Unlock()
	for _, done := range waiters {
		done(k, err)
	}
	f.release()
}
