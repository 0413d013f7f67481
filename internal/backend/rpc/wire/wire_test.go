package wire

import (
	"bytes"
	"encoding/json"
	"io"
	"iter"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vmihailenco/msgpack/v5"
	"pgregory.net/rapid"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

const roomy = 1 << 20

// values draws plain data as Backends return it.
func values(depth int) *rapid.Generator[any] {
	leaves := []*rapid.Generator[any]{
		rapid.Just[any](nil), rapid.Bool().AsAny(), rapid.Int64().AsAny(), rapid.String().AsAny(),
		rapid.Float64Range(-1e300, 1e300).Filter(func(f float64) bool { return f != math.Trunc(f) }).AsAny(),
	}
	if depth == 0 {
		return rapid.OneOf(leaves...)
	}
	deeper := values(depth - 1)
	return rapid.OneOf(append(leaves,
		rapid.Map(rapid.SliceOfN(deeper, 0, 5), func(l []any) any { return append([]any{}, l...) }),
		rapid.MapOfN(rapid.String(), deeper, 0, 5).AsAny())...)
}

// What one end sends the other end gets, by either codec and every encoding.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := values(3).Draw(t, "value")
		codec := rapid.SampledFrom([]*Codec{JSON, Msgpack}).Draw(t, "codec")
		encoding := rapid.SampledFrom(append([]string{""}, Encodings...)).Draw(t, "encoding")
		data, err := codec.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		packed, err := Pack(data, encoding)
		if err != nil {
			t.Fatal(err)
		}
		unpacked, err := Unpack(bytes.NewReader(packed), encoding, roomy, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := codec.Unmarshal(unpacked, roomy, nil)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(v, got); d != "" {
			t.Errorf("%s %q:\n%s", codec.MediaType, encoding, d)
		}
	})
}

