package rpc

import (
	"errors"
	"fmt"
	"math"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Rows reads a result as a list of objects with canonical values, whichever
// Backend it came from. A single object is a list of one, nil is none.
func Rows(v any) ([]fleet.Row, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case []fleet.Row:
		return v, nil
	case fleet.Row:
		return []fleet.Row{v}, nil
	case map[string]any:
		r, err := row(v)
		if err != nil {
			return nil, fmt.Errorf("cannot read object: %w", err)
		}
		return []fleet.Row{r}, nil
	case []any:
		rows := make([]fleet.Row, len(v))
		for i, e := range v {
			var err error
			switch e := e.(type) {
			case fleet.Row:
				rows[i] = e
			case map[string]any:
				rows[i], err = row(e)
			default:
				err = fmt.Errorf("it is a %T", e)
			}
			if err != nil {
				return nil, fmt.Errorf("cannot read object %d of %d: %w", i+1, len(v), err)
			}
		}
		return rows, nil
	}
	return nil, fmt.Errorf("cannot read objects: result is a %T", v)
}

// row makes values canonical. It writes only what the wire can have spoilt, so
// that maps which came from a Backend in this process are only read.
func row(m map[string]any) (fleet.Row, error) {
	for name, v := range m {
		c, err := canonical(v)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if isFloat(v) {
			m[name] = c
		}
	}
	return m, nil
}

func isFloat(v any) bool { _, ok := v.(float64); return ok }

// canonical is a value as rows hold it (see [fleet.Row]). Python servers may
// send a whole number as a float; a fraction has no place in a row.
func canonical(v any) (any, error) {
	switch v := v.(type) {
	case nil, bool, string, int64:
		return v, nil
	case float64:
		if v != math.Trunc(v) || math.Abs(v) > 1<<53 {
			return nil, fmt.Errorf("%v is no integer", v)
		}
		return int64(v), nil
	case []any:
		for i, e := range v {
			if _, ok := e.([]any); ok {
				return nil, errors.New("a list inside a list")
			}
			c, err := canonical(e)
			if err != nil {
				return nil, err
			}
			if isFloat(e) {
				v[i] = c
			}
		}
		return v, nil
	}
	return nil, fmt.Errorf("a %T has no place in a row", v)
}

// As reads a result as a T: bool, string, int64, float64, []any or
// map[string]any, as Backends return them. It takes the error of the call too:
//
//	ok, err := rpc.As[bool](backend.Call(ctx, actor, "accessControl_authenticated", methods.Params{}))
func As[T any](v any, err error) (T, error) {
	var zero T
	if err != nil {
		return zero, err
	}
	if t, ok := v.(T); ok {
		return t, nil
	}
	return zero, fmt.Errorf("cannot read result: it is a %T, not a %T", v, zero)
}
