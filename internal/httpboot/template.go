package httpboot

// Scripts per machine: NAME.tmpl is served as NAME, filled with what the URL
// says of the machine, as in /boot.ipxe?mac=${net0/mac}&uuid=${uuid}.

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/http"
	"net/netip"
	"strings"
	"text/template"
)

// templateSuffix ends the names of templates.
const templateSuffix = ".tmpl"

// machine is what a template knows.
type machine struct {
	IP    netip.Addr        // the address that asked
	Host  string            // our own name or address, as the URL has it
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
	m := machine{IP: client, Host: r.Host, Query: map[string]string{}}
	for key, values := range r.URL.Query() {
		m.Query[key] = harmless(values[0])
	}
	var b bytes.Buffer
	if err := t.Execute(&b, m); err != nil {
		return nil, fmt.Errorf("template %s%s: %w", name, templateSuffix, err)
	}
	return b.Bytes(), nil
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
