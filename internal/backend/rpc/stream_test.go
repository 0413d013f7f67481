package rpc

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/rpc/wire"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// river is a Backend whose lists are made while they are read: "rows" has that
// many, and "broken" fails behind them.
type river struct{ open int }

func (r *river) Call(context.Context, methods.Actor, string, methods.Params) (any, error) {
	return nil, fleet.Errorf(fleet.Internal, "a list was read whole")
}

func (r *river) Stream(_ context.Context, _ methods.Actor, method string, p methods.Params) (any, error) {
	n := p.Positional[0].(int64)
	return methods.Objects(func(yield func(fleet.Row, error) bool) {
		r.open++
		defer func() { r.open-- }()
		for i := range n {
			if !yield(fleet.Row{"id": fmt.Sprintf("client%06d.example.org", i), "n": i, "none": nil}, nil) {
				return
			}
		}
		switch method {
		case "broken":
			yield(nil, fleet.Errorf(fleet.Unavailable, "the database went away"))
		case "odd":
			yield(fleet.Row{"x": struct{}{}}, nil)
		case "panics":
			panic("in the middle")
		}
	}), nil
}

func flow(t *testing.T, limits Limits) (*Handler, func(body, codec, accept string) (*http.Response, any)) {
	r := &river{}
	h := &Handler{Backend: r, Log: slog.New(slog.DiscardHandler), Limits: limits, Scratch: t.TempDir(),
		Authenticate: func(*http.Request) (methods.Actor, error) {
			return methods.Actor{Role: methods.Administrator, ID: "admin"}, nil
		}}
	return h, func(body, media, accept string) (*http.Response, any) {
		t.Helper()
		codec := wire.CodecOf(media)
		v, err := wire.JSON.Unmarshal([]byte(body), 1<<20, nil)
		if err != nil {
			t.Fatal(err)
		}
		data, err := codec.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		req := httptest.NewRequest("POST", "/rpc", strings.NewReader(string(data)))
		req.Header.Set("Content-Type", media)
		req.Header.Set("Accept-Encoding", accept)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		resp := w.Result()
		data, err = wire.Unpack(resp.Body, resp.Header.Get("Content-Encoding"), 1<<30, nil)
		if err != nil {
			t.Fatal(err)
		}
		if v, err = codec.Unmarshal(data, 1<<30, nil); err != nil {
			t.Fatal(err)
		}
		if r.open != 0 {
			t.Error("the list is still open")
		}
		if h.memory.used != 0 || h.disk.used != 0 {
			t.Errorf("not given back: %d, %d", h.memory.used, h.disk.used)
		}
		if left, err := os.ReadDir(h.Scratch); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
		return resp, v
	}
}

// A list that is made while it is sent arrives whole, by every codec and
// encoding, whether it fits in memory or not.
func TestStream_ArrivesWhole(t *testing.T) {
	_, send := flow(t, Limits{})
	for _, codec := range []string{"application/json", "application/msgpack"} {
		for _, encoding := range append(wire.Encodings, "") {
			for _, n := range []int{0, 1, 1000, 30_000} {
				resp, v := send(fmt.Sprintf(`{"id":7,"jsonrpc":"2.0","method":"rows","params":[%d]}`, n), codec, encoding)
				m, _ := v.(map[string]any)
				list, _ := m["result"].([]any)
				if resp.StatusCode != 200 || m["id"] != int64(7) || len(list) != n || n > 100 && resp.Header.Get("Content-Encoding") != encoding {
					t.Errorf("%s %q: %d of %d rows, %v", codec, encoding, len(list), n, resp)
				}
				if n > 0 && list[n-1].(map[string]any)["n"] != int64(n-1) {
					t.Errorf("%s %q: the last row is %v", codec, encoding, list[n-1])
				}
			}
		}
	}
}

// A list that cannot be ended is an error, never a short list, however much of
// it was made already; in a batch it is one call's.
func TestStream_BrokenIsNoShortList(t *testing.T) {
	_, send := flow(t, Limits{})
	for _, codec := range []string{"application/json", "application/msgpack"} {
		for method, code := range map[string]string{"broken": "unavailable", "odd": "internal", "panics": "internal"} {
			for _, n := range []int{0, 10, 30_000} {
				resp, v := send(fmt.Sprintf(`{"id":1,"method":%q,"params":[%d]}`, method, n), codec, "zstd")
				m := v.(map[string]any)
				fault, _ := m["error"].(map[string]any)
				if m["result"] != nil || fault["code"] != code || (resp.StatusCode == 503) != (code == "unavailable") {
					t.Errorf("%s %s behind %d rows: %d %v", codec, method, n, resp.StatusCode, m)
				}
				_, v = send(fmt.Sprintf(`[{"id":1,"method":"rows","params":[3]},{"id":2,"method":%q,"params":[%d]},{"id":3,"method":"rows","params":[2]}]`, method, n), codec, "")
				answers := v.([]any)
				if first, last := answers[0].(map[string]any)["result"], answers[2].(map[string]any)["result"]; len(answers) != 3 || len(first.([]any)) != 3 || len(last.([]any)) != 2 {
					t.Errorf("%s: the others of the batch: %v, %v", codec, first, last)
				}
				if m := answers[1].(map[string]any); m["result"] != nil || m["error"] == nil {
					t.Errorf("%s %s in a batch: %v", codec, method, m)
				}
			}
		}
	}
}

// Large answers have a budget, of all and of each caller.
func TestStream_HasABudget(t *testing.T) {
	h, send := flow(t, Limits{Disk: 4 << 20})
	if resp, v := send(`{"id":1,"method":"rows","params":[30000]}`, "application/json", ""); resp.StatusCode != 200 || v.(map[string]any)["result"] != nil {
		t.Errorf("too large an answer: %v %v", resp, v)
	}
	if resp, _ := send(`{"id":1,"method":"rows","params":[10000]}`, "application/json", ""); resp.StatusCode != 200 {
		t.Errorf("a smaller one: %v", resp)
	}
	other := h.disk.share("answer", 4<<20, methods.Actor{Role: methods.Administrator, ID: "admin"})
	if err := other.take(900 << 10); err != nil {
		t.Fatal(err)
	}
	req := httptest.NewRequest("POST", "/rpc", strings.NewReader(`{"id":1,"method":"rows","params":[10000]}`))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	if w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("beside another large one: %d %v %.200s", w.Code, w.Header(), w.Body)
	}
	other.release()
}

// What cannot be sent to its end is broken off: nobody takes it for whole.
func TestStream_BreaksOffWhatCannotBeSent(t *testing.T) {
	h, _ := flow(t, Limits{})
	for _, accept := range []string{"", "gzip"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(&leaky{w, 40_000}, r) }))
		defer server.Close()
		req, err := http.NewRequest("POST", server.URL+"/rpc", strings.NewReader(`{"id":1,"method":"rows","params":[30000]}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept-Encoding", accept)
		transport := &http.Transport{DisableCompression: true}
		defer transport.CloseIdleConnections()
		resp, err := (&http.Client{Transport: transport}).Do(req)
		if err != nil {
			continue // broken off before the header was out
		}
		if data, err := io.ReadAll(resp.Body); err == nil {
			t.Errorf("%q: %d bytes look whole", accept, len(data))
		}
		resp.Body.Close()
	}
}

// leaky is a response that fails after some bytes.
type leaky struct {
	http.ResponseWriter
	left int
}

func (l *leaky) Write(p []byte) (int, error) {
	if l.left -= len(p); l.left < 0 {
		return 0, io.ErrShortWrite
	}
	return l.ResponseWriter.Write(p)
}
