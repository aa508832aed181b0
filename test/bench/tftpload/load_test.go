package tftpload

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pxesidecar/pxesidecar/tftp"
)

// serve serves a folder by TFTP on loopback and returns the address.
func serve(t *testing.T, dir string) netip.AddrPort {
	t.Helper()
	s, err := tftp.Listen(tftp.Config{FS: os.DirFS(dir), Addr: netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s.Addr()
}

// TestRun checks that every byte of every client arrives, at any loss, and that
// wrong content is detected.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	content := make([]byte, 20_000)
	for i := range content {
		content[i] = byte(i * i >> 7)
	}
	write := func(dir string, content []byte) {
		if err := os.WriteFile(filepath.Join(dir, "f"), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(dir, content)
	other := t.TempDir()
	write(other, append([]byte("not that"), content[8:]...))
	group := Group{Clients: 20, Request: Request{File: "f", Block: 1000, Window: 4, Size: true}, Behaviour: "ipxe", Times: 2}
	for _, c := range []struct {
		name string
		job  Job
		want Outcome
	}{
		{"clean", Job{Files: dir}, Outcome{Bytes: 40 * 20_000, Completed: 40}},
		{"lossy", Job{Files: dir, Loss: 0.05, Seed: 7}, Outcome{Bytes: 40 * 20_000, Completed: 40}},
		{"not what is expected", Job{Files: other}, Outcome{Bytes: 40 * 20_000, Completed: 40, Wrong: 40}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.job.Server, c.job.Clients, c.job.Limit = serve(t, dir), netip.MustParsePrefix("127.77.0.0/24"), 20*time.Second
			c.job.Groups = []Group{group}
			result, err := Run(c.job)
			if err != nil {
				t.Fatal(err)
			}
			got := result.Groups[0]
			if len(got.Durations) != got.Completed || got.Blocks-got.Extra != 40*21 || got.Elapsed == 0 {
				t.Errorf("%d durations, %d blocks of which %d extra, %s", len(got.Durations), got.Blocks, got.Extra, got.Elapsed)
			}
			got.Durations, got.Blocks, got.Extra, got.Elapsed = nil, 0, 0, 0
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestRunRepeats checks that clients that repeat do so until the time is over,
// and are not counted as unfinished then.
func TestRunRepeats(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), make([]byte, 3000), 0o644); err != nil {
		t.Fatal(err)
	}
	result, err := Run(Job{
		Server: serve(t, dir), Clients: netip.MustParsePrefix("127.78.0.0/16"), For: 100 * time.Millisecond, Limit: time.Minute,
		Groups: []Group{{Clients: 3, Request: Request{File: "f", Block: 1000}, Behaviour: "plain", Repeat: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if o := result.Groups[0]; o.Completed < 6 || o.Failed+o.Unfinished+o.Wrong != 0 {
		t.Errorf("%d completed, %d failed, %d unfinished", o.Completed, o.Failed, o.Unfinished)
	}
}

// TestRunSilence checks that without a server every client gives up, or is
// unfinished when the time is over.
func TestRunSilence(t *testing.T) {
	result, err := Run(Job{
		Server: netip.MustParseAddrPort("127.0.0.1:9"), Clients: netip.MustParsePrefix("127.79.0.0/24"), Limit: 50 * time.Millisecond,
		Groups: []Group{{Clients: 5, Request: Request{File: "f"}, Behaviour: "ipxe", Times: 3}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := result.Groups[0].Unfinished; got != 15 {
		t.Errorf("%d unfinished, not 15", got)
	}
}

func TestRunUnknownBehaviour(t *testing.T) {
	_, err := Run(Job{Clients: netip.MustParsePrefix("127.0.0.0/24"), Groups: []Group{{Behaviour: "polite"}}})
	if want := `behaviour "polite" of TFTP clients is not known`; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}
