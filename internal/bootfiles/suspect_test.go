package bootfiles

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/internal/rom/romtest"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// TestSuspect checks what is suspected of a file that did not start.
func TestSuspect(t *testing.T) {
	s := newSigners(t)
	ipxe := romtest.IPXE(2, 0, 0)
	for _, tt := range []struct {
		name   string
		file   []byte
		arch   proxydhcp.Arch
		report proxydhcp.StartReport
		reason string
		hint   string
	}{
		{"not signed", s.sign(ipxe), proxydhcp.ArchX64, proxydhcp.StartReport{}, "the file is not signed: a machine with Secure Boot", "docs/secure-boot.md"},
		{"own key", s.sign(ipxe, s.own), proxydhcp.ArchX64, proxydhcp.StartReport{}, "starts it only if it trusts that key", "docs/secure-boot.md"},
		{"2011 alone", s.sign(ipxe, s.old...), proxydhcp.ArchX64, proxydhcp.StartReport{}, "by Microsoft's authority of 2011 alone", "docs/secure-boot.md"},
		{"on BIOS", s.sign(ipxe), proxydhcp.ArchBIOS, proxydhcp.StartReport{}, "hangs on this machine", "try ipxe.efi"},
		{"what follows is missing", s.sign(ipxe), proxydhcp.ArchX64, proxydhcp.StartReport{Missing: "next.efi"}, `asked for "next.efi", which is not there`, "put that file"},
		{"not of ours", nil, proxydhcp.ArchX64, proxydhcp.StartReport{NextServer: netip.MustParseAddr("192.0.2.1")}, "hangs on this machine", "try ipxe.efi"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := directoryOf(t, files{"snponly.efi": tt.file, "ipxe-arm64.efi": nil})
			if tt.file == nil {
				root = directoryOf(t, files{"ipxe-x86_64.efi": s.sign(ipxe)})
			}
			set := open(t, parse(t, config.Settings{AnswersText: config.AnswersText{Root: root}}), newHost(t, true))
			tt.report.Client.Arch = tt.arch
			tt.report.Client.VendorClass = "PXEClient"
			tt.report.File = "snponly.efi"
			reason, hint := serve(t, set, nil).Suspect(tt.report)
			if !strings.Contains(reason, tt.reason) || !strings.Contains(hint, tt.hint) {
				t.Errorf("reason %q, hint %q; want %q, %q", reason, hint, tt.reason, tt.hint)
			}
		})
	}
}
