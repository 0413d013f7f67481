package rpc

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// plain prepares a value of ours for either codec: rows become maps, integers
// int64, a nil list an empty one (a Python client iterates over it), and text
// that is not UTF-8 (a log, say) gets U+FFFD where it is broken. What is fine
// already, which is nearly everything, is not copied.
func plain(v any) (any, error) {
	out, _, err := plainer(v)
	return out, err
}

// plainer is plain, and tells whether the result differs from v.
func plainer(v any) (out any, changed bool, err error) {
	switch v := v.(type) {
	case nil, bool, int64:
		return v, false, nil
	case int:
		return int64(v), true, nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, false, errors.New("number is not finite")
		}
		return v, false, nil
	case string:
		if utf8.ValidString(v) {
			return v, false, nil
		}
		return strings.ToValidUTF8(v, "\uFFFD"), true, nil
	case []any:
		return plainList(v)
	case []string:
		return listOf(v)
	case []fleet.Row:
		return listOf(v)
	case []map[string]any:
		return listOf(v)
	case fleet.Row:
		m, _, err := plainMap(v)
		return m, true, err
	case map[string]any:
		return plainMap(v)
	}
	return nil, false, fmt.Errorf("a %T is no plain data", v)
}

func listOf[T any](list []T) (any, bool, error) {
	out := make([]any, len(list))
	for i, v := range list {
		var err error
		if out[i], err = plain(v); err != nil {
			return nil, false, err
		}
	}
	return out, true, nil
}

func plainList(list []any) (any, bool, error) {
	if list == nil {
		return []any{}, true, nil
	}
	var copied []any
	for i, v := range list {
		p, changed, err := plainer(v)
		if err != nil {
			return nil, false, err
		}
		if changed && copied == nil {
			copied = append([]any(nil), list...)
		}
		if changed {
			copied[i] = p
		}
	}
	if copied != nil {
		return copied, true, nil
	}
	return list, false, nil
}

func plainMap(m map[string]any) (any, bool, error) {
	var copied map[string]any
	for k, v := range m {
		p, changed, err := plainer(v)
		if err != nil {
			return nil, false, fmt.Errorf("%s: %w", k, err)
		}
		if key := strings.ToValidUTF8(k, "\uFFFD"); changed || key != k {
			if copied == nil {
				copied = make(map[string]any, len(m))
				for k, v := range m {
					copied[k] = v
				}
			}
			delete(copied, k)
			copied[key] = p
		}
	}
	if copied != nil {
		return copied, true, nil
	}
	if m == nil {
		return map[string]any{}, true, nil
	}
	return m, false, nil
}
