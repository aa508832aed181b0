package e2e

import (
	"fmt"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// TestReload reloads the configuration by SIGHUP.
func TestReload(t *testing.T) {
	reloadWhileAsking(t, 20, func(t *testing.T, daemon *lab.Daemon) {
		if err := daemon.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	})
}

// TestWatchConfig reloads it by writing the file.
func TestWatchConfig(t *testing.T) {
	reloadWhileAsking(t, 4, func(*testing.T, *lab.Daemon) {}, "--watch-config")
}

// reloadWhileAsking changes the boot script and its server many times while a
// client sends requests. Every request must be answered, each answer must come
// from one configuration, and a broken file must change nothing.
func reloadWhileAsking(t *testing.T, reloads int, reload func(*testing.T, *lab.Daemon), args ...string) {
	ctx := deadline(t, 2*time.Minute)
	l := newLab(t)
	write := func(text string) string {
		path, err := l.Write("pxesidecar.toml", text)
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	policy := func(n int) string {
		n++ // 192.0.2.0 is not a host
		return fmt.Sprintf("next-server = \"192.0.2.%d\"\nboot-url = \"http://192.0.2.%d/boot.ipxe\"\nrom = [\"x64=rom-%d.efi\"]\n", n, n, n)
	}
	path := write(policy(0))
	daemon, err := l.StartSidecar(ctx, lab.Sidecar{Script: "none", Args: append([]string{"--config", path}, args...)})
	if err != nil {
		t.Fatal(err)
	}
	client, err := l.NewClient("client")
	if err != nil {
		t.Fatal(err)
	}
	everybody, from := netip.MustParseAddrPort("255.255.255.255:67"), netip.MustParseAddrPort("0.0.0.0:68")
	ask := func() int {
		m, err := client.Message(dhcpv4.MessageTypeDiscover,
			dhcpv4.WithOption(dhcpv4.OptClassIdentifier("PXEClient:Arch:00007:UNDI:003001")),
			dhcpv4.WithOption(dhcpv4.OptClientArch(iana.EFI_X86_64)),
			dhcpv4.WithOption(dhcpv4.OptUserClass("iPXE")))
		if err != nil {
			t.Fatal(err)
		}
		reply, err := client.Exchange(ctx, m, from, everybody, dhcpv4.MessageTypeOffer)
		if err != nil {
			t.Fatalf("not answered: %v\n%s", err, daemon.Output)
		}
		var byServer, byFile int
		fmt.Sscanf(reply.ServerIPAddr.String(), "192.0.2.%d", &byServer)
		fmt.Sscanf(reply.BootFileName, "http://192.0.2.%d/boot.ipxe", &byFile)
		if byServer != byFile {
			t.Fatalf("a mixture of two configurations: siaddr %s, file %s", reply.ServerIPAddr, reply.BootFileName)
		}
		return byFile - 1
	}
	asked := 0
	for n := 1; n < reloads; n++ {
		write(policy(n))
		reload(t, daemon)
		for ask() != n {
			asked++
		}
	}
	write("next-server = 5\n")
	reload(t, daemon)
	if _, err := daemon.Output.Await(ctx, "configuration not reloaded"); err != nil {
		t.Error(err)
	}
	if got := ask(); got != reloads-1 {
		t.Errorf("after a broken file the answer comes from configuration %d, want %d", got, reloads-1)
	}
	t.Logf("%d requests were answered from the configuration before", asked)
}
