package main

import "testing"

// TestIsHTTP checks which boot scripts --fetch fetches.
func TestIsHTTP(t *testing.T) {
	for name, want := range map[string]bool{
		"http://boot.example/": true, "https://boot.example/": true, "httpd.ipxe": false, "tftp://192.0.2.1/boot.ipxe": false,
	} {
		if isHTTP(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}