func TestRefusedData(t *testing.T) {
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	pack := func(v any) string {
		data, err := msgpack.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	for _, tt := range []struct {
		name string
		c    *Codec
		data string
		want string // part of the error; "" is accepted
	}{
		{"object", JSON, ` {"a":[1,-0,2.5,"x",null,true]} `, ""},
		{"largest", JSON, `9223372036854775807`, ""},
		{"too large", JSON, `9223372036854775808`, "64 bits"},
		{"huge float", JSON, `1e999`, "range"},
		{"duplicate key", JSON, `{"a":1,"b":{"a":1},"\u0061":2}`, "same key"},
		{"trailing value", JSON, `{} {}`, "after the value"},
		{"trailing garbage", JSON, `{}x`, "invalid"},
		{"trailing comma", JSON, `[1,]`, "invalid"},
		{"open", JSON, `[1`, "EOF"},
		{"empty", JSON, ``, "EOF"},
		{"not UTF-8", JSON, "\"\xff\"", "UTF-8"},
		{"deep", JSON, nested(maxDepth), ""},
		{"too deep", JSON, nested(maxDepth + 1), "nested"},
		{"bomb", JSON, strings.Repeat("[", 1<<20), "nested"},
		{"many", JSON, "[" + strings.Repeat("0,", 1<<17) + "0]", "too many"},

		{"msgpack largest", Msgpack, pack(uint64(math.MaxInt64)), ""},
		{"msgpack too large", Msgpack, pack(uint64(math.MaxInt64 + 1)), "64 bits"},
		{"msgpack NaN", Msgpack, pack(math.NaN()), "range"},
		{"msgpack duplicate key", Msgpack, "\x82\xa1a\x01\xa1a\x02", "same key"},
		{"msgpack trailing", Msgpack, "\x01\x01", "after the value"},
		{"msgpack open", Msgpack, "\x92\x01", "EOF"},
		{"msgpack empty", Msgpack, "", "EOF"},
		{"msgpack bytes", Msgpack, "\xc4\x01x", ""},
		{"msgpack not UTF-8", Msgpack, "\xa1\xff", "UTF-8"},
		{"msgpack number as key", Msgpack, "\x81\x01\x01", "key"},
		{"msgpack nil as key", Msgpack, "\x81\xc0\x01", "key"},
		{"msgpack time", Msgpack, "\xd6\xff\x00\x00\x00\x00", "0xd6"},
		{"msgpack never used", Msgpack, "\xc1", "0xc1"},
		{"msgpack deep", Msgpack, strings.Repeat("\x91", maxDepth) + "\x01", ""},
		{"msgpack too deep", Msgpack, strings.Repeat("\x91", maxDepth+1) + "\x01", "nested"},
		{"msgpack bomb", Msgpack, strings.Repeat("\x91", 1<<20), "nested"},
		{"msgpack long list", Msgpack, "\xdd\xff\xff\xff\xff", "EOF"},
		{"msgpack long map", Msgpack, "\xdf\xff\xff\xff\xff", "EOF"},
		{"msgpack long text", Msgpack, "\xdb\xff\xff\xff\xffx", "EOF"},
		{"msgpack many", Msgpack, "\xdd\x00\x02\x00\x00" + strings.Repeat("\x00", 1<<17), "too many"},
	} {
		v, err := tt.c.Unmarshal([]byte(tt.data), roomy, nil)
		if (tt.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, error %v, want %q", tt.name, v, err, tt.want)
		}
	}
}

// Lists that announce many elements inside each other must not allocate for
// all of them: each level books what it announces.
func TestNestedAnnouncements(t *testing.T) {
	var data []byte
	for range 20 {
		data = append(data, 0xdd, 0, 0, 0xf0, 0) // 61,440 elements each
	}
	data = append(data, make([]byte, 1<<16)...)
	if _, err := Msgpack.Unmarshal(data, roomy, nil); err == nil || !strings.Contains(err.Error(), "too many") {
		t.Errorf("error %v", err)
	}
}

// Few bytes that unpack to many are stopped at the limit, and a body exactly
// as large as the limit is not.
func TestUnpackLimit(t *testing.T) {
	const limit = 1 << 20
	for _, encoding := range append([]string{""}, Encodings...) {
		for size, fits := range map[int]bool{limit: true, limit + 1: false, 64 * limit: false} {
			packed, err := Pack(make([]byte, size), encoding)
			if err != nil {
				t.Fatal(err)
			}
			data, err := Unpack(bytes.NewReader(packed), encoding, limit, nil)
			if fits && (err != nil || len(data) != limit) {
				t.Errorf("%q, %d bytes: %d, %v", encoding, size, len(data), err)
			}
			if !fits && (fleet.CodeOf(err) != fleet.TooLarge || data != nil) {
				t.Errorf("%q, %d bytes: error %v", encoding, size, err)
			}
		}
		if encoding == "" {
			continue
		}
		if _, err := Unpack(strings.NewReader("this is not packed"), encoding, limit, nil); err == nil {
			t.Errorf("%q: garbage unpacked", encoding)
		}
	}
}

// What is over the limit is not even read.
func TestUnpackStops(t *testing.T) {
	const limit = 1 << 16
	body := &counter{r: endless{}}
	if _, err := Unpack(body, "", limit, nil); fleet.CodeOf(err) != fleet.TooLarge || body.n > 2*limit {
		t.Errorf("read %d bytes, error %v", body.n, err)
	}
	packed, err := Pack(make([]byte, 64<<20), "gzip")
	if err != nil {
		t.Fatal(err)
	}
	body = &counter{r: bytes.NewReader(packed)}
	if _, err := Unpack(body, "gzip", limit, nil); fleet.CodeOf(err) != fleet.TooLarge || body.n > int64(len(packed))/4 {
		t.Errorf("gzip: read %d bytes of %d, error %v", body.n, len(packed), err)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { clear(p); return len(p), nil }

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

func TestUnpackForms(t *testing.T) {
	zlibbed, err := Pack([]byte("fernwerk"), "deflate")
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		encoding string
		body     []byte
	}{
		"zlib":         {"deflate", zlibbed},
		"bare DEFLATE": {"deflate", zlibbed[2 : len(zlibbed)-4]},
		"identity":     {" Identity", []byte("fernwerk")},
		"upper case":   {"DEFLATE", zlibbed},
	} {
		if data, err := Unpack(bytes.NewReader(tt.body), tt.encoding, 100, nil); string(data) != "fernwerk" || err != nil {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
	if _, err := Unpack(strings.NewReader(""), "br", 100, nil); fleet.CodeOf(err) != fleet.Invalid {
		t.Errorf("unknown encoding: %v", err)
	}
}

func TestAcceptable(t *testing.T) {
	for header, want := range map[string]string{
		"": "", "identity": "", "br": "", "gzip": "gzip", "gzip, deflate": "deflate", "gzip, deflate, lz4": "lz4",
		"gzip, deflate, br, zstd": "zstd", "GZIP;q=0.5": "gzip", "lz4;q=0, gzip": "gzip", "gzip; q=0.0": "", "xgzip": "", ",;,": "",
	} {
		if got := Acceptable(header); got != want {
			t.Errorf("%q: %q, want %q", header, got, want)
		}
	}
}

func TestPrint_MakesDataPlain(t *testing.T) {
	row := fleet.Row{"id": "a", "list": []any(nil), "broken": "x\xffy", "deep": []any{int64(1), []string{"s"}}}
	v := map[string]any{"rows": []fleet.Row{row, nil}, "none": []fleet.Row(nil), "n": 7, "b\xff": true, "made": each(int64(1), row, "x")}
	plain := map[string]any{"id": "a", "list": []any{}, "broken": "x\uFFFDy", "deep": []any{int64(1), []any{"s"}}}
	want := map[string]any{"rows": []any{plain, map[string]any{}}, "none": []any{}, "n": int64(7), "b\uFFFD": true, "made": []any{int64(1), plain, "x"}}
	for _, c := range []*Codec{JSON, Msgpack} {
		data, err := c.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Unmarshal(data, roomy, nil)
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("%s: %v\n%s", c.MediaType, err, d)
		}
		if _, ok := row["deep"].([]any)[1].([]string); !ok || row["broken"] != "x\xffy" {
			t.Error("the Backend's own row was changed")
		}
		for _, v := range []any{struct{}{}, math.NaN(), []any{math.Inf(1)}, map[string]any{"x": make(chan int)}, []fleet.Row{{"x": uint(1)}}, each(struct{}{})} {
			if got, err := c.Marshal(v); err == nil {
				t.Errorf("%T became %q", v, got)
			}
		}
	}
}

// each is a list that is made while it is read.
func each(values ...any) iter.Seq2[any, error] {
	return func(yield func(any, error) bool) {
		for _, v := range values {
			if !yield(v, nil) {
				return
			}
		}
	}
}

// seeds are requests and beginnings of attacks.
var seeds = []string{
	`{"jsonrpc":"2.0","id":1,"method":"host_getObjects","params":[["id"],{"type":"OpsiClient","id":"*.test"}]}`,
	`{"id":"x","method":"backend_getInterface","params":{}}`,
	`[{"method":"a"},{"method":"b","params":[1,-2.5e3,null,true,"\u00e4\ud83d\ude00"]}]`,
	`{"a":1,"a":2}`, `[[[[`, `"\ud800"`, `-0`, `{"method":7,"id":{}}`,
}

// What the JSON decoder takes is JSON, and it reads it as encoding/json does.
func FuzzUnmarshalJSON(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := JSON.Unmarshal(data, 1<<16, nil)
		if err != nil {
			return
		}
		var want, got any
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatalf("took %q: %v", data, err)
		}
		printed, err := JSON.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(printed, &got); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%q:\n%s", data, d)
		}
	})
}

