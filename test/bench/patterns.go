package main

// The patterns: the loads that are measured.

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/pxesidecar/pxesidecar/test/bench/dhcpload"
	"github.com/pxesidecar/pxesidecar/test/bench/tftpload"
)

// pattern is one load. It is measured for every contender that supports it.
type pattern interface {
	// id is the id that -run matches, title the text in the table.
	id() string
	title() string
	// command returns the command that starts a contender, nil if it does not
	// support the pattern, and the port to wait for.
	command(a *arena, c contender) (args []string, port uint16)
	// measure runs the load once.
	measure(ctx context.Context, a *arena, s settings) (sample, error)
}

// settings are how long and how carefully one run measures.
type settings struct {
	time   time.Duration // of patterns that repeat
	limit  time.Duration // of those that end
	verify bool
	seed   uint64
	quiet  float64 // a run in which others used more of a core than that is measured again,
	tries  int     // this often at most
}

// tftpServer returns the address of TFTP requests.
func tftpServer() netip.AddrPort { return netip.AddrPortFrom(serverAddress, 69) }

// tftpPattern is a number of TFTP clients.
type tftpPattern struct {
	name, text    string
	clients       int
	block, window int
	size          int64
	// times is how often each client reads; 0 means repeatedly until the time
	// is over.
	times     int
	behaviour string
	loss      float64
	slow      time.Duration
	// beside is the size of a file that one more client reads repeatedly, with
	// windows of 64.
	beside int64
}

func (p *tftpPattern) id() string    { return "tftp/" + p.name }
func (p *tftpPattern) title() string { return p.text }

// file returns the name of the served file of the pattern's size.
func (p *tftpPattern) file() string { return fileOf(p.size) }

// fileOf returns the name of the served file of a size.
func fileOf(size int64) string { return fmt.Sprintf("%d.bin", size) }

func (p *tftpPattern) command(a *arena, c contender) ([]string, uint16) {
	if c.tftp == nil {
		return nil, 0
	}
	return c.tftp(a, p), tftpServer().Port()
}

func (p *tftpPattern) measure(ctx context.Context, a *arena, s settings) (sample, error) {
	job := p.job(s)
	if s.verify || p.loss > 0 {
		job.Files = a.dir
	}
	for _, size := range []int64{p.size, p.beside} {
		if err := writeFile(filepath.Join(a.dir, fileOf(size)), size); err != nil {
			return sample{}, err
		}
	}
	var result tftpload.Result
	used, err := a.load(ctx, workTFTP, job, &result)
	if err != nil {
		return sample{}, err
	}
	return tftpSample(result, used), nil
}

// job returns the job of the load.
func (p *tftpPattern) job(s settings) tftpload.Job {
	request := tftpload.Request{File: p.file(), Block: p.block, Window: p.window, Size: true}
	job := tftpload.Job{
		Server: tftpServer(), Clients: clients, Limit: s.limit, Loss: p.loss, Seed: s.seed,
		Groups: []tftpload.Group{{Clients: p.clients, Request: request, Behaviour: p.behaviour, Repeat: p.times == 0, Times: p.times, Slow: p.slow}},
	}
	if p.times == 0 {
		job.For = s.time
	}
	if p.beside > 0 {
		request.File, request.Window = fileOf(p.beside), 64
		job.Groups = append(job.Groups, tftpload.Group{Clients: 1, Request: request, Behaviour: p.behaviour, Repeat: true})
	}
	return job
}

// writeFile makes a file of a size, in which no two blocks are equal, unless it
// exists. It makes no empty file.
func writeFile(path string, size int64) error {
	if info, err := os.Stat(path); size == 0 || err == nil && info.Size() == size {
		return nil
	}
	content := make([]byte, size)
	state := uint64(size) | 1
	for i := range content {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		content[i] = byte(state >> 32)
	}
	return os.WriteFile(path, content, 0o644)
}

// dhcpPattern is a number of DHCP clients.
type dhcpPattern struct {
	name, text string
	load       dhcpload.Job
}

func (p *dhcpPattern) id() string    { return "dhcp/" + p.name }
func (p *dhcpPattern) title() string { return p.text }

func (p *dhcpPattern) command(a *arena, c contender) ([]string, uint16) {
	if c.dhcp == nil {
		return nil, 0
	}
	if c.udp67 {
		return c.dhcp(a), 67
	}
	return c.dhcp(a), 0
}

func (p *dhcpPattern) measure(ctx context.Context, a *arena, s settings) (sample, error) {
	job := p.load
	job.Interface, job.For = wire, s.time
	if job.Rate > 0 {
		job.For = max(s.time, minPaced) // so that the processor time is significant
	}
	var result dhcpload.Result
	used, err := a.load(ctx, workDHCP, job, &result)
	if err != nil {
		return sample{}, err
	}
	return dhcpSample(result, used), nil
}

// minPaced is the minimum duration of a pattern at a fixed rate.
const minPaced = 3 * time.Second

const (
	kib = 1 << 10
	mib = 1 << 20
)

// The ids of patterns that goals refer to.
const (
	idSingle        = "tftp/1-lockstep"
	idFew8          = "tftp/16-window8"
	idFew64         = "tftp/16-window64"
	idMany1432      = "tftp/128-lockstep1432"
	idMany512       = "tftp/128-lockstep512"
	idRackWindow    = "tftp/1000-window4"
	idRackLockstep  = "tftp/1000-lockstep"
	idAlone         = "tftp/roms-alone"
	idBeside        = "tftp/roms-beside-500MiB"
	idSlow          = "tftp/slow-client"
	idOffers        = "dhcp/64-in-flight"
	idBurst         = "dhcp/burst-1000"
	idBigBurst      = "dhcp/burst-5000"
	idBusy          = "dhcp/busy-segment"
	idBusyProcessor = "dhcp/busy-segment-500"
)

