package rpc

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

func TestRowsAndAs(t *testing.T) {
	got, err := Rows([]any{map[string]any{"n": 3.0, "list": []any{1.0, "x"}}, fleet.Row{"a": nil}})
	if d := cmp.Diff([]fleet.Row{{"n": int64(3), "list": []any{int64(1), "x"}}, {"a": nil}}, got); d != "" || err != nil {
		t.Errorf("%v\n%s", err, d)
	}
	for _, v := range []any{"x", []any{"x"}, []any{map[string]any{"n": 1.5}}, map[string]any{"m": map[string]any{}},
		map[string]any{"l": []any{[]any{}}}, map[string]any{"n": 1e300}} {
		if got, err := Rows(v); err == nil {
			t.Errorf("%v became rows %v", v, got)
		}
	}
	if s, err := As[string]("x", nil); s != "x" || err != nil {
		t.Error(s, err)
	}
	if _, err := As[bool](int64(1), nil); err == nil {
		t.Error("a number is no bool")
	}
	cause := errors.New("cause")
	if _, err := As[string]("x", cause); !errors.Is(err, cause) {
		t.Error(err)
	}
}
