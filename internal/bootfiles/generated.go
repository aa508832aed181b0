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

func (f *generatedFile) Stat() (fs.FileInfo, error) { return f, nil }
func (f *generatedFile) Close() error               { return nil }
func (f *generatedFile) Name() string               { return f.name }
func (f *generatedFile) Size() int64                { return f.Reader.Size() }
func (f *generatedFile) Mode() fs.FileMode          { return 0o444 }
func (f *generatedFile) ModTime() time.Time         { return time.Time{} }
func (f *generatedFile) IsDir() bool                { return false }
func (f *generatedFile) Sys() any                   { return nil }

// openGenerated returns an open file with that text.
func openGenerated(name string, text []byte) fs.File {
	return &generatedFile{Reader: bytes.NewReader(text), name: path.Base(name)}
}
