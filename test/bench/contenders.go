package main

// The contenders: pxesidecar, Debian's servers, and the limit.

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/pxesidecar/pxesidecar/test/bench/dhcpload"
	"github.com/pxesidecar/pxesidecar/test/bench/limit"
	"github.com/pxesidecar/pxesidecar/test/lab"
)

// role is the role of a contender in comparisons.
type role int

const (
	ours role = iota
	peer
	bound // the limit
)

// contender is a server that can be started for a pattern.
type contender struct {
	name string
	role role
	// tftp and dhcp return its command lines. They are nil if it does not
	// support the protocol.
	tftp func(a *arena, p *tftpPattern) []string
	dhcp func(a *arena) []string
	// udp67 means that it uses an ordinary socket for DHCP.
	udp67 bool
}

// romName is the boot file that DHCP answers name.
const romName = "rom.efi"

// sidecar returns a build of the program under test.
func sidecar(name, path string) contender {
	serve := func(a *arena) []string {
		return []string{path, "serve", "--interface", wire, "--root", a.dir, "--rom", "x64=" + romName, "--log-level", "warn"}
	}
	return contender{name: name, role: ours, dhcp: serve, tftp: func(a *arena, _ *tftpPattern) []string { return serve(a) }}
}

// limits returns the limit programs.
func limits() contender {
	run := func(a *arena, work string, settings any) []string {
		text, err := json.Marshal(settings)
		if err != nil {
			panic(err) // plain structs
		}
		return []string{"env", "GOMAXPROCS=1", a.self, work, string(text)}
	}
	return contender{
		name: "limit", role: bound,
		tftp: func(a *arena, p *tftpPattern) []string {
			if p.loss > 0 || p.beside > 0 || p.slow > 0 {
				return nil // it has no timers, and one file
			}
			return run(a, workLimitTFTP, limit.TFTP{Address: tftpServer(), File: filepath.Join(a.dir, p.file()), Block: p.block, Window: p.window})
		},
		dhcp: func(a *arena) []string {
			return run(a, workLimitDHCP, limit.DHCP{Interface: wire, Mark: dhcpload.Mark})
		},
	}
}

// peers returns Debian's servers in their newest versions. This machine may run
// an older release, so they bring their own C library.
func peers(ctx context.Context, stock *lab.Stock) ([]contender, error) {
	dnsmasq, err := foreign(ctx, stock, "dnsmasq-base", "usr/sbin/dnsmasq")
	if err != nil {
		return nil, err
	}
	hpa, err := foreign(ctx, stock, "tftpd-hpa", "usr/sbin/in.tftpd")
	if err != nil {
		return nil, err
	}
	atftpd, err := foreign(ctx, stock, "atftpd", "usr/sbin/atftpd")
	if err != nil {
		return nil, err
	}
	return []contender{
		{
			name: "dnsmasq " + dnsmasq.version, role: peer, udp67: true,
			tftp: func(a *arena, _ *tftpPattern) []string {
				return dnsmasq.command(dnsmasqArgs(a, "--enable-tftp", "--tftp-root="+a.dir, "--tftp-max=4096", "--quiet-tftp")...)
			},
			dhcp: func(a *arena) []string {
				return dnsmasq.command(dnsmasqArgs(a, "--dhcp-range="+serverAddress.String()+",proxy", "--quiet-dhcp",
					"--pxe-service=X86-64_EFI,boot,"+romName, "--pxe-service=BC_EFI,boot,"+romName, "--dhcp-leasefile="+filepath.Join(a.dir, "leases"))...)
			},
		},
		{
			name: "tftpd-hpa " + hpa.version, role: peer,
			tftp: func(a *arena, _ *tftpPattern) []string {
				return hpa.command("--listen", "--foreground", "--address", tftpServer().String(), "--user", "root", "--secure", a.dir)
			},
		},
		{
			name: "atftpd " + atftpd.version, role: peer,
			tftp: func(a *arena, _ *tftpPattern) []string {
				// It uses select, and crashes with its 1,025th file.
				return append([]string{"prlimit", "--nofile=1024:1024"}, atftpd.command("--daemon", "--no-fork", "--maxthread", "4096", "--bind-address", serverAddress.String(),
					"--user", "root.root", "--logfile", "/dev/null", "--verbose=0", a.dir)...)
			},
		},
	}, nil
}

// dnsmasqArgs returns the arguments that dnsmasq always gets: no DNS, no file
// of this machine, no log.
func dnsmasqArgs(a *arena, more ...string) []string {
	return append([]string{"--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--user=root", "--interface=" + wire,
		"--log-facility=/dev/null", "--pid-file=" + filepath.Join(a.dir, "dnsmasq.pid")}, more...)
}

// placeROM puts a boot file into the served folder. It must be a real ROM,
// because pxesidecar reads ROMs before it offers them.
func placeROM(ctx context.Context, stock *lab.Stock, a *arena) error {
	dir, _, err := stock.Package(ctx, lab.Sid, "ipxe")
	if err != nil {
		return err
	}
	content, err := os.ReadFile(filepath.Join(dir, "usr/lib/ipxe/ipxe.efi"))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(a.dir, romName), content, 0o644)
}

// program is a program of another release with the libraries it needs.
type program struct {
	path, version   string
	loader, library string
}

// libraries are the packages with libraries that this machine may not have, or
// in too old a version. A newer C library runs programs for older ones, so all
// other libraries may be this machine's.
var libraries = []string{"libc6", "libwrap0"}

// foreign unpacks a program of the newest Debian.
func foreign(ctx context.Context, stock *lab.Stock, name, binary string) (program, error) {
	dir, version, err := stock.Package(ctx, lab.Sid, name)
	if err != nil {
		return program{}, err
	}
	// A table does not need Debian's own revision.
	if i := strings.LastIndexByte(version, '-'); i >= 0 {
		version = version[:i]
	}
	p := program{path: filepath.Join(dir, binary), version: version}
	var folders []string
	for _, name := range libraries {
		dir, _, err := stock.Package(ctx, lab.Sid, name)
		if err != nil {
			return program{}, err
		}
		found, _ := filepath.Glob(filepath.Join(dir, "usr/lib/*-linux-gnu*"))
		folders = append(folders, found...)
		if loaders, _ := filepath.Glob(filepath.Join(dir, "usr/lib/*/ld-linux*.so.*")); len(loaders) > 0 {
			p.loader = loaders[0]
		}
	}
	if p.loader == "" {
		return program{}, fmt.Errorf("%s: no dynamic loader in %s", name, strings.Join(folders, ", "))
	}
	own, _ := filepath.Glob("/usr/lib/*-linux-gnu*")
	p.library = strings.Join(append(folders, own...), string(os.PathListSeparator))
	return p, nil
}

// command returns the program's command line.
func (p program) command(args ...string) []string {
	return append([]string{p.loader, "--library-path", p.library, p.path}, args...)
}
