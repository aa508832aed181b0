package docs

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// scene is something that happens while the program serves.
type scene struct {
	name  string
	flags string // of serve, besides the interface and the log's level
	act   func(*play)
}

// scenes are what the documents tell, and everything else that makes the
// program log.
var scenes = []scene{
	{"first boot", "--boot-url http://boot.example.com/boot.ipxe", (*play).firstBoot},
	{"UEFI that goes on by autoexec.ipxe", "--boot-url http://boot.example.com/boot.ipxe", (*play).autoexec},
	{"a ROM that does not start", "--root /srv/pxe", (*play).notStarted},
	{"own files", "--root /srv/pxe --segment interface=eth1,deny --vlan id=20,root=/srv/pxe/lab --vlan untagged,66", (*play).ownFiles},
	{"an upgrade that does not help", "--root /srv/pxe --boot-url http://boot.example.com/boot.ipxe --ipxe-version >=2.0.0", (*play).loop},
	{"an upgrade by script that does not help", "--root /srv/pxe --no-dhcp --ipxe-text 2.0.0 --tftp-allow 192.0.2.0/24", (*play).scriptLoop},
	{"firmware that wants another OFFER", "--root /srv/pxe", (*play).otherShape},
	{"port 4011, a menu", "--root /srv/pxe --menu Install=rom --menu Memory=memtest.efi", (*play).menu},
	{"no answer", "--root /srv/pxe --http off --deny-mac 52:54:00:00:00:66", (*play).noAnswer},
	{"too long an answer", "--boot-url http://boot.example.com/" + strings.Repeat("x", 150), (*play).tooLong},
	{"another TFTP server, behind a relay", "--relayed --next-server 192.0.2.99 --rom bios=undionly.kpxe --rom x64=snponly.efi", (*play).relayed},
	{"requests of strangers", "--root /srv/pxe --relayed", (*play).refusedOrigins},
	{"only looking", "--root /srv/pxe --dry-run", (*play).dryRun},
	{"conflicts", "--root /srv/pxe", (*play).conflicts},
	{"a shim", "--root /srv/pxe/signed", (*play).shim},
	{"an address that goes and comes", "--root /srv/pxe --interface eth1 --interface usb0", (*play).addressLost},
	{"a start without any address", "--root /srv/pxe", (*play).startsLate},
	{"TFTP", "--root /srv/pxe --tftp-cache 1", (*play).tftp},
	{"a client that falls silent", "--root /srv/pxe", (*play).silence},
	{"a disk that does not answer", "--root /srv/pxe", (*play).stall},
	{"HTTP", "--root /srv/pxe --http :80", (*play).http},
	{"HTTP's port in use", "--root /srv/pxe", (*play).httpTaken},
	{"reload", "--config changing.toml", (*play).reload},
	{"old ROMs of the distribution", "", (*play).oldROMs},
}

// play is a scene that is being played.
type play struct {
	*machine
	daemon *lab.Program
	client *client
	server *dhcpServer
}

// perform plays a scene and returns what the program logged, without times.
func (s scene) perform(t *testing.T) []string {
	t.Helper()
	l := newLab(t)
	p := &play{machine: newMachine(t, l), client: newClient(t, l), server: newDHCPServer(t, l)}
	p.write("home/changing.toml", "root = \"/srv/pxe\"\n")
	p.write("srv/pxe/broken.ipxe.tmpl", "{{.Nothing}}")
	p.daemon = p.start(append([]string{"pxesidecar", "serve", "--interface", "eth0", "--log-level", "debug"}, strings.Fields(s.flags)...)...)
	if err := ready(bounded(t), p.daemon); err != nil {
		t.Fatal(err)
	}
	s.act(p)
	if err := end(bounded(t), p.daemon); err != nil {
		t.Error(err)
	}
	var lines []string
	for line := range strings.Lines(p.daemon.Output.String()) {
		if _, rest, ok := strings.Cut(strings.TrimRight(line, "\n"), " "); ok && strings.HasPrefix(line, "time=") {
			lines = append(lines, rest)
		} else {
			t.Errorf("%q is no line of a log", line)
		}
	}
	return lines
}

// await waits until a line of the log has all of these pieces.
func (p *play) await(pieces ...string) {
	p.t.Helper()
	if _, err := p.daemon.Output.Await(bounded(p.t), pieces...); err != nil {
		p.t.Fatalf("%v\n%s", err, p.daemon.Output)
	}
}

