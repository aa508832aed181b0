package server

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// TestJoinEvents checks that each hook calls every listener that has it, in
// order, and stays nil if none has it.
func TestJoinEvents(t *testing.T) {
	var called []string
	note := func(what string) { called = append(called, what) }
	listener := func(name string) Events {
		return Events{
			Request:  func(proxydhcp.Result) { note(name + " request") },
			Heard:    func(Heard) { note(name + " heard") },
			Conflict: func(proxydhcp.Conflict) { note(name + " conflict") },
			Link:     func(Link) { note(name + " link") },
			Error:    func(Error) { note(name + " error") },
		}
	}
	partial := Events{Link: func(Link) { note("partial link") }}
	e := JoinEvents(listener("a"), Events{}, partial, listener("b"))
	e.Request(proxydhcp.Result{})
	e.Heard(Heard{})
	e.Conflict(proxydhcp.Conflict{})
	e.Link(Link{})
	e.Error(Error{Err: errors.New("x")})
	want := []string{
		"a request", "b request", "a heard", "b heard", "a conflict", "b conflict", "a link", "partial link", "b link", "a error", "b error",
	}
	if diff := cmp.Diff(want, called); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if none := JoinEvents(partial, Events{}); none.Request != nil || none.listens() || !e.listens() {
		t.Error("hooks that nobody has")
	}
}
