package service

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestArgument(t *testing.T) {
	for text, want := range map[string]any{
		"pc1.example.org":        "pc1.example.org",
		"":                       "",
		"4":                      int64(4),
		`"4"`:                    "4",
		"4.5":                    4.5,
		"18446744073709551616":   float64(18446744073709551616),
		"4 5":                    "4 5",
		"[]":                     []any{},
		"[1,":                    "[1,",
		"true":                   true,
		"null":                   nil,
		"nulls":                  "nulls",
		`{"id": ["a", 1, null]}`: map[string]any{"id": []any{"a", int64(1), nil}},
	} {
		if diff := cmp.Diff(want, argument(text)); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
}