// lease has the booting machine take its address: its REQUEST is heard.
func (p *play) lease(modifiers ...dhcpv4.Modifier) {
	p.t.Helper()
	p.client.broadcast(message(dhcpv4.MessageTypeRequest, append([]dhcpv4.Modifier{pxe(archBIOS),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.ParseIP(dhcpServerIP))),
		dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(net.ParseIP(bootingIP)))}, modifiers...)...))
	p.await("msg=ignored", "request to another server")
}

// boot has firmware load its ROM.
func (p *play) boot(arch byte, rom string) {
	p.t.Helper()
	p.client.broadcast(firmware(arch))
	p.await("msg=offered", "file="+rom)
	p.lease()
	p.client.curl("--output", "/dev/null", "tftp://"+sidecarIP+"/"+rom)
	p.await("msg=transferred", "file="+rom)
}

// Features of iPXE, by their numbers in option 175.
const (
	featureHTTP  = 19
	featureHTTPS = 20
	featureDNS   = 23
	featureMenu  = 39
)

func (p *play) firstBoot() {
	p.boot(archBIOS, "undionly.kpxe")
	p.client.broadcast(ipxe(archBIOS, [3]byte{2, 0, 0}, featureHTTP, featureHTTPS, featureDNS, featureMenu))
	p.await("msg=offered", "rule=script")
}

func (p *play) autoexec() {
	p.boot(archX64, "snponly.efi")
	p.client.curl("--output", "/dev/null", "tftp://"+sidecarIP+"/autoexec.ipxe")
	p.await(`msg="offered by autoexec.ipxe"`, "rule=script")
}

func (p *play) notStarted() {
	p.boot(archX64, "snponly.efi")
	p.client.broadcast(firmware(archX64))
	p.await(`msg="boot file was loaded, but did not start"`, "file=snponly.efi", "next=ipxe.efi")
	p.boot(archX64, "ipxe.efi")
	p.client.curl("--output", "/dev/null", "tftp://"+sidecarIP+"/autoexec.ipxe")
	p.await(`msg="boot file started, after others had not"`, "file=ipxe.efi")
}

func (p *play) ownFiles() {
	guests, err := p.lab.NewVLAN("guests", 66, netip.MustParsePrefix("10.66.0.0/24"))
	if err != nil {
		p.t.Fatal(err)
	}
	host, err := p.lab.NewHost("guest")
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := host.Join(guests, netip.MustParseAddr("10.66.0.50")); err != nil {
		p.t.Fatal(err)
	}
	if err := host.IP("route", "add", "255.255.255.255/32", "dev", "eth0"); err != nil {
		p.t.Fatal(err)
	}
	guest := &client{p.t, &lab.Client{Host: host, MAC: bootingMAC}}
	guest.broadcast(firmware(archX64))
	p.await("msg=offered", "vlan=66")
}

func (p *play) loop() {
	p.boot(archBIOS, "undionly.kpxe")
	p.client.broadcast(ipxe(archBIOS, [3]byte{1, 0, 0}, featureHTTP))
	p.await("upgrade did not help")
}

func (p *play) scriptLoop() {
	for _, name := range []string{"version_check.ipxe", "version_check/wants-52-54-00-12-34-56/1.0.0.ipxe", "undionly.kpxe", "version_check/wants-52-54-00-12-34-56/1.0.0.ipxe"} {
		p.client.curl("--output", "/dev/null", "tftp://"+sidecarIP+"/"+name)
		p.await("msg=transferred", "file="+name)
	}
	p.await("upgrade by script did not help")
}

func (p *play) otherShape() {
	discover := firmware(archX64)
	p.client.broadcast(discover)
	p.await("msg=offered", "file=snponly.efi")
	p.server.offer(discover)
	time.Sleep(3100 * time.Millisecond) // firmware waits 4 s for offers
	p.client.broadcast(discover)
	p.await("offered in another shape", "shape=")
}

func (p *play) menu() {
	p.client.broadcast(firmware(archX64))
	p.await("msg=offered", "rule=menu")
	const item, layer = 0x80, 0x01 // the second item's type is 0x8001
	p.client.sendTo(p.client.socket(bootingIP, proxyPort), proxyPort,
		message(dhcpv4.MessageTypeRequest, pxe(archX64), dhcpv4.WithClientIP(net.ParseIP(bootingIP)), option(43, 71, 4, item, layer, 0, 0, 255)).ToBytes())
	p.await("msg=acknowledged", "item=Memory")
}

