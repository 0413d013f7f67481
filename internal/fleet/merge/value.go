package merge

import (
	"slices"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// value is a column's value; no value means the default, as it does when a row
// is created.
func value(col *fleet.Column, r fleet.Row) any {
	if v := r[col.Name]; v != nil {
		return v
	}
	return col.Default
}

// same compares two canonical values; nil, "" and the empty list are one.
func same(a, b any) bool {
	if empty(a) || empty(b) {
		return empty(a) && empty(b)
	}
	la, aList := a.([]any)
	lb, bList := b.([]any)
	if aList || bList {
		return aList && bList && slices.Equal(la, lb)
	}
	return a == b
}

func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	}
	return false
}

// unchanged tells whether the server's value still is the snapshot's. The
// elements of a list may come back in another order, which is no change.
func unchanged(col *fleet.Column, base, theirs any) bool {
	if col.Kind != fleet.List || empty(base) || empty(theirs) {
		return same(base, theirs)
	}
	lb, bList := base.([]any)
	lt, tList := theirs.([]any)
	if !bList || !tList || len(lb) != len(lt) {
		return false
	}
	count := map[any]int{}
	for _, v := range lb {
		count[v]++
	}
	for _, v := range lt {
		count[v]--
	}
	for _, n := range count {
		if n != 0 {
			return false
		}
	}
	return true
}
