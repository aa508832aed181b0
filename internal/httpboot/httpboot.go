// Package httpboot serves the boot file tree over HTTP: to UEFI HTTP boot,
// which chooses what to do with a file by its content type, and to iPXE.
package httpboot

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/netip"
	"path"
	"strings"
	"time"
)

// Access is how one request ended.
type Access struct {
	Client     netip.Addr
	Method     string
	Path       string // as asked, not to be trusted
	File       string // its name in the tree, "" where it has none
	Status     int
	NotAllowed bool  // the client is not served at all
	Sent       int64 // bytes of content
	Complete   bool  // the whole file was sent
	Duration   time.Duration
	Err        error // what is wrong with a template of ours
}

// contentTypes are the types by which edk2 knows an image (UEFI 2.10, section
// 24.7.1), and those of the texts beside it; the rest is opaque.
var contentTypes = map[string]string{
	".efi":  "application/efi",
	".iso":  "application/vnd.efi-iso",
	".img":  "application/vnd.efi-img",
	".ipxe": "text/plain; charset=utf-8",
	".cfg":  "text/plain; charset=utf-8",
	".txt":  "text/plain; charset=utf-8",
	".json": "application/json",
}

// Handler serves files by GET and HEAD, with ranges and conditions (RFC 9110).
// It is the one place that a request passes through.
type Handler struct {
	// View returns the boot file tree as the client of a request sees it.
	// Directories are not listed.
	View  func(client netip.Addr, r *http.Request) fs.FS
	Allow func(client netip.Addr) bool // whether a client is served
	Done  func(Access)                 // is called when a request has ended
}

// ServeHTTP serves one request (http.Handler).
func (h Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	access := Access{Client: clientOf(r), Method: r.Method, Path: r.URL.Path}
	counted := &countingWriter{ResponseWriter: w}
	var size int64
	if access.NotAllowed = !h.Allow(access.Client); access.NotAllowed {
		w.Header().Set("Connection", "close")
		http.Error(counted, "boot files are not served to this address", http.StatusForbidden)
	} else {
		size = serve(counted, r, h.View(access.Client, r), &access)
	}
	access.Status, access.Sent, access.Duration = counted.status, counted.sent, time.Since(start)
	access.Complete = access.Status == http.StatusOK && r.Method == http.MethodGet && access.Sent == size
	h.Done(access)
}

// serve answers one request and returns the size of its file.
func serve(w http.ResponseWriter, r *http.Request, tree fs.FS, access *Access) int64 {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD are served here", http.StatusMethodNotAllowed)
		return 0
	}
	name := strings.TrimPrefix(path.Clean("/"+strings.ReplaceAll(r.URL.Path, `\`, "/")), "/")
	file, info, err := open(tree, name)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrInvalid):
		return serveTemplate(w, r, tree, name, access)
	case err != nil:
		http.Error(w, "this boot file cannot be read", http.StatusForbidden)
		return 0
	}
	defer file.Close()
	access.File = name
	w.Header().Set("Content-Type", contentType(name))
	w.Header().Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(w, r, "", info.ModTime(), file)
	return info.Size()
}

// serveTemplate answers with the template of a name that is no file, and
// returns the size of the result.
func serveTemplate(w http.ResponseWriter, r *http.Request, tree fs.FS, name string, access *Access) int64 {
	text, err := render(tree, name, r, access.Client)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrInvalid):
		http.Error(w, "no such boot file", http.StatusNotFound)
		return 0
	case err != nil:
		access.Err = err
		http.Error(w, "this boot file cannot be made", http.StatusInternalServerError)
		return 0
	}
	access.File = name
	w.Header().Set("Content-Type", contentType(name))
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(text))
	return int64(len(text))
}

// seekable is an open file that ranges can be read from.
type seekable interface {
	fs.File
	io.ReadSeeker
}

// open opens a regular file of the tree that is no template.
func open(tree fs.FS, name string) (seekable, fs.FileInfo, error) {
	if isTemplate(name) {
		return nil, nil, fs.ErrNotExist
	}
	f, err := tree.Open(name)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	file, ok := f.(seekable)
	if err == nil && !ok {
		err = errors.ErrUnsupported
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return file, info, nil
}

// contentType is the type of a file by the ending of its name, in any case.
func contentType(name string) string {
	if t, ok := contentTypes[strings.ToLower(path.Ext(name))]; ok {
		return t
	}
	return "application/octet-stream"
}

// clientOf is the address a request came from.
func clientOf(r *http.Request) netip.Addr { return addressIn(r.RemoteAddr) }

// addressIn returns the address in an address with a port, the zero Addr if it
// is none.
func addressIn(text string) netip.Addr {
	a, err := netip.ParseAddrPort(text)
	if err != nil {
		return netip.Addr{}
	}
	return a.Addr().Unmap()
}

// countingWriter notes the status and counts the content.
type countingWriter struct {
	http.ResponseWriter
	status int
	sent   int64
}

// WriteHeader notes the status.
func (w *countingWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Write counts the bytes of content.
func (w *countingWriter) Write(b []byte) (int, error) {
	n, err := w.ResponseWriter.Write(b)
	w.sent += int64(n)
	return n, err
}

// ReadFrom counts them where the connection copies a file by itself.
func (w *countingWriter) ReadFrom(r io.Reader) (int64, error) {
	n, err := io.Copy(w.ResponseWriter, r)
	w.sent += n
	return n, err
}
