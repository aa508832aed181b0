package httpboot

import (
	"context"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// handler serves a tree to everybody but 192.0.2.66.
func handler(tree fs.FS, done func(Access)) Handler {
	return Handler{
		View:  func(netip.Addr, *http.Request) fs.FS { return tree },
		Allow: func(client netip.Addr) bool { return client != netip.MustParseAddr("192.0.2.66") },
		Done:  done,
	}
}

// TestHandler checks what firmware and iPXE are told, and what is reported.
func TestHandler(t *testing.T) {
	tree := fstest.MapFS{
		"ipxe.efi":  {Data: []byte("0123456789")},
		"BOOT.EFI":  {Data: []byte("x")},
		"a/b.ipxe":  {Data: []byte("#!ipxe\n")},
		"disk.iso":  {Data: []byte("iso")},
		"undionly":  {Data: []byte("pxe")},
		"empty.efi": {},

		"m/boot.ipxe.tmpl": {Data: []byte("#!ipxe\necho {{.Get \"mac\"}} at {{.IP}} by {{.Host}}{{.Get \"none\"}}\n")},
		"m/boot.ipxe.TMPL": {Data: []byte("password")},
		"broken.ipxe.tmpl": {Data: []byte("{{.Nothing}}")},
	}
	client := netip.MustParseAddr("192.0.2.1")
	for _, tt := range []struct {
		name, method, target, rangeHeader string
		body, contentType                 string
		want                              Access
	}{
		{"efi", "GET", "/ipxe.efi", "", "0123456789", "application/efi", Access{File: "ipxe.efi", Status: 200, Sent: 10, Complete: true}},
		{"upper case", "GET", "/BOOT.EFI", "", "x", "application/efi", Access{File: "BOOT.EFI", Status: 200, Sent: 1, Complete: true}},
		{"script", "GET", "/a//b.ipxe", "", "#!ipxe\n", "text/plain; charset=utf-8", Access{File: "a/b.ipxe", Status: 200, Sent: 7, Complete: true}},
		{"iso", "GET", "/disk.iso", "", "iso", "application/vnd.efi-iso", Access{File: "disk.iso", Status: 200, Sent: 3, Complete: true}},
		{"no ending", "GET", "/undionly", "", "pxe", "application/octet-stream", Access{File: "undionly", Status: 200, Sent: 3, Complete: true}},
		{"empty", "GET", "/empty.efi", "", "", "application/efi", Access{File: "empty.efi", Status: 200, Complete: true}},
		{"head", "HEAD", "/ipxe.efi", "", "", "application/efi", Access{File: "ipxe.efi", Status: 200}},
		{"range", "GET", "/ipxe.efi", "bytes=2-4", "234", "application/efi", Access{File: "ipxe.efi", Status: 206, Sent: 3}},
		{"template", "GET", "/m/boot.ipxe?mac=52:54:00:00:00:01%0aexit%20${x}", "", "#!ipxe\necho 52:54:00:00:00:01exitx at 192.0.2.1 by example.com\n", "text/plain; charset=utf-8",
			Access{Path: "/m/boot.ipxe", File: "m/boot.ipxe", Status: 200, Sent: 63, Complete: true}},
		{"broken template", "GET", "/broken.ipxe", "", "this boot file cannot be made\n", "text/plain; charset=utf-8", Access{Status: 500, Sent: 30}},
		{"template's source", "GET", "/m/boot.ipxe.tmpl", "", "no such boot file\n", "text/plain; charset=utf-8", Access{Status: 404, Sent: 18}},
		{"source by another case", "GET", "/m/boot.ipxe.TMPL", "", "no such boot file\n", "text/plain; charset=utf-8", Access{Status: 404, Sent: 18}},
		{"absent", "GET", "/no.efi", "", "no such boot file\n", "text/plain; charset=utf-8", Access{Status: 404, Sent: 18}},
		{"directory", "GET", "/a", "", "no such boot file\n", "text/plain; charset=utf-8", Access{Status: 404, Sent: 18}},
		{"no way up", "GET", "/../../etc/passwd", "", "no such boot file\n", "text/plain; charset=utf-8", Access{Status: 404, Sent: 18}},
		{"post", "POST", "/ipxe.efi", "", "only GET and HEAD are served here\n", "text/plain; charset=utf-8", Access{Status: 405, Sent: 34}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got Access
			r := httptest.NewRequest(tt.method, tt.target, nil)
			r.RemoteAddr = "192.0.2.1:4000"
			if tt.rangeHeader != "" {
				r.Header.Set("Range", tt.rangeHeader)
			}
			w := httptest.NewRecorder()
			handler(tree, func(a Access) { got = a }).ServeHTTP(w, r)

			want := tt.want
			want.Client, want.Method = client, tt.method
			if want.Path == "" {
				want.Path = tt.target
			}
			if want.Status == 500 != (got.Err != nil) {
				t.Errorf("error %v", got.Err)
			}
			if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Access{}, "Duration", "Err"), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
				t.Errorf("access (-want +got):\n%s", diff)
			}
			if w.Body.String() != tt.body || w.Header().Get("Content-Type") != tt.contentType {
				t.Errorf("body %q of type %q, want %q of type %q", w.Body, w.Header().Get("Content-Type"), tt.body, tt.contentType)
			}
		})
	}
}