func (p *play) noAnswer() {
	p.client.broadcast(firmware(archARM64))
	p.await("nothing to offer", "no ROM for this architecture")
	p.client.broadcast(firmware(archX64HTTP))
	p.await("nothing to offer", "HTTP boot client, and the boot file has no URL")
	denied, _ := net.ParseMAC("52:54:00:00:00:66")
	p.client.broadcast(firmware(archX64, dhcpv4.WithHwAddr(denied)))
	p.await("msg=ignored", "denied by a rule")
	p.client.sendTo(p.client.socket(bootingIP, proxyPort), proxyPort, message(dhcpv4.MessageTypeRequest).ToBytes())
	p.await("msg=ignored", "not booting from the network")
	p.client.sendTo(p.client.socket(bootingIP, 0), proxyPort, message(dhcpv4.MessageTypeRequest, pxe(archX64)).ToBytes())
	p.await("msg=acknowledged", "file=snponly.efi")
	for range 3 {
		p.client.broadcast(firmware(archARM64))
	}
	p.await("nothing to offer", "times=", "within=")
	for i := range 250 { // more than are logged
		p.client.broadcast(firmware(archARM64, dhcpv4.WithHwAddr(net.HardwareAddr{0x52, 0x54, 0, 1, 0, byte(i)})))
	}
	time.Sleep(300 * time.Millisecond) // a line may be written again, and the rest is not counted yet
	p.client.broadcast(firmware(archARM64, dhcpv4.WithHwAddr(net.HardwareAddr{0x52, 0x54, 0, 1, 1, 0})))
	p.await("msg=\"nothing to offer\"", "suppressed=")
}

func (p *play) tooLong() {
	long := option(82, bytes.Repeat([]byte{1, 120}, 61)...)
	p.client.broadcast(ipxe(archX64, [3]byte{1, 0, 0}, featureHTTP))
	p.await("msg=offered", "rule=script")
	m := ipxe(archX64, [3]byte{1, 0, 0}, featureHTTP)
	long(m)
	option(61, bytes.Repeat([]byte{7}, 200)...)(m)
	p.client.broadcast(m)
	p.await("msg=\"answer failed\"", "error=")
}

func (p *play) relayed() {
	m := firmware(archX64, dhcpv4.WithRelay(net.ParseIP(bootingIP)))
	p.client.sendTo(p.client.socket(bootingIP, serverPort), serverPort, m.ToBytes())
	p.await("msg=offered", "relay="+bootingIP, "next-server=192.0.2.99")
}

// refusedOrigins sends requests that are not answered because of where they
// come from.
func (p *play) refusedOrigins() {
	atServer := p.client.socket(bootingIP, serverPort)
	for relay, reason := range map[string]string{"203.0.113.9": "relay in a network that is not served", "127.0.0.1": "relay address that no relay has"} {
		p.client.sendTo(atServer, serverPort, firmware(archX64, dhcpv4.WithRelay(net.ParseIP(relay))).ToBytes())
		p.await("msg=ignored", reason)
	}
	ask := message(dhcpv4.MessageTypeRequest, pxe(archX64)).ToBytes()
	p.client.sendTo(p.client.socket(bootingIP, 53), proxyPort, ask)
	p.await("msg=ignored", "from a port that no client asks from")
	if _, err := p.outsider(proxyPort).Write(ask); err != nil {
		p.t.Fatal(err)
	}
	p.await("msg=ignored", "client in a network that is not served")
	client := p.client.socket(bootingIP, 0)
	for range 2500 { // more than one address may ask at once
		p.client.sendTo(client, proxyPort, ask)
	}
	p.await("msg=ignored", "too many requests from there")
}

func (p *play) dryRun() {
	p.client.broadcast(firmware(archX64))
	p.await("would offer", "file=snponly.efi")
}

