package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestLogNobodyReads serves with a log that nobody reads, until nothing more
// goes into its pipe. Clients are answered all the same, and SIGTERM ends it.
func TestLogNobodyReads(t *testing.T) {
	d := startDaemon(t)
	fill(t, d.log)
	d.request(t, 600)
	d.stop(t)
}

// TestLogReaderGone serves after the reader of the log has gone away.
func TestLogReaderGone(t *testing.T) {
	d := startDaemon(t)
	d.log.Close()
	d.request(t, 600)
	d.stop(t)
}

// daemonProcess is the program in a process of its own. It serves TFTP alone.
type daemonProcess struct {
	*exec.Cmd
	address string
	log     *os.File // the end of its log's pipe that is read
}

// startDaemon starts the program and reads its log until it is ready.
func startDaemon(t *testing.T) *daemonProcess {
	t.Helper()
	free, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &daemonProcess{address: free.LocalAddr().String()}
	free.Close()
	log, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	defer out.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	d.log = log
	d.Cmd = exec.Command(self, "serve", "--no-dhcp", "--http", "off", "--tftp", d.address, "--root", t.TempDir(),
		"--next-server", "192.0.2.99", "--rom", "x64=ipxe.efi")
	d.Args[0] = programName                                 // TestMain makes it that
	d.Env = append(d.Environ(), "GORACE=atexit_sleep_ms=0") // the race detector would sleep a second at its end
	d.Stderr = out
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Process.Kill() })
	for lines := bufio.NewReader(log); ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if strings.Contains(line, "msg=ready") {
			return d
		}
	}
}

// fill fills a pipe, so that the next who writes to it waits.
func fill(t *testing.T, pipe *os.File) {
	t.Helper()
	fd, err := syscall.Open(fmt.Sprintf("/proc/self/fd/%d", pipe.Fd()), syscall.O_WRONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	for err == nil {
		_, err = syscall.Write(fd, []byte{'\n'})
	}
	if err != syscall.EAGAIN {
		t.Fatal(err)
	}
}

// request asks for files that are not there, each from an address of its own,
// and checks that each is answered at once.
func (d *daemonProcess) request(t *testing.T, times int) {
	t.Helper()
	to, err := net.ResolveUDPAddr("udp4", d.address)
	if err != nil {
		t.Fatal(err)
	}
	for i := range times {
		conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 1, byte(i/250), byte(1+i%250))})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.WriteTo(fmt.Appendf(nil, "\x00\x01absent%d.efi\x00octet\x00", i), to); err != nil {
			t.Fatal(err)
		}
		conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		answer := make([]byte, 512)
		if _, _, err := conn.ReadFrom(answer); err != nil || answer[1] != 5 {
			t.Fatalf("request %d: % x, %v; want an ERROR", i, answer[:4], err)
		}
		conn.Close()
	}
}

// stop sends SIGTERM and checks that the program ends well, and soon.
func (d *daemonProcess) stop(t *testing.T) {
	t.Helper()
	signalled := time.Now()
	if err := d.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- d.Wait() }()
	select {
	case err := <-ended:
		if took := time.Since(signalled); err != nil || took > logGrace+time.Second {
			t.Errorf("it ended after %v: %v", took, err)
		}
	case <-time.After(10 * time.Second):
		t.Error("SIGTERM does not end it")
	}
}

// TestFatalErrorNobodyReads checks that an error at the start ends the program
// also if nobody reads of it, and is the last line otherwise.
func TestFatalErrorNobodyReads(t *testing.T) {
	taken, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	arguments := []string{programName, "serve", "--no-dhcp", "--http", "off", "--tftp", taken.LocalAddr().String(),
		"--next-server", "192.0.2.99", "--rom", "x64=ipxe.efi"}
	var read strings.Builder
	if code := run(arguments, io.Discard, &read); code != exitError || !strings.HasPrefix(read.String(), programName+": ") || strings.Count(read.String(), "\n") != 1 {
		t.Errorf("exit code %d, and\n%s", code, read.String())
	}
	log, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	defer out.Close()
	fill(t, log)
	start := time.Now()
	if code := run(arguments, io.Discard, out); code != exitError || time.Since(start) > logGrace+time.Second {
		t.Errorf("exit code %d after %v", code, time.Since(start))
	}
}