// TestHost checks which host a template is told.
func TestHost(t *testing.T) {
	const ours = "192.0.2.10:8067"
	label := strings.Repeat("x", 63)
	for asked, want := range map[string]string{
		"example.com": "example.com", "example.com:8067": "example.com:8067", "192.0.2.9": "192.0.2.9", "192.0.2.9:80": "192.0.2.9:80",
		"pxe": "pxe", "PXE-1.example.": "PXE-1.example.", "my_host": "my_host", "[2001:db8::1]:80": "[2001:db8::1]:80", label: label,
		"": ours, "a b": ours, "a\nchain evil": ours, "${evil}": ours, "a;b": ours, "a/b": ours, "a@b": ours, "user:pass@a": ours, "-a": ours, "a-": ours,
		"a..b": ours, ".": ours, "a:0": ours, "a:": ours, "a:65536": ours, "a:80:80": ours, label + "x": ours, strings.Repeat(label+".", 4): ours, "ä": ours,
	} {
		r := httptest.NewRequest("GET", "/boot.ipxe", nil)
		r.Host = asked
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(ours))))
		if got := hostOf(r); got != want {
			t.Errorf("%q: %q, want %q", asked, got, want)
		}
	}
}

// TestAborted checks that a client that goes away half-way has not read the
// file.
func TestAborted(t *testing.T) {
	tree := fstest.MapFS{"big.efi": {Data: []byte(strings.Repeat("x", 8<<20))}}
	reported := make(chan Access, 1)
	srv := httptest.NewServer(handler(tree, func(a Access) { reported <- a }))
	defer srv.Close()
	resp, err := http.Get(srv.URL + "/big.efi")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if a := <-reported; a.Complete {
		t.Errorf("a download that was broken off counts as complete: %+v", a)
	}
}

// TestNotAllowed checks that a client that is not served reads nothing, not
// even whether a file exists.
func TestNotAllowed(t *testing.T) {
	tree := fstest.MapFS{"ipxe.efi": {Data: []byte("0123456789")}}
	for _, target := range []string{"/ipxe.efi", "/no.efi"} {
		var got Access
		r := httptest.NewRequest("GET", target, nil)
		r.RemoteAddr = "192.0.2.66:4000"
		w := httptest.NewRecorder()
		handler(tree, func(a Access) { got = a }).ServeHTTP(w, r)
		if w.Code != http.StatusForbidden || w.Body.String() != "boot files are not served to this address\n" || !got.NotAllowed || got.File != "" || got.Complete {
			t.Errorf("%s: status %d, %q, %+v", target, w.Code, w.Body, got)
		}
	}
}
