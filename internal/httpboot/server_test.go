package httpboot

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"
)

// TestSlowClient checks that a client that takes a little now and then gets
// everything, however long that is.
func TestSlowClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := net.Pipe()
		defer client.Close()
		const size = 1000
		started := time.Now()
		var got bytes.Buffer
		go func() {
			for got.Len() < size {
				time.Sleep(stallLimit - 1)
				io.CopyN(&got, client, 10)
			}
		}()
		sent := bytes.Repeat([]byte("0123456789"), size/10)
		if n, err := (conn{server, stallLimit}).Write(sent); n != size || err != nil {
			t.Fatalf("%d bytes, %v", n, err)
		}
		synctest.Wait()
		if !bytes.Equal(got.Bytes(), sent) || time.Since(started) < 90*stallLimit {
			t.Errorf("read %d bytes in %s", got.Len(), time.Since(started))
		}
	})
}

// TestStalledClient checks that a client that takes nothing more is given up.
func TestStalledClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := net.Pipe()
		defer client.Close()
		started := time.Now()
		go io.CopyN(io.Discard, client, 10)
		n, err := conn{server, stallLimit}.Write(make([]byte, 1000))
		if n != 10 || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(started) != 2*stallLimit {
			t.Errorf("%d bytes, %v after %s; want 10, and a timeout after %s", n, err, time.Since(started), 2*stallLimit)
		}
	})
}

// serveOn serves a tree over loopback by a server with a change, and returns
// its address.
func serveOn(t *testing.T, change func(*http.Server)) string {
	t.Helper()
	l, err := Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	tree := fstest.MapFS{"a.efi": {Data: []byte("0123456789")}, "big.img": {Data: make([]byte, 8<<20)}}
	s := NewServer(handler(tree, func(Access) {}))
	change(s)
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return l.Addr().String()
}

// get asks for a file on an open connection, and reads the answer.
func get(c net.Conn, path string) (string, error) {
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: test\r\n\r\n", path); err != nil {
		return "", err
	}
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(answer.Body)
	return string(body), err
}

// dial connects to a server.
func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp4", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// await waits until the server has noted what its client knows already.
func (c *connections) await(t *testing.T, want int, count func() int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		c.mu.Lock()
		got := count()
		c.mu.Unlock()
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d, want %d", got, want)
		}
	}
}