func (p *play) conflicts() {
	ours := dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.ParseIP(sidecarIP)))
	class := option(60, []byte("PXEClient")...)
	devices := option(43, 0xf1, 4, 10, 213, 0, 9)
	proxy := func(file string) []dhcpv4.Modifier {
		return []dhcpv4.Modifier{class, dhcpv4.WithYourIP(net.IPv4zero), dhcpv4.WithServerIP(net.ParseIP(dhcpServerIP)), func(m *dhcpv4.DHCPv4) { m.BootFileName = file }}
	}
	for _, c := range []struct {
		conflict string
		sends    []dhcpv4.Modifier
	}{
		{"other next-server", []dhcpv4.Modifier{dhcpv4.WithServerIP(net.ParseIP(dhcpServerIP))}},
		{"other boot file", []dhcpv4.Modifier{func(m *dhcpv4.DHCPv4) { m.BootFileName = "pxelinux.0" }}},
		{"option 67 without a zero", []dhcpv4.Modifier{option(67, []byte("pxelinux.0")...)}},
		{"option 60 PXEClient", []dhcpv4.Modifier{class}},
		{"option 60 PXEClient on this host", []dhcpv4.Modifier{class, ours}},
		{"option 43 is not for PXE", []dhcpv4.Modifier{class, devices}},
		{"option 43 for everybody", []dhcpv4.Modifier{devices}},
		{"another boot service", []dhcpv4.Modifier{class, option(43, 6, 1, 3, 10, 4, 0, 'P', 'X', 'E', 255)}},
		{"proxies forbidden", []dhcpv4.Modifier{option(iPXEFeatures, 176, 1, 1)}},
		{"another proxy with our answer", proxy("snponly.efi")},
		{"another proxy", proxy("pxelinux.0")},
	} {
		discover := firmware(archX64)
		p.client.broadcast(discover)
		p.await("msg=offered")
		time.Sleep(50 * time.Millisecond) // the last of them has been heard
		p.server.offer(discover, c.sends...)
		p.await(`conflict="` + c.conflict + `"`)
	}
}

// shim has the DHCP server name a boot file in the header, where a shim looks.
func (p *play) shim() {
	discover := firmware(archX64)
	p.client.broadcast(discover)
	p.await("msg=offered", "file=snponly-shim.efi")
	time.Sleep(50 * time.Millisecond) // it has been heard
	p.server.offer(discover, func(m *dhcpv4.DHCPv4) { m.BootFileName = "pxelinux.0" })
	p.await(`conflict="other boot file for a shim"`)
}

func (p *play) addressLost() {
	p.ip("address flush dev eth0")
	p.await(`msg="interface not served"`, "interface=eth0", "no IPv4 address")
	p.client.broadcast(firmware(archX64))
	p.await("cannot answer", "interface=eth0")
	p.ip("address add %s/24 broadcast + dev eth0", sidecarIP)
	p.await(`msg="interface served"`, "interface=eth0")
}

// startsLate starts the program before any interface has an address.
func (p *play) startsLate() {
	if err := end(bounded(p.t), p.daemon); err != nil {
		p.t.Fatal(err)
	}
	for _, name := range []string{"eth0", "eth1", "Ethernet"} {
		p.ip("address flush dev %s", name)
	}
	p.daemon = p.start("pxesidecar", "serve", "--root", "/srv/pxe")
	p.await(`msg="waiting for an interface to serve"`, "no interface to serve: none is up with an IPv4 address")
	p.ip("address add %s/24 broadcast + dev eth0", sidecarIP)
	p.await(`msg="answering network boot"`, "interface=eth0")
	p.await("msg=ready")
}