// What the MessagePack decoder takes survives printing and reading again.
func FuzzUnmarshalMsgpack(f *testing.F) {
	for _, s := range seeds {
		if v, err := JSON.Unmarshal([]byte(s), roomy, nil); err == nil {
			data, err := Msgpack.Marshal(v)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Add([]byte("\xdd\xff\xff\xff\xff"))
	f.Add([]byte("\x81\xc4\x01a\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := Msgpack.Unmarshal(data, 1<<16, nil)
		if err != nil {
			return
		}
		printed, err := Msgpack.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Msgpack.Unmarshal(printed, 1<<16, nil)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(v, again); d != "" {
			t.Errorf("%q:\n%s", data, d)
		}
	})
}

// Packed garbage neither crashes nor exceeds its limit.
func FuzzUnpack(f *testing.F) {
	for i, e := range Encodings {
		for _, s := range seeds {
			data, err := Pack([]byte(s), e)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(i, data)
		}
	}
	f.Fuzz(func(t *testing.T, i int, data []byte) {
		got, err := Unpack(bytes.NewReader(data), Encodings[uint(i)%uint(len(Encodings))], 1000, nil)
		if err == nil && len(got) > 1000 {
			t.Errorf("%d bytes", len(got))
		}
	})
}

// BenchmarkUnmarshal reads what 1,000 clients with a product each look like.
func BenchmarkUnmarshal(b *testing.B) {
	var rows []fleet.Row
	for range 1000 {
		rows = append(rows, fleet.Row{"type": "ProductOnClient", "clientId": "client-0001.branch.test", "productId": "firefox", "productType": "LocalbootProduct",
			"installationStatus": "installed", "actionRequest": "none", "productVersion": "120.0", "packageVersion": "1", "modificationTime": "2026-01-02 03:04:05",
			"actionProgress": "", "actionResult": "successful", "lastAction": "setup", "targetConfiguration": nil})
	}
	for _, c := range []*Codec{JSON, Msgpack} {
		b.Run(c.MediaType, func(b *testing.B) {
			data, err := c.Marshal(rows)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Unmarshal(data, 64<<20, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