// TestConnections checks who has to go if one client, or all of them, have too
// many connections: the one that has waited longest; never one that is served.
func TestConnections(t *testing.T) {
	for name, limits := range map[string]*connections{
		"of a client": {max: 100, maxOfClient: 3},
		"in all":      {max: 3, maxOfClient: 100},
	} {
		t.Run(name, func(t *testing.T) {
			address := serveOn(t, func(s *http.Server) { s.ConnState = limits.changed })
			busy := dial(t, address)
			if _, err := fmt.Fprintf(busy, "GET /big.img HTTP/1.1\r\nHost: test\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			answer, err := http.ReadResponse(bufio.NewReader(busy), nil) // the rest does not fit into the buffers
			if err != nil {
				t.Fatal(err)
			}
			var conns []net.Conn
			for i := range 3 {
				conns = append(conns, dial(t, address))
				if body, err := get(conns[i], "/a.efi"); body != "0123456789" || err != nil {
					t.Fatalf("%q, %v", body, err)
				}
				limits.await(t, min(i, 1)+1, func() int { return limits.waiting.Len() })
			}
			older, newer := conns[0], conns[1]
			if _, err := get(older, "/a.efi"); err == nil {
				t.Error("the connection that has waited longest is still open")
			}
			if body, err := get(newer, "/a.efi"); body != "0123456789" || err != nil {
				t.Errorf("another one: %q, %v", body, err)
			}
			if n, err := io.Copy(io.Discard, answer.Body); n != 8<<20 || err != nil {
				t.Errorf("the one that was served: %d bytes, %v", n, err)
			}
			limits.mu.Lock()
			defer limits.mu.Unlock()
			if len(limits.open) > 3 || limits.count[netip.MustParseAddr("127.0.0.1")] != len(limits.open) || limits.waiting.Len() > len(limits.open) {
				t.Errorf("%d connections, %d of the client, %d wait", len(limits.open), limits.count[netip.MustParseAddr("127.0.0.1")], limits.waiting.Len())
			}
		})
	}
}

// TestAllBusy checks that a new connection is refused if all others are served,
// and that the table is empty when all have gone.
func TestAllBusy(t *testing.T) {
	limits := &connections{max: 1, maxOfClient: 1}
	address := serveOn(t, func(s *http.Server) { s.ConnState = limits.changed })
	busy := dial(t, address)
	fmt.Fprintf(busy, "GET /big.img HTTP/1.1\r\nHost: test\r\n\r\n")
	if _, err := http.ReadResponse(bufio.NewReader(busy), nil); err != nil {
		t.Fatal(err)
	}
	if body, err := get(dial(t, address), "/a.efi"); err == nil {
		t.Errorf("a connection too many gets %q", body)
	}
	busy.Close()
	limits.await(t, 0, func() int { return len(limits.open) + len(limits.count) + limits.waiting.Len() })
	if body, err := get(dial(t, address), "/a.efi"); body != "0123456789" || err != nil {
		t.Errorf("afterwards: %q, %v", body, err)
	}
}

// TestRequestLimits checks that a request that does not arrive ends the
// connection, and that a download may take longer than any of these limits.
func TestRequestLimits(t *testing.T) {
	const limit = 100 * time.Millisecond
	address := serveOn(t, func(s *http.Server) {
		if s.ReadTimeout != requestLimit || s.ReadHeaderTimeout != headerLimit || s.IdleTimeout != idleLimit {
			t.Errorf("limits %s, %s, %s", s.ReadTimeout, s.ReadHeaderTimeout, s.IdleTimeout)
		}
		s.ReadTimeout, s.ReadHeaderTimeout, s.IdleTimeout = limit, limit, limit
	})
	for name, sent := range map[string]string{
		"no request":    "",
		"half a header": "GET /a.efi HTTP/1.1\r\nHost:",
		"no body":       "POST /a.efi HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\n",
		"idle":          "GET /a.efi HTTP/1.1\r\nHost: test\r\n\r\n",
	} {
		c := dial(t, address)
		c.SetDeadline(time.Now().Add(10 * time.Second))
		fmt.Fprint(c, sent)
		if _, err := io.Copy(io.Discard, c); err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("%s: %v, want the end of the connection", name, err)
		}
	}
	c := dial(t, address)
	fmt.Fprint(c, "GET /big.img HTTP/1.1\r\nHost: test\r\n\r\n")
	time.Sleep(3 * limit)
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, answer.Body); n != 8<<20 || err != nil {
		t.Errorf("a slow download: %d bytes, %v", n, err)
	}
}

// TestDropTLS checks that a TLS connection is dropped at once, although its
// client takes nothing, not even a good-bye.
func TestDropTLS(t *testing.T) {
	certificate := httptest.NewUnstartedServer(nil)
	certificate.StartTLS()
	defer certificate.Close()
	server, client := net.Pipe()
	defer client.Close()
	handshake := make(chan error, 1)
	go func() {
		handshake <- tls.Client(client, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}).Handshake()
	}()
	k := &connection{Conn: tls.Server(server, certificate.TLS)}
	if err := errors.Join(k.Conn.(*tls.Conn).Handshake(), <-handshake); err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	k.drop()
	if took := time.Since(started); took > time.Second {
		t.Errorf("it took %s", took)
	}
	if _, err := server.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the connection below: %v", err)
	}
}

// TestNewConnections checks that HTTP leaves half of the descriptors to others,
// and that one address cannot take all connections.
func TestNewConnections(t *testing.T) {
	for descriptors, want := range map[uint64][2]int{
		0: {1, 1}, 64: {16, 4}, 256: {64, 16}, 1024: {256, 64}, 4096: {1024, 128}, 16384: {4096, 128}, 1 << 40: {4096, 128}, 1<<64 - 1: {4096, 128},
	} {
		c := newConnections(descriptors)
		if got := [2]int{c.max, c.maxOfClient}; got != want {
			t.Errorf("%d descriptors: %v, want %v", descriptors, got, want)
		}
		if taken := uint64(2 * c.max); descriptors >= 4 && taken > descriptors/2 {
			t.Errorf("%d descriptors: HTTP takes %d", descriptors, taken)
		}
	}
}