func (p *play) tftp() {
	c := p.client
	c.sendTo(c.socket(bootingIP, 0), requestPort, lab.ReadRequest("absent.efi"))
	p.await("boot file not found", "file=absent.efi")
	c.sendTo(c.socket(bootingIP, 0), requestPort, lab.ReadRequest("revocations.efi"))
	p.await("level=DEBUG", "boot file not found", "file=revocations.efi")
	c.sendTo(c.socket(bootingIP, 0), requestPort, lab.ReadRequest("../secret"))
	p.await("transfer refused", "reason=denied")
	write := lab.ReadRequest("snponly.efi")
	write[1] = 2
	c.sendTo(c.socket(bootingIP, 0), requestPort, write)
	p.await("level=DEBUG", "transfer refused", "reason=illegal")
	p.write("srv/pxe/large.img", strings.Repeat("x", 8<<20)) // more than the cache takes
	asText := bytes.ReplaceAll(lab.ReadRequest("large.img"), []byte("octet"), []byte("netascii"))
	c.sendTo(c.socket(bootingIP, 0), requestPort, asText)
	p.await("level=ERROR", "transfer refused", "reason=unreadable")
	outsider := p.outsider(requestPort)
	if _, err := outsider.Write(lab.ReadRequest("snponly.efi")); err != nil {
		p.t.Fatal(err)
	}
	p.await("transfer refused", "reason=not-allowed", "hint=")

	c.answered("snponly.efi", []string{"tsize", "0"}, []byte("\x00\x05\x00\x08User aborted\x00"))
	p.await("size probed", "file=snponly.efi")
	c.answered("snponly.efi", nil, []byte("\x00\x05\x00\x04cancelled\x00"))
	p.await("transfer ended early", "reason=aborted", "error=")
	c.answered("snponly.efi", nil, lab.ReadRequest("ipxe.efi"))
	p.await("transfer replaced", "reason=replaced")
	p.repeated()
	p.failing()
	for range 3 {
		c.sendTo(c.socket(bootingIP, 0), requestPort, lab.ReadRequest("absent.efi"))
	}
	p.await("boot file not found", "times=", "within=")
	for i := range 90 { // more than are logged
		c.sendTo(c.socket(bootingIP, 0), requestPort, lab.ReadRequest(fmt.Sprintf("../%d", i)))
	}
	time.Sleep(300 * time.Millisecond) // and one more may be
	c.sendTo(c.socket(bootingIP, 0), requestPort, lab.ReadRequest("../last"))
	p.await("transfer refused", "suppressed=")
}

// stall asks for a file that cannot be opened for a while, because another
// process has a lease on it (fcntl, F_SETLEASE).
func (p *play) stall() {
	p.write("srv/pxe/lab/stalled.img", "text")
	file, err := os.OpenFile(p.path("srv/pxe/lab/stalled.img"), os.O_RDWR, 0)
	if err != nil {
		p.t.Fatal(err)
	}
	defer file.Close()
	if _, err := unix.FcntlInt(file.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		p.t.Fatal(err)
	}
	for range 12 { // more than there are workers
		p.client.sendTo(p.client.socket(bootingIP, 0), requestPort, lab.ReadRequest("lab/stalled.img"))
	}
	p.client.curl("--output", "/dev/null", "tftp://"+sidecarIP+"/snponly.efi")
	p.await("a disk does not answer", "file=lab/stalled.img", "duration=1")
}

// repeated reads a file of one block, which is sent more than once because its
// client is slow.
func (p *play) repeated() {
	p.t.Helper()
	conn := p.client.socket(bootingIP, 0)
	p.client.sendTo(conn, requestPort, lab.ReadRequest("snponly.efi"))
	conn.SetReadDeadline(time.Now().Add(limit))
	var from netip.AddrPort
	for range 2 {
		var err error
		if _, from, err = conn.ReadFromUDPAddrPort(make([]byte, 2048)); err != nil {
			p.t.Fatal(err)
		}
	}
	p.client.sendTo(conn, from.Port(), []byte{0, 4, 0, 1})
	p.await("msg=transferred", "resent=")
}

