package release

// The download of an archive. It goes into a file beside the directory, and
// another beside it says where it comes from: a download that broke off is
// taken up again where it ended, if the server still has the same file
// (RFC 9110, sections 13.1.5 and 14.2).

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// How patient a download is.
const (
	maxTries     = 4                // without a byte
	defaultPause = time.Second      // before the second try; longer before each that follows
	defaultStall = 60 * time.Second // without a byte
	maxRedirects = 10
)

// download is a download of an archive.
type download struct {
	Request
	root   *os.Root // where the files are
	file   string   // what has arrived
	about  string   // of which file of the server that is
	client *http.Client
}

// version is which version of a remote file has partly arrived.
type version struct {
	URL          string `json:"url"`
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"lastModified,omitempty"`
	Size         int64  `json:"size"` // -1 if the server did not say
}

// validator returns what tells this version from others, for a condition. A
// weak ETag does not.
func (v version) validator() string {
	if v.ETag != "" && !strings.HasPrefix(v.ETag, "W/") {
		return v.ETag
	}
	return v.LastModified
}

// newDownload returns a download beside the target.
func newDownload(r Request, t *target) *download {
	if r.pause == 0 {
		r.pause = defaultPause
	}
	if r.stall == 0 {
		r.stall = defaultStall
	}
	transport := http.DefaultTransport.(*http.Transport).Clone() // with the proxy of the environment
	transport.ResponseHeaderTimeout = r.stall
	return &download{
		Request: r, root: t.parent, file: t.beside(partEnd), about: t.beside(aboutEnd),
		client: &http.Client{Transport: transport, CheckRedirect: checkRedirect},
	}
}

// checkRedirect follows a redirection, but not from HTTPS to HTTP.
func checkRedirect(next *http.Request, via []*http.Request) error {
	if len(via) >= maxRedirects {
		return permanent{fmt.Errorf("more than %d redirections", maxRedirects)}
	}
	if next.URL.Scheme != "https" && via[len(via)-1].URL.Scheme == "https" {
		return permanent{fmt.Errorf("the server redirects from https to %s", next.URL)}
	}
	return nil
}

// permanent is an error that another try would not mend.
type permanent struct{ error }

// Unwrap returns the error.
func (p permanent) Unwrap() error { return p.error }

// errStalled is the error of a server that has stopped sending.
var errStalled = errors.New("the server has stopped sending")

// run downloads the archive. resumed reports whether parts of several
// connections were put together.
func (d *download) run(ctx context.Context) (resumed bool, err error) {
	for tries := 1; ; tries++ {
		from := d.size()
		again, err := d.try(ctx)
		resumed = resumed || again
		if err == nil {
			return resumed, nil
		}
		if ctx.Err() != nil {
			return resumed, fmt.Errorf("%w; the next fetch goes on after the %s that have arrived", context.Cause(ctx), mebibytes(d.size()))
		}
		if d.size() > from {
			tries = 1
		}
		if errors.As(err, new(permanent)) {
			return resumed, fmt.Errorf("%s: %w", d.Source, err)
		}
		if tries >= maxTries {
			return resumed, fmt.Errorf("%s: %w; if this host cannot reach it, fetch it elsewhere and name the file with --url", d.Source, err)
		}
		d.Note(fmt.Sprintf("%v; trying again", err))
		if err := sleep(ctx, time.Duration(tries)*d.pause); err != nil {
			return resumed, err
		}
	}
}

// sleep waits, unless ctx ends before.
func sleep(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// try makes one request for what is missing, and reads the answer.
func (d *download) try(ctx context.Context) (resumed bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(d.stall, func() { cancel(errStalled) })
	defer silence.Stop()

	had, have := d.known(), d.size()
	if have > 0 && have == had.Size {
		return true, nil
	}
	request, err := d.request(ctx, had, have)
	if err != nil {
		return false, permanent{err}
	}
	answer, err := d.client.Do(request)
	if err != nil {
		return false, orCause(ctx, withoutURL(err))
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusRequestedRangeNotSatisfiable && have > 0 {
		d.discard()
		return false, errors.New("the file has changed on the server")
	}
	start, size, err := extent(answer, have)
	if err != nil {
		return false, err
	}
	if size > maxArchive {
		return false, permanent{errTooLarge}
	}
	if start == 0 {
		d.note(version{d.Source, answer.Header.Get("ETag"), answer.Header.Get("Last-Modified"), size})
	}
	body := &meter{answer.Body, silence, d.stall}
	return start > 0, orCause(ctx, d.store(body, start, size))
}

// withoutURL returns an error of a client without the URL, which is said
// anyhow.
func withoutURL(err error) error {
	if inner := (*url.Error)(nil); errors.As(err, &inner) {
		return inner.Err
	}
	return err
}

// orCause returns why a context ended, if it ended, and else the error.
func orCause(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil && !errors.As(err, new(permanent)) {
		return context.Cause(ctx)
	}
	return err
}

// request returns a request for the archive, from an offset on if this is still
// the file whose beginning is here.
func (d *download) request(ctx context.Context, had version, have int64) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, d.Source, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("User-Agent", d.UserAgent)
	request.Header.Set("Accept-Encoding", "identity") // the digest is that of the file as it is
	if have > 0 && had.validator() != "" {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
		request.Header.Set("If-Range", had.validator())
	}
	return request, nil
}

// extent returns the offset at which an answer begins, and the size of the
// whole file, -1 if the server does not say. have is how much is here.
func extent(answer *http.Response, have int64) (start, size int64, err error) {
	switch code := answer.StatusCode; {
	case code == http.StatusOK:
		return 0, answer.ContentLength, nil
	case code == http.StatusPartialContent:
		start, size, err = contentRange(answer.Header.Get("Content-Range"))
		if err == nil && start != have {
			err = fmt.Errorf("the server sends the file from byte %d on, and was asked from %d", start, have)
		}
		return start, size, err
	case code == http.StatusRequestTimeout, code == http.StatusTooManyRequests, code >= http.StatusInternalServerError:
		return 0, 0, fmt.Errorf("the server says %s", answer.Status)
	}
	return 0, 0, permanent{fmt.Errorf("the server says %s", answer.Status)}
}

// contentRange parses a Content-Range header such as "bytes 5-9/10".
func contentRange(header string) (start, size int64, err error) {
	span, total, ok := strings.Cut(strings.TrimPrefix(header, "bytes "), "/")
	first, _, also := strings.Cut(span, "-")
	start, err = strconv.ParseInt(first, 10, 64)
	if err != nil || !ok || !also {
		return 0, 0, fmt.Errorf("the server sends a part of the file, and its Content-Range is %q", header)
	}
	if size, err = strconv.ParseInt(total, 10, 64); err != nil {
		size = -1
	}
	return start, size, nil
}

// store appends to what has arrived, after the first start bytes of it.
func (d *download) store(body io.Reader, start, size int64) (err error) {
	f, err := d.root.OpenFile(d.file, os.O_WRONLY|os.O_CREATE, filePerm)
	if err != nil {
		return permanent{err}
	}
	defer func() { err = errors.Join(err, permanentOrNil(f.Close())) }()
	if err := f.Truncate(start); err != nil {
		return permanent{err}
	}
	done, buffer := start, make([]byte, 64<<10)
	for {
		n, readErr := body.Read(buffer)
		if _, err := f.WriteAt(buffer[:n], done); err != nil {
			return permanent{err}
		}
		done += int64(n)
		d.Progress(done, size)
		switch {
		case done > maxArchive:
			return permanent{errTooLarge}
		case readErr == io.EOF && size >= 0 && done != size:
			return fmt.Errorf("%d of %d bytes have arrived: %w", done, size, io.ErrUnexpectedEOF)
		case readErr == io.EOF:
			return nil
		case readErr != nil:
			return readErr
		}
	}
}

// permanentOrNil returns an error as a permanent one.
func permanentOrNil(err error) error {
	if err == nil {
		return nil
	}
	return permanent{err}
}

// meter resets a timer whenever something arrives.
type meter struct {
	io.Reader
	silence *time.Timer
	stall   time.Duration
}

// Read reads (io.Reader).
func (m *meter) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	m.silence.Reset(m.stall)
	return n, err
}

// size returns how much has arrived. It is nothing if that is of another file,
// or if it is not known of which.
func (d *download) size() int64 {
	info, err := d.root.Stat(d.file)
	if err != nil || d.known().URL != d.Source {
		return 0
	}
	return info.Size()
}

// known returns which version of the file has partly arrived, the zero version
// if that is not known.
func (d *download) known() (v version) {
	text, err := d.root.ReadFile(d.about)
	if err != nil || json.Unmarshal(text, &v) != nil || v.URL != d.Source {
		return version{}
	}
	return v
}

// note keeps which version of the file is arriving. If that fails, the download
// cannot be taken up again.
func (d *download) note(v version) {
	d.discard()
	if text, err := json.Marshal(v); err == nil {
		_ = d.root.WriteFile(d.about, text, filePerm)
	}
}

// discard removes what has arrived.
func (d *download) discard() {
	d.root.Remove(d.file)
	d.root.Remove(d.about)
}

// mebibytes returns a size for people.
func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
