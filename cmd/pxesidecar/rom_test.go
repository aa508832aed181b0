package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/pxesidecar/pxesidecar/internal/rom/romtest"
)

// releases has a release of iPXE, as a server and as a proxy of any server.
type releases struct {
	*httptest.Server
	archive []byte
}

// newReleases starts the server.
func newReleases(t *testing.T) *releases {
	t.Helper()
	r := &releases{archive: romtest.Archive(t, romtest.Release(t, 2, 0, 0))}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

// ServeHTTP answers a request (http.Handler). What is slow stops in the middle
// of the first answer, until the client is gone.
func (s *releases) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("ETag", `"one"`)
	switch {
	case r.URL.Path == "/slow.tar.gz" && r.Header.Get("Range") == "":
		w.Header().Set("Accept-Ranges", "bytes")
		w.WriteHeader(http.StatusOK)
		_, _ = w.Write(s.archive[:len(s.archive)/2])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	case r.URL.Host != "" && r.URL.Host != "releases.example":
		http.Error(w, "another server was meant", http.StatusBadGateway)
	default:
		http.ServeContent(w, r, "ipxeboot.tar.gz", time.Time{}, bytes.NewReader(s.archive))
	}
}

// setUp gives a script the release: as a file, from a server, and through a
// proxy.
func (s *releases) setUp(env *testscript.Env) error {
	sum := sha256.Sum256(s.archive)
	env.Setenv("DIGEST", hex.EncodeToString(sum[:]))
	env.Setenv("RELEASES", s.URL)
	env.Setenv("PROXY", s.URL)
	return os.WriteFile(filepath.Join(env.WorkDir, "ipxeboot.tar.gz"), s.archive, 0o644)
}