// allPatterns returns the patterns of the table, in its order.
func allPatterns() []pattern {
	return []pattern{
		&tftpPattern{name: "1-window8", text: "1 client, 1468 bytes, window 8, 64 MiB", clients: 1, block: 1468, window: 8, size: 64 * mib, behaviour: "plain"},
		&tftpPattern{name: "1-window64", text: "1 client, 1468 bytes, window 64, 64 MiB", clients: 1, block: 1468, window: 64, size: 64 * mib, behaviour: "plain"},
		&tftpPattern{name: "1-lockstep", text: "1 client, lock-step 1432, 1 MiB", clients: 1, block: 1432, window: 1, size: mib, behaviour: "ipxe"},
		&tftpPattern{name: "16-window8", text: "16 clients, window 8, 1 MiB", clients: 16, block: 1468, window: 8, size: mib, behaviour: "plain"},
		&tftpPattern{name: "16-window64", text: "16 clients, window 64, 64 MiB", clients: 16, block: 1468, window: 64, size: 64 * mib, behaviour: "plain"},
		&tftpPattern{name: "128-lockstep1432", text: "128 clients, lock-step 1432, 1 MiB", clients: 128, block: 1432, window: 1, size: mib, behaviour: "ipxe"},
		&tftpPattern{name: "128-lockstep512", text: "128 clients, lock-step 512, 100 KiB", clients: 128, block: 512, window: 1, size: 100 * kib, behaviour: "ipxe"},
		&tftpPattern{name: "1000-window4", text: "1,000 clients at once, window 4, 1 MiB", clients: 1000, block: 1468, window: 4, size: mib, times: 1, behaviour: "plain"},
		&tftpPattern{name: "1000-lockstep", text: "1,000 clients at once, lock-step 1432, 1 MiB", clients: 1000, block: 1432, window: 1, size: mib, times: 1, behaviour: "plain"},
		lossPattern(1), lossPattern(5), lossPattern(10),
		&tftpPattern{name: "loss1-window4", text: "1 % loss, 16 clients, window 4, 1 MiB", clients: 16, block: 1468, window: 4, size: mib, times: 4, behaviour: "edk2", loss: 0.01},
		&tftpPattern{name: "slow-client", text: "16 slow clients, 100 ms an ACK, window 4, 100 KiB", clients: 16, block: 1468, window: 4, size: 100 * kib, times: 1, behaviour: "edk2", slow: 100 * time.Millisecond},
		&tftpPattern{name: "roms-alone", text: "100 clients read ROMs, window 4, 1 MiB", clients: 100, block: 1468, window: 4, size: mib, behaviour: "plain"},
		&tftpPattern{name: "roms-beside-500MiB", text: "the same beside one client, window 64, 500 MiB", clients: 100, block: 1468, window: 4, size: mib, behaviour: "plain", beside: 500 * mib},
		&dhcpPattern{"64-in-flight", "OFFERs per second, 64 in flight", dhcpload.Job{InFlight: 64}},
		&dhcpPattern{"one-at-a-time", "one at a time", dhcpload.Job{InFlight: 1}},
		&dhcpPattern{"burst-1000", "burst of 1,000 DISCOVERs", dhcpload.Job{Burst: 1000, Bursts: 3}},
		&dhcpPattern{"burst-5000", "burst of 5,000 DISCOVERs", dhcpload.Job{Burst: 5000, Bursts: 2}},
		&dhcpPattern{"busy-segment", "nine ordinary packets beside each DISCOVER", dhcpload.Job{InFlight: 64, Ordinary: 9}},
		&dhcpPattern{"busy-segment-500", "the same at 500 DISCOVERs a second", dhcpload.Job{Rate: 500, Ordinary: 9}},
	}
}

// slow are the patterns that a quick run omits, because peers need all of the
// time limit.
var slow = []string{"tftp/loss5", "tftp/loss10", "tftp/loss1-window4", idSlow}

// lossPattern returns a pattern that loses this many packets of a hundred.
func lossPattern(percent int) *tftpPattern {
	return &tftpPattern{
		name: fmt.Sprintf("loss%d", percent), text: fmt.Sprintf("%d %% loss, 16 clients, lock-step 1432, 100 KiB", percent),
		clients: 16, block: 1432, window: 1, size: 100 * kib, times: 4, behaviour: "ipxe", loss: float64(percent) / 100,
	}
}

// curveClients are the numbers of clients in the plot.
var curveClients = []int{1, 4, 16, 64, 128, 250, 500, 1000, 2000}

// curvePatterns returns the patterns of the plot.
func curvePatterns() []pattern {
	var all []pattern
	for _, n := range curveClients {
		all = append(all,
			&tftpPattern{name: fmt.Sprintf("curve-lockstep-%d", n), text: fmt.Sprintf("%d clients, lock-step 1432", n), clients: n, block: 1432, window: 1, size: mib, behaviour: "plain"},
			&tftpPattern{name: fmt.Sprintf("curve-window4-%d", n), text: fmt.Sprintf("%d clients, window 4", n), clients: n, block: 1468, window: 4, size: mib, behaviour: "plain"})
	}
	return all
}
