package bus

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vmihailenco/msgpack/v5"
	"pgregory.net/rapid"

	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

var now = time.UnixMilli(1_700_000_000_000)

func frame(t testing.TB, v any) []byte {
	t.Helper()
	data, err := msgpack.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// What one end writes the other reads, packed or not.
func TestEncode_RoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[a-z_:.0-9]{1,40}`)
		m := New(name.Draw(t, "type"), name.Draw(t, "channel"), map[string]any{
			"text": rapid.String().Draw(t, "text"), "number": rapid.Int64().Draw(t, "number"), "yes": rapid.Bool().Draw(t, "yes"),
			"list": []any{"a", int64(1), []any{}, map[string]any{"b": false}}, "payload": rapid.SliceOf(rapid.Byte()).Draw(t, "payload"),
		}, now)
		m.BackChannel, m.RefID = rapid.SampledFrom([]string{"", "$", "session:x"}).Draw(t, "back"), rapid.SampledFrom([]string{"", "r"}).Draw(t, "ref")
		encoding := rapid.SampledFrom([]string{"", "lz4", "gzip"}).Draw(t, "encoding")
		data, err := Encode(m, encoding)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(data, encoding)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(m, got); d != "" {
			t.Error(d)
		}
	})
}

func TestDecode_Refuses(t *testing.T) {
	good := func() map[string]any {
		return map[string]any{"type": "event", "id": "1", "channel": "c", "created": 1, "expires": 2}
	}
	with := func(name string, v any) map[string]any { m := good(); m[name] = v; return m }
	if _, err := Decode(frame(t, good()), ""); err != nil {
		t.Fatal(err)
	}
	deep := any("x")
	for range 100 {
		deep = []any{deep}
	}
	for name, data := range map[string][]byte{
		"nothing":         {},
		"a list":          frame(t, []any{1}),
		"no type":         frame(t, map[string]any{"id": "1", "channel": "c"}),
		"no id":           frame(t, map[string]any{"type": "event", "channel": "c"}),
		"a number as id":  frame(t, with("id", 7)),
		"a long id":       frame(t, with("id", strings.Repeat("x", 200))),
		"a long channel":  frame(t, with("channel", strings.Repeat("x", 400))),
		"text as time":    frame(t, with("expires", "soon")),
		"deep nesting":    frame(t, with("params", deep)),
		"data behind":     append(frame(t, good()), 0),
		"cut off":         frame(t, good())[:20],
		"a promised list": {0x81, 0xa1, 'a', 0xdd, 0xff, 0xff, 0xff, 0xff},
		"bytes in a list": frame(t, with("params", []any{[]byte{0xff}})),
	} {
		if m, err := Decode(data, ""); fleet.CodeOf(err) != fleet.Invalid {
			t.Errorf("%s: %v, error %v", name, m, err)
		}
	}
	bomb, err := rpc.EncodeFrame(with("data", strings.Repeat("0", 2<<20)), "lz4")
	if err != nil {
		t.Fatal(err)
	}
	if m, err := Decode(bomb, "lz4"); fleet.CodeOf(err) != fleet.TooLarge {
		t.Errorf("%d bytes that unpack to two million: %v, error %v", len(bomb), m.Type, err)
	}
	if m, err := Decode(frame(t, with("params", deep)), ""); m.ID != "" || err == nil {
		t.Errorf("of what cannot be read at all nothing is known: %v", m)
	}
	if m, _ := Decode(frame(t, with("expires", "soon")), ""); m.ID != "1" {
		t.Error("the id is not known for the answer")
	}
}

func TestRefusal(t *testing.T) {
	m := Message{Type: "event", ID: "7", Sender: "host:a.b.c", BackChannel: "session:x"}
	for err, want := range map[error]string{
		fleet.WithHint(fleet.Errorf(fleet.Denied, "no"), "ask"): "no (ask)",
		errors.New("the password is 42"):                        "internal error",
	} {
		r := m.Refusal(err, now)
		if r.Type != GeneralError || r.Channel != "session:x" || r.RefID != "7" || r.Body["error"].(map[string]any)["message"] != want {
			t.Errorf("%v", r)
		}
	}
	if r := (Message{Sender: "user:a"}).Answer(Response, nil, now); r.Channel != "user:a" || r.Expires-r.Created != 60_000 {
		t.Errorf("%v", r)
	}
}

// FuzzDecode feeds the decoder what a hostile client may send. What can be read
// can be written, and reads the same again.
func FuzzDecode(f *testing.F) {
	for _, encoding := range []string{"", "lz4", "gzip"} {
		data, err := Encode(New(Request, "host:a.b.c", map[string]any{"rpc_id": "1", "method": "m", "params": []any{int64(1), "x", nil}}, now), encoding)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, encoding)
	}
	f.Add([]byte{0x81, 0xa4, 't', 'y', 'p', 'e', 0xc4, 1, 0xff}, "")
	f.Fuzz(func(t *testing.T, data []byte, encoding string) {
		m, err := Decode(data, encoding)
		if err != nil {
			if code := fleet.CodeOf(err); code != fleet.Invalid && code != fleet.TooLarge {
				t.Errorf("error %v has code %s", err, code)
			}
			return
		}
		for name, v := range m.Body {
			if v == nil {
				delete(m.Body, name)
			}
		}
		again, err := Encode(m, "")
		if err != nil {
			if fleet.CodeOf(err) == fleet.TooLarge { // compact forms may grow a little
				return
			}
			t.Fatal(err)
		}
		got, err := Decode(again, "")
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(m, got); d != "" {
			t.Error(d)
		}
	})
}
