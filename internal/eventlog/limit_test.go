package eventlog

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
	"github.com/pxesidecar/pxesidecar/proxydhcp/server"
	"github.com/pxesidecar/pxesidecar/tftp"
)

// machine returns the client of that number.
func machine(i int) proxydhcp.Client {
	return proxydhcp.Client{Hardware: proxydhcp.HardwareAddr{Type: 1, Len: 6, Bytes: [16]byte{0x52, 0x54, 0, byte(i >> 16), byte(i >> 8), byte(i)}}}
}

// begin is when the tests of limits begin.
var begin = time.Unix(1_800_000_000, 0)

// TestExact sends events of all kinds from few and many machines, with pauses,
// and checks that each is in the lines or counted as left out, and that what is
// kept is bounded.
func TestExact(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		m := newLimiter()
		now := begin
		var sent, told [kindsEnd]int
		tell := func(lines []written) {
			for _, w := range lines {
				k := w.kind
				if k == linesLeftOut {
					k = w.of
				} else {
					told[k] += w.times
				}
				told[k] += w.suppressed
			}
		}
		clients := []int{1, 10, 5000}[seed%3]
		for range 20_000 {
			k := kind(random.IntN(int(linesLeftOut)))
			sent[k]++
			tell(m.add(nil, &line{kind: k, client: machine(random.IntN(clients)), file: string(rune('a' + random.IntN(3)))}, now))
			switch random.IntN(300) {
			case 0:
				now = now.Add(time.Duration(random.IntN(2000)) * time.Millisecond)
			case 1:
				tell(m.tick(nil, now))
			}
			now = now.Add(time.Duration(random.IntN(1000)) * time.Microsecond)
		}
		if n := m.machines.recency.Len(); n > maxSources || n != len(m.machines.byKey) {
			t.Errorf("seed %d: %d sources, %d keys", seed, n, len(m.machines.byKey))
		}
		tell(m.end(nil, now))
		if diff := cmp.Diff(sent, told); diff != "" {
			t.Errorf("seed %d (-sent +told):\n%s", seed, diff)
		}
		if m.isWaiting() {
			t.Errorf("seed %d: something is left at the end", seed)
		}
	}
}

// TestFlood has strangers send as many requests as they like, for a minute. The
// lines are bounded, and neither warnings nor failures of our own are left out.
func TestFlood(t *testing.T) {
	m := newLimiter()
	now := begin
	lines := map[kind]int{}
	count := func(all []written) {
		for _, w := range all {
			lines[w.kind]++
		}
	}
	for i := range 60_000 {
		now = now.Add(time.Millisecond)
		count(m.add(nil, &line{kind: offered, client: machine(i)}, now))
		count(m.add(nil, &line{kind: notFound, ip: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), file: "x"}, now))
		if i%10_000 == 5000 {
			count(m.add(nil, &line{kind: cannotAnswer, client: machine(1 << 20), reason: fmt.Sprint(i)}, now))
			count(m.add(nil, &line{kind: networkFault, err: syscall.ENETDOWN}, now))
		}
		if i%250 == 0 {
			count(m.tick(nil, now))
		}
	}
	want := hallBurst + 60*int(linesPerSecond)
	for _, k := range []kind{offered, notFound} {
		if n := lines[k]; n > want || n < want-50 {
			t.Errorf("%d lines %q, want about %d", n, k.row().message, want)
		}
	}
	if lines[cannotAnswer] != 6 || lines[networkFault] != 6 {
		t.Errorf("%d warnings and %d errors, want 6 each", lines[cannotAnswer], lines[networkFault])
	}
}

