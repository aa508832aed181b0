package tftp

// Files in memory, read once and shared between transfers.
//
// A file of up to half the memory allowed is read whole. Transfers that hold it
// are not affected by what happens on disk afterwards. A larger file is
// streamed: transfers share an open handle and a bounded number of chunks, and
// after every read the size and time of the file are checked. When they have
// changed, its transfers end with an ERROR, so that no client gets a mixture of
// two versions.
//
// Each opening compares the file's size, time of change and inode (if the
// system has one) with what is in memory. So a new version is served from the
// next request on, while older transfers finish with the old one.
//
// Workers call all of it, except for view, giveBack, fetch and release, which
// do not wait for a disk.

import (
	"container/list"
	"io/fs"
	"os"
	"sync"
	"time"
)

const (
	// chunkSize is how much of a streamed file is read at once.
	chunkSize = 256 << 10

	// settledAge is how old a file's time of change must be to tell versions
	// apart. File systems count in ticks, some of 2 s.
	settledAge = 2 * time.Second

	// unsettledLife is how long the content of a file that changed just now is
	// used, so that a burst of requests for it still needs only one read.
	unsettledLife = 200 * time.Millisecond

	// maxSpare bounds the memory of former chunks that is kept for new ones.
	// Each worker may be about to read one.
	maxSpare = workerCount
)

// fileKey identifies a file in memory: the tree, the name in it, and whether
// line ends are converted.
type fileKey struct {
	tree     any // comparable
	name     string
	netascii bool
}

// cache is the files in memory. It keeps its own list of what was used last,
// not that of hashicorp/golang-lru: one list holds whole files and chunks, its
// bound is bytes, and files that are being read stay.
type cache struct {
	limit int64                // bytes allowed
	now   func() time.Time     // to compare with the times of files
	do    func(string, func()) // runs what may block on a disk, for the file of that name

	mu    sync.Mutex
	files map[fileKey]*file
	used  int64      // bytes of whole files and of chunks
	lru   *list.List // of *file (whole ones) and *chunk, most recently used first
	spare [][]byte   // memory of former chunks: new memory must be cleared, and collected as garbage
}

// newCache returns an empty cache.
func newCache(limit int64, do func(string, func())) *cache {
	return &cache{limit: limit, now: time.Now, do: do, files: map[fileKey]*file{}, lru: list.New()}
}

// open returns a file from memory, or reads it. It calls done with the file,
// now or from the goroutine that is reading it already. What done gets without
// an error must be released.
func (c *cache) open(fsys fs.FS, key fileKey, info fs.FileInfo, done func(*file, error)) {
	f := c.find(key, info, done)
	if f == nil {
		return
	}
	err := f.load(fsys)
	c.mu.Lock()
	waiters := f.waiters
	f.waiters, f.loading = nil, false
	if err != nil {
		delete(c.files, key)
	} else {
		f.readers = len(waiters)
		if f.source == nil {
			c.add(f)
		}
	}
	c.mu.Unlock()
	for _, done := range waiters {
		done(f, err)
	}
}

// find has done called with a file that is in memory or being read. If there is
// none, it returns a new one for the caller to load.
func (c *cache) find(key fileKey, info fs.FileInfo, done func(*file, error)) *file {
	c.mu.Lock()
	f := c.files[key]
	if f != nil && f.loading {
		f.waiters = append(f.waiters, done)
		c.mu.Unlock()
		return nil
	}
	if f != nil && sameVersion(f.info, info) && c.isCurrent(f) {
		c.hold(f)
		c.mu.Unlock()
		done(f, nil)
		return nil
	}
	if f != nil {
		c.forget(f)
	}
	f = &file{cache: c, key: key, loading: true, waiters: []func(*file, error){done}}
	c.files[key] = f
	c.mu.Unlock()
	return f
}

// isCurrent reports whether a file's time of change is old enough to identify
// its content, or the content so new that it need not.
func (c *cache) isCurrent(f *file) bool {
	return f.loaded.Sub(f.info.ModTime()) >= settledAge || c.now().Sub(f.loaded) < unsettledLife
}

// sameVersion reports whether a and b describe the same version of a file.
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
func (c *cache) hold(f *file) {
	f.readers++
	if f.entry != nil {
		c.lru.MoveToFront(f.entry)
	}
}

// add adds a whole file.
func (c *cache) add(f *file) {
	c.used += int64(len(f.data))
	f.entry = c.lru.PushFront(f)
	c.evict(0)
}

// forget removes a file from the index. Its readers keep it.
func (c *cache) forget(f *file) {
	if c.files[f.key] == f {
		delete(c.files, f.key)
	}
	if f.readers == 0 {
		c.drop(f)
	}
}

// drop frees a file that nobody reads.
func (c *cache) drop(f *file) {
	if f.entry != nil {
		c.lru.Remove(f.entry)
		c.used -= int64(len(f.data))
		f.entry = nil
	}
	for _, k := range f.chunks {
		c.discard(k)
	}
	if f.source != nil {
		f.source.close()
	}
}

// addChunk adds a chunk that was read.
func (c *cache) addChunk(k *chunk, data []byte) {
	c.evict(int64(len(data)))
	k.data = data
	k.entry = c.lru.PushFront(k)
	c.used += int64(len(data))
}

// discard removes a chunk.
func (c *cache) discard(k *chunk) {
	if k.entry != nil {
		c.lru.Remove(k.entry)
		c.used -= int64(len(k.data))
		k.entry = nil
		c.reuse(k)
	}
	delete(k.file.chunks, k.index)
}

// reuse takes the memory of a chunk that was discarded, unless somebody still
// reads it.
func (c *cache) reuse(k *chunk) {
	if k.entry != nil || k.lent > 0 || len(k.data) < chunkSize {
		return
	}
	if len(c.spare) < maxSpare {
		c.spare = append(c.spare, k.data)
	}
	k.data = nil
}

// memory returns memory for a chunk of n bytes, with any content.
func (c *cache) memory(n int64) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := len(c.spare) - 1
	if n < chunkSize || last < 0 {
		return make([]byte, n)
	}
	data := c.spare[last]
	c.spare[last] = nil
	c.spare = c.spare[:last]
	return data
}

// giveBack ends one loan of each of the chunks.
func (c *cache) giveBack(lent []*chunk) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range lent {
		k.lent--
		c.reuse(k)
	}
}

// evict makes room for n more bytes: it removes chunks, and whole files that
// nobody reads, the least recently used first.
func (c *cache) evict(n int64) {
	for entry := c.lru.Back(); entry != nil && c.used+n > c.limit; {
		previous := entry.Prev()
		switch item := entry.Value.(type) {
		case *chunk:
			c.discard(item)
		case *file:
			if item.readers == 0 {
				c.forget(item)
			}
		}
		entry = previous
	}
}

// admits reports whether a file of that size may be held whole, and makes room
// for it.
func (c *cache) admits(size int64) bool {
	if size > c.limit/2 {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.evict(size)
	return c.used+size <= c.limit
}
