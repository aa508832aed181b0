package config

import (
	"reflect"
	"strings"
	"testing"
)

// TestFlags checks that the table of flags, the fields of Settings and the keys
// of the file agree: each flag has a field, and the field's key is the flag's
// name.
func TestFlags(t *testing.T) {
	var s Settings
	value := reflect.ValueOf(&s).Elem()
	keys := map[any]string{} // by the address of the field
	for _, field := range reflect.VisibleFields(value.Type()) {
		if field.IsExported() && !field.Anonymous {
			keys[value.FieldByIndex(field.Index).Addr().Interface()] = keyOf(field)
		}
	}
	if key := keys[&s.SegmentFlags]; key != "" {
		t.Errorf("the segments of flags have the key %s in the file", key)
	}
	keys[&s.SegmentFlags] = segmentKey // the file has a table instead
	delete(keys, &s.Segments)
	delete(keys, &s.Rules) // which no flag can hold
	names := map[string]bool{}
	for _, f := range Flags() {
		field := f.Field(&s)
		if keys[field] != f.Name {
			t.Errorf("--%s has the field of key %q", f.Name, keys[field])
		}
		delete(keys, field)
		names[f.Name] = true
		if f.Default != nil && reflect.TypeOf(f.Default) != reflect.TypeOf(field).Elem() {
			t.Errorf("--%s: default %v", f.Name, f.Default)
		}
		if f.Category == "" || f.Usage == "" {
			t.Errorf("--%s: nothing to help with", f.Name)
		}
		if want := "PXESIDECAR_" + strings.ReplaceAll(strings.ToUpper(f.Name), "-", "_"); f.Env() != want {
			t.Errorf("--%s: environment variable %s, want %s", f.Name, f.Env(), want)
		}
	}
	for _, key := range keys {
		t.Errorf("the key %s has no flag", key)
	}
	if len(names) != len(Flags()) {
		t.Error("a flag is twice in the table")
	}
}