// TestOwnFailures checks that failures of our own are folded by what causes
// them, that others do not hide behind them, and that they go on to be written.
func TestOwnFailures(t *testing.T) {
	m := newLimiter()
	now := begin
	var got []string
	note := func(lines []written) {
		for _, w := range lines {
			got = append(got, fmt.Sprintf("%v %v", w.err, w.times))
		}
	}
	for i := range 11_000 {
		now = now.Add(time.Millisecond)
		to := fmt.Sprintf("write 10.0.%d.%d", i>>8, i&255)
		note(m.add(nil, &line{kind: networkFault, err: &os.PathError{Op: to, Err: syscall.EHOSTUNREACH}}, now))
		if i == 500 {
			note(m.add(nil, &line{kind: networkFault, err: &os.PathError{Op: "read", Err: syscall.EIO}}, now))
			note(m.add(nil, &line{kind: unreadable, client: machine(1), err: errors.New("changed")}, now))
		}
	}
	note(m.tick(nil, now.Add(time.Second)))
	want := []string{
		"write 10.0.0.0 : no route to host 1", "read : input/output error 1", "changed 1",
		"write 10.0.39.17 : no route to host 10001", "write 10.0.42.247 : no route to host 998",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// play is what a machine does in a second, and the log of it.
func play(t *testing.T, act func(*Log)) []string {
	t.Helper()
	var b bytes.Buffer
	synctest.Test(t, func(*testing.T) {
		l := New(slog.New(slog.NewTextHandler(&b, nil)))
		act(l)
		time.Sleep(2 * time.Second) // nobody closes it: silence is enough
		synctest.Wait()
	})
	text := regexp.MustCompile(`(?m)^time=\S+ level=`).ReplaceAllString(b.String(), "")
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

// TestNamesNotFound checks that a machine's search for a file is one line, with
// the last name, and that it stands where the machine goes on.
func TestNamesNotFound(t *testing.T) {
	client := netip.MustParseAddrPort("192.0.2.50:1024")
	got := play(t, func(l *Log) {
		ask := func(n int) {
			for i := range n {
				time.Sleep(3 * time.Millisecond)
				l.tftpRefused(tftp.Refusal{Client: client, Asked: fmt.Sprintf("name%d", i), Reason: tftp.NotFound})
			}
		}
		ask(13)
		l.tftpFinished(tftp.Transfer{Client: client, File: "found", Size: 3, Result: tftp.Completed})
		ask(1)
	})
	want := []string{
		`INFO msg="boot file not found" ip=192.0.2.50 file=name12 reason=not-found times=13 within=36ms`,
		`INFO msg=transferred ip=192.0.2.50 file=found bytes=3 duration=0s`,
		`INFO msg="boot file not found" ip=192.0.2.50 file=name0 reason=not-found`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestRepeats checks that what a machine repeats is written once, and then
// counted when it has been silent for a second.
func TestRepeats(t *testing.T) {
	const who = "INFO msg=offered interface=eth0 mac=52:54:00:00:00:01 arch=bios client=\"iPXE 1.0.0\" rule=upgrade unmet=\"iPXE reports version 1.0.0, wanted >=2.0.0\" file=undionly.kpxe"
	got := play(t, func(l *Log) {
		for range 12 {
			l.request(someResult())
			time.Sleep(100 * time.Millisecond)
		}
	})
	if diff := cmp.Diff([]string{who, who + " times=11 within=1s"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestLeftOut checks that lines that are left out are counted in the next line
// of their kind, and in a line of their own after a second of silence.
func TestLeftOut(t *testing.T) {
	got := play(t, func(l *Log) {
		for i := range 130 {
			l.error(server.Error{Err: syscall.EIO})
			l.tftpRefused(tftp.Refusal{Client: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 9), Asked: "x", Reason: tftp.Denied})
		}
		time.Sleep(100 * time.Millisecond) // two more may be written
		l.tftpRefused(tftp.Refusal{Client: netip.MustParseAddrPort("10.1.0.1:9"), Asked: "y", Reason: tftp.Denied})
		for i := range 9 {
			l.tftpRefused(tftp.Refusal{Client: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 2, 0, byte(i)}), 9), Asked: "x", Reason: tftp.Denied})
		}
	})
	want := []string{
		`INFO msg="transfer refused" ip=10.1.0.1 file=y reason=denied suppressed=30`,
		`INFO msg="transfer refused" ip=10.2.0.0 file=x reason=denied`,
		`ERROR msg="network fault" error="input/output error" times=129 within=0s`,
		`INFO msg="lines were left out" of="transfer refused" suppressed=8`,
	}
	rest := got[101:]
	if len(got) != 101+len(want) {
		t.Fatalf("%d lines, the end of them\n%s", len(got), strings.Join(rest, "\n"))
	}
	for _, w := range want {
		if !strings.Contains(strings.Join(rest, "\n")+"\n", w+"\n") {
			t.Errorf("%s is not among\n%s", w, strings.Join(rest, "\n"))
		}
	}
}

// BenchmarkOffer measures what it costs to log an OFFER: of machines that boot,
// of one that repeats itself, and of strangers without number.
func BenchmarkOffer(b *testing.B) {
	for _, bb := range []struct {
		name   string
		client func(i int) proxydhcp.Client
	}{
		{"repeated", func(int) proxydhcp.Client { return machine(1) }},
		{"flood", machine},
	} {
		b.Run(bb.name, func(b *testing.B) {
			l := New(slog.New(slog.NewTextHandler(discard{}, nil)))
			res := someResult()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				res.Client.Hardware = bb.client(i).Hardware
				l.request(res)
			}
		})
	}
}

// discard reads a log and forgets it.
type discard struct{}

// Write forgets p.
func (discard) Write(p []byte) (int, error) { return len(p), nil }
