package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/internal/bootfiles"
)

// TestCheckScripts checks which boot scripts --fetch fetches: those of an HTTP
// URL without placeholders.
func TestCheckScripts(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	for script, problems := range map[string]int{
		server.URL + "/absent.ipxe": 1, server.URL + "/{mac}.ipxe": 0, "httpd.ipxe": 0, "tftp://192.0.2.1/boot.ipxe": 0,
	} {
		got := checkScripts(t.Context(), &bootfiles.Set{Segments: []config.SegmentFiles{{Script: script}}})
		if len(got) != problems || problems > 0 && !strings.Contains(got[0].What, script) {
			t.Errorf("%s: %v, want %d problems", script, got, problems)
		}
	}
}
