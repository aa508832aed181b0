package bootfiles

import (
	"bytes"
	"io/fs"
	"path"
	"time"
)

// generated is a file system of texts by their names, without directories.
type generated map[string][]byte

// Open opens a generated file for reading and seeking (io/fs.FS).
func (g generated) Open(name string) (fs.File, error) {
	text, ok := g[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return openGenerated(name, text), nil
}

// generatedFile is an open generated file. It describes itself, too.
type generatedFile struct {
	*bytes.Reader
	name string
}

// Stat returns the description of the file: the file itself (io/fs.File).
func (f *generatedFile) Stat() (fs.FileInfo, error) { return f, nil }

// Close does nothing (io/fs.File).
func (f *generatedFile) Close() error { return nil }

// Name returns the base name of the file (io/fs.FileInfo).
func (f *generatedFile) Name() string { return f.name }

// Size returns the length of the text in bytes (io/fs.FileInfo).
func (f *generatedFile) Size() int64 { return f.Reader.Size() }

// Mode returns that of a regular file that nobody may write (io/fs.FileInfo).
func (f *generatedFile) Mode() fs.FileMode { return 0o444 }

// ModTime returns the zero time: the text never changes (io/fs.FileInfo).
func (f *generatedFile) ModTime() time.Time { return time.Time{} }

// IsDir returns false (io/fs.FileInfo).
func (f *generatedFile) IsDir() bool { return false }

// Sys returns nil: there is no other description (io/fs.FileInfo).
func (f *generatedFile) Sys() any { return nil }

// openGenerated returns an open file with that text.
func openGenerated(name string, text []byte) fs.File {
	return &generatedFile{Reader: bytes.NewReader(text), name: path.Base(name)}
}