// outsider is a socket in another network, whose packets to the sidecar are
// sent from an address that this does not serve.
func (p *play) outsider(port int) *net.UDPConn {
	p.t.Helper()
	if err := p.client.IP("address", "add", "203.0.113.9/32", "dev", "eth0"); err != nil {
		p.t.Fatal(err)
	}
	var conn *net.UDPConn
	err := p.client.Do(func() (err error) {
		conn, err = net.DialUDP("udp4", &net.UDPAddr{IP: net.ParseIP("203.0.113.9")}, &net.UDPAddr{IP: net.ParseIP(sidecarIP), Port: port})
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { conn.Close() })
	return conn
}

// answered asks for a file, waits for the first packet of the transfer, and
// answers it: from the same port, to the port that it came from, or to the port
// of requests if the answer is one.
func (c *client) answered(file string, options []string, answer []byte) *net.UDPConn {
	c.t.Helper()
	conn := c.socket(bootingIP, 0)
	c.sendTo(conn, requestPort, lab.ReadRequest(file, options...))
	conn.SetReadDeadline(time.Now().Add(limit))
	n, from, err := conn.ReadFromUDPAddrPort(make([]byte, 2048))
	if err != nil {
		c.t.Fatalf("%s: %v after %d bytes", file, err, n)
	}
	port := from.Port()
	if answer[1] == 1 {
		port = requestPort
	}
	c.sendTo(conn, port, answer)
	return conn
}

// failing reads a file that is too large for the cache, and that is cut short
// meanwhile.
func (p *play) failing() {
	p.t.Helper()
	conn := p.client.answered("large.img", []string{"blksize", "1024"}, []byte{0, 4, 0, 0})
	if err := os.Truncate(p.path("srv/pxe/large.img"), 4096); err != nil {
		p.t.Fatal(err)
	}
	buffer := make([]byte, 2048)
	for {
		conn.SetReadDeadline(time.Now().Add(limit))
		n, from, err := conn.ReadFromUDPAddrPort(buffer)
		if err != nil {
			p.t.Fatal(err)
		}
		if n < 4 || buffer[1] != 3 {
			break // an ERROR
		}
		p.client.sendTo(conn, from.Port(), []byte{0, 4, buffer[2], buffer[3]})
	}
	p.await("transfer failed", "file=large.img")
}

func (p *play) silence() {
	conn := p.client.socket(bootingIP, 0)
	p.client.sendTo(conn, requestPort, lab.ReadRequest("snponly.efi", "timeout", "1"))
	p.await("transfer ended early", "reason=timed-out")
}

func (p *play) http() {
	url := "http://" + sidecarIP + "/"
	for _, tt := range []struct{ logs, arguments string }{
		{"msg=transferred", "--output /dev/null " + url + "snponly.efi"},
		{"transferred in part", "--output /dev/null --range 0-9 " + url + "snponly.efi"},
		{"size probed", "--head " + url + "snponly.efi"},
		{"msg=\"boot file not found\" ip=" + bootingIP + " file=/absent.efi", url + "absent.efi"},
		{"msg=\"boot file not found\" ip=" + bootingIP + " file=/revocations.efi", url + "revocations.efi"},
		{"transfer refused", "--data x " + url + "snponly.efi"},
		{"boot file cannot be made", url + "broken.ipxe"},
	} {
		p.client.curl(strings.Fields(tt.arguments)...)
		p.await(tt.logs)
	}
	p.outsider(requestPort)
	p.ip("route add 203.0.113.9/32 dev eth0")
	p.client.curl("--interface", "203.0.113.9", url+"snponly.efi")
	p.await("transfer refused", "status=403", "reason=not-allowed", "hint=")
	p.client.curl(slices.Repeat([]string{url + "absent.efi"}, 3)...)
	p.await("boot file not found", "times=", "within=")
	many := []string{"--data", "x"}
	for i := range 150 { // more than are logged
		many = append(many, fmt.Sprintf("%s%d.efi", url, i))
	}
	p.client.curl(many...)
	time.Sleep(300 * time.Millisecond) // a line may be written again, and the rest is not counted yet
	p.client.curl("--data", "x", url+"last.efi")
	p.await("transfer refused", "status=405", "suppressed=")
}

// httpTaken starts a second program, which serves HTTP alone, and finds its
// port in use.
func (p *play) httpTaken() {
	first := p.daemon
	p.daemon = p.start("pxesidecar", "serve", "--no-dhcp", "--tftp", "off", "--root", "/srv/pxe")
	if err := ready(bounded(p.t), p.daemon); err != nil {
		p.t.Fatal(err)
	}
	p.await("HTTP is off, its port is in use", "error=", "hint=")
	if err := end(bounded(p.t), first); err != nil {
		p.t.Error(err)
	}
}

// oldROMs starts a program on a host whose distribution has an old iPXE.
func (p *play) oldROMs() {
	p.write("ipxe/snponly.efi", strings.Replace(efiROM(), "\xeb\x03\x02", "\xeb\x03\x01", 1))
	if err := p.daemon.Signal(syscall.SIGHUP); err != nil {
		p.t.Fatal(err)
	}
	p.await("a newer iPXE is released", "release=")
}

func (p *play) reload() {
	for _, tt := range []struct{ text, logs string }{
		{"boot-url =\n", "configuration not reloaded"},
		{"root = \"/srv/pxe\"\nhttp = \":80\"\n", "these settings take effect at a restart only"},
	} {
		p.write("home/changing.toml", tt.text)
		if err := p.daemon.Signal(syscall.SIGHUP); err != nil {
			p.t.Fatal(err)
		}
		p.await(tt.logs)
	}
	p.await("configuration reloaded")
}
