package tftp

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestJoinEvents checks that every listener is called, in order, and that hooks
// nobody has set stay nil.
func TestJoinEvents(t *testing.T) {
	var got []string
	listener := func(name string) Events {
		return Events{
			Started:  func(e Transfer) { got = append(got, fmt.Sprint(name, " started ", e.File)) },
			Finished: func(e Transfer) { got = append(got, fmt.Sprint(name, " finished ", e.Result)) },
			Refused:  func(e Refusal) { got = append(got, fmt.Sprint(name, " refused ", e.Reason)) },
		}
	}
	some := listener("c")
	some.Started, some.Refused = nil, nil
	joined := JoinEvents(Events{}, listener("a"), Events{}, listener("b"), some)
	joined.Started(Transfer{File: "x.efi"})
	joined.Finished(Transfer{Result: Completed})
	joined.Refused(Refusal{Reason: NotFound})
	want := []string{
		"a started x.efi", "b started x.efi",
		"a finished completed", "b finished completed", "c finished completed",
		"a refused not-found", "b refused not-found",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, none := range []Events{JoinEvents(), JoinEvents(Events{}, Events{})} {
		if none.Started != nil || none.Finished != nil || none.Refused != nil {
			t.Errorf("hooks out of nothing: %+v", none)
		}
	}
}

// TestStrings checks the names of results and reasons.
func TestStrings(t *testing.T) {
	var got []string
	for r := range Result(len(resultNames) + 1) {
		got = append(got, r.String())
	}
	for r := range Reason(len(reasonNames) + 1) {
		got = append(got, r.String())
	}
	want := []string{
		"none", "completed", "probed", "aborted", "timed-out", "failed", "replaced", "shut-down", "result(8)",
		"none", "not-found", "denied", "illegal", "unreadable", "unknown-port", "not-allowed", "forged", "multicast", "too-fast", "too-many", "reason(11)",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
