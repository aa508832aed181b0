package httpboot

// Scripts per machine: NAME.tmpl is served as NAME, filled with what the URL
// says of the machine, as in /boot.ipxe?mac=${net0/mac}&uuid=${uuid}.

import (
	"bytes"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"path"
	"strconv"
	"strings"
	"text/template"
)

// templateSuffix ends the names of templates.
const templateSuffix = ".tmpl"

// machine is what a template knows.
type machine struct {
	IP    netip.Addr        // the address that asked
	Host  string            // our own name or address, as the URL has it, with the port
	Query map[string]string // the URL's parameters; a text that could end a line or be expanded is cut out of them
}

// Get returns a parameter of the URL, "" where it is absent.
func (m machine) Get(name string) string { return m.Query[name] }

// render fills the template of a name. The error wraps fs.ErrNotExist where
// there is none.
func render(tree fs.FS, name string, r *http.Request, client netip.Addr) ([]byte, error) {
	text, err := fs.ReadFile(tree, name+templateSuffix)
	if err != nil {
		return nil, err
	}
	t, err := template.New(name).Option("missingkey=zero").Parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("template %s%s: %w", name, templateSuffix, err)
	}
	m := machine{IP: client, Host: hostOf(r), Query: map[string]string{}}
	for key, values := range r.URL.Query() {
		m.Query[key] = harmless(values[0])
	}
	var b bytes.Buffer
	if err := t.Execute(&b, m); err != nil {
		return nil, fmt.Errorf("template %s%s: %w", name, templateSuffix, err)
	}
	return b.Bytes(), nil
}

// isTemplate reports whether a name is that of a template's source, which
// nobody reads: it may say what is for one machine alone.
func isTemplate(name string) bool { return strings.EqualFold(path.Ext(name), templateSuffix) }

// hostOf returns the host, and the port if there is one, that a request is for:
// what the client says if that can be the name or the address of a host, else
// our address. A script that names it goes on with it.
func hostOf(r *http.Request) string {
	if isHost(r.Host) {
		return r.Host
	}
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		return local.String()
	}
	return ""
}

// isHost reports whether a text is the name or the address of a host (RFC 1123,
// section 2.1), with a port or without (RFC 3986, section 3.2).
func isHost(s string) bool {
	if _, err := netip.ParseAddrPort(s); err == nil {
		return true
	}
	name, port, hasPort := strings.Cut(s, ":")
	if n, err := strconv.ParseUint(port, 10, 16); hasPort && (err != nil || n == 0) {
		return false
	}
	name = strings.TrimSuffix(name, ".")
	if name == "" || len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if len(label) < 1 || len(label) > 63 || strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") || strings.ContainsFunc(label, isNoHostRune) {
			return false
		}
	}
	return true
}

// isNoHostRune reports whether a character is in no host's name. Underscores
// are in those of some, whatever the standard says.
func isNoHostRune(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_')
}

// harmless leaves of a text from a URL what can stand in a line of a script
// without being anything else: no line end, no setting to expand, no word that
// ends a command.
func harmless(s string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || strings.ContainsRune("${}&|#;`\"'\\", r) {
			return -1
		}
		return r
	}, s)
}
