package strictconf

import (
	"reflect"
	"strings"
)

// keys lists the keys that a table decoded into t may have; nil if t is no
// struct.
func keys(t reflect.Type) []string {
	var names []string
	for f := range fields(t) {
		names = append(names, name(f))
	}
	return names
}

// fields walks the exported fields of t as the decoder sees them: those of an
// untagged embedded struct belong to t itself.
func fields(t reflect.Type) func(yield func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		t := table(t)
		if t == nil {
			return
		}
		for _, f := range reflect.VisibleFields(t) {
			if !f.IsExported() || f.Tag.Get("toml") == "-" {
				continue
			}
			if f.Anonymous && f.Tag.Get("toml") == "" && table(f.Type) != nil {
				continue // its own fields are visible
			}
			if !yield(f) {
				return
			}
		}
	}
}

// name is the key of a field.
func name(f reflect.StructField) string {
	tag, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
	if tag == "" {
		return f.Name
	}
	return tag
}

// table is the struct behind pointers and lists of tables, or nil.
func table(t reflect.Type) reflect.Type {
	for t != nil && (t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Array) {
		t = t.Elem()
	}
	if t == nil || t.Kind() != reflect.Struct {
		return nil
	}
	return t
}

// at is the type that the key leads to, or nil.
func at(t reflect.Type, key []string) reflect.Type {
	for _, part := range key {
		for t != nil && (t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Array) {
			t = t.Elem()
		}
		if t == nil {
			return nil
		}
		if t.Kind() == reflect.Map {
			t = t.Elem()
			continue
		}
		var next reflect.Type
		for f := range fields(t) {
			if strings.EqualFold(name(f), part) {
				next = f.Type
			}
		}
		t = next
	}
	return t
}

// loosen returns t with the place that key leads to taking any value. It gives
// up (false) on shapes that cannot be rebuilt: then the first wrong value is
// all that is reported.
func loosen(t reflect.Type, key []string) (reflect.Type, bool) {
	if t.Kind() == reflect.Interface {
		return nil, false // is loose already: going on would not end
	}
	if len(key) == 0 {
		return reflect.TypeFor[any](), true
	}
	switch t.Kind() {
	case reflect.Pointer:
		return loosen(t.Elem(), key)
	case reflect.Slice, reflect.Array:
		e, ok := loosen(t.Elem(), key)
		if !ok {
			return nil, false
		}
		return reflect.SliceOf(e), true
	case reflect.Map:
		e, ok := loosen(t.Elem(), key[1:])
		if !ok {
			return nil, false
		}
		return reflect.MapOf(t.Key(), e), true
	case reflect.Struct:
	default:
		return nil, false
	}
	var rebuilt []reflect.StructField
	found := false
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() {
			continue
		}
		if f.Anonymous {
			return nil, false
		}
		if !found && strings.EqualFold(name(f), key[0]) {
			inner, ok := loosen(f.Type, key[1:])
			if !ok {
				return nil, false
			}
			f.Type, found = inner, true
		}
		rebuilt = append(rebuilt, reflect.StructField{Name: f.Name, Type: f.Type, Tag: f.Tag})
	}
	if !found {
		return nil, false
	}
	return reflect.StructOf(rebuilt), true
}
