package trust

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// Attack 13: one reading, or none.
func TestAttack13_OneSpellingOnly(t *testing.T) {
	good := []string{`{}`, `{"a":1,"b":[true,false,null,"x"]}`, `{"":-9007199254740991}`, `{"é":"\"\\ü"}`, `{"a":{},"b":[]}`}
	for _, text := range good {
		v, err := canonical([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if printed, err := appendCanonical(nil, v); err != nil || string(printed) != text {
			t.Errorf("%s prints as %s, %v", text, printed, err)
		}
	}
	deep := strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40)
	bad := map[string]string{
		"no object": `[]`, "empty": ``, "a number": `1`,
		"duplicate key": `{"a":1,"a":1}`, "keys out of order": `{"b":1,"a":1}`, "trailing byte": `{} `, "second value": `{}{}`, "trailing zero": "{}\x00",
		"blank": `{ }`, "blank after colon": `{"a": 1}`, "line end": "{\n}", "byte order mark": "\ufeff{}",
		"float": `{"a":1.0}`, "exponent": `{"a":1e3}`, "huge": `{"a":9007199254740992}`, "very huge": `{"a":99999999999999999999}`,
		"minus zero": `{"a":-0}`, "leading zero": `{"a":01}`, "plus": `{"a":+1}`, "no digits": `{"a":-}`,
		"escape": `{"a":"\n"}`, "unicode escape": `{"a":"\u0041"}`, "slash escape": `{"a":"\/"}`, "raw line end": "{\"a\":\"\n\"}", "delete": "{\"a\":\"\x7f\"}",
		"not UTF-8": "{\"a\":\"\xff\"}", "surrogate": "{\"a\":\"\xed\xa0\x80\"}", "key not UTF-8": "{\"\xff\":1}",
		"deep": deep, "open": `{"a":`, "open string": `{"a":"`, "open escape": `{"a":"\`, "trailing comma": `{"a":1,}`, "list comma": `{"a":[1,]}`, "word": `{"a":nul}`, "capital": `{"a":True}`,
	}
	for name, text := range bad {
		if v, err := canonical([]byte(text)); err == nil {
			t.Errorf("%s: %s was read as %v", name, clip(text), v)
		}
	}
}

func TestCanonical_PrintsWhatItReads(t *testing.T) {
	var value func(depth int) *rapid.Generator[any]
	text := rapid.StringOf(rapid.RuneFrom([]rune(`ab"\é漢<&`)))
	value = func(depth int) *rapid.Generator[any] {
		kinds := []*rapid.Generator[any]{
			rapid.Just(any(nil)), rapid.Bool().AsAny(), rapid.Int64Range(-maxNumber, maxNumber).AsAny(), text.AsAny(),
		}
		if depth < 4 {
			kinds = append(kinds, rapid.SliceOfN(rapid.Deferred(func() *rapid.Generator[any] { return value(depth + 1) }), 0, 3).AsAny(),
				rapid.MapOfN(text, rapid.Deferred(func() *rapid.Generator[any] { return value(depth + 1) }), 0, 3).AsAny())
		}
		return rapid.OneOf(kinds...)
	}
	rapid.Check(t, func(t *rapid.T) {
		want := map[string]any{"v": value(0).Draw(t, "value")}
		data, err := appendCanonical(nil, want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := canonical(data)
		if err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		if diff := cmp.Diff(any(want), any(got)); diff != "" {
			t.Fatal(diff)
		}
		if !json.Valid(data) {
			t.Fatalf("%s is no JSON", data)
		}
	})
}

func FuzzCanonical(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":[1,-2,"\"\\"],"b":{"c":null}}`, `{"a":1.5}`, `{"a":"\u0000"}`, `{"b":1,"a":2}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := canonical(data)
		if err != nil {
			return
		}
		printed, err := appendCanonical(nil, v)
		if err != nil || !bytes.Equal(printed, data) {
			t.Fatalf("%q prints as %q, %v", data, printed, err)
		}
		if !json.Valid(data) {
			t.Fatalf("%q is no JSON for others", data)
		}
	})
}
