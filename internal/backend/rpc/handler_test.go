package rpc

import (
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/rpc/wire"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

func TestEnvelopes(t *testing.T) {
	s := open(t, ours, Limits{Body: 20_000, Batch: 3})
	fault := `"class":"BackendMissingDataError","code":"not-found","details":"no method \"nix\""`
	for _, tt := range []struct {
		name, body string
		status     int
		want       string
	}{
		{"2.0", `{"jsonrpc":"2.0","id":7,"method":"text","params":[1]}`, 200, `{"id":7,"jsonrpc":"2.0","result":"fernwerk "}`},
		{"1.0", `{"id":"a","method":"text","params":[1]}`, 200, `{"error":null,"id":"a","result":"fernwerk "}`},
		{"no id", `{"method":"text","params":[0]}`, 200, `{"error":null,"id":0,"result":""}`},
		{"null id, no params", `{"id":null,"method":"get"}`, 200, `{"error":null,"id":null,"result":[]}`},
		{"named", `{"id":1,"method":"echo","params":{"a":1}}`, 200, `{"error":null,"id":1,"result":{"named":{"a":1},"positional":[]}}`},
		{"trailing dictionary", `{"id":1,"method":"echo","params":[[],{"a":1}]}`, 200, `{"error":null,"id":1,"result":{"named":{},"positional":[[],{"a":1}]}}`},
		{"error 2.0", `{"jsonrpc":"2.0","id":1,"method":"nix"}`, 200,
			`{"error":{"code":0,"data":{` + fault + `},"message":"no method \"nix\""},"id":1,"jsonrpc":"2.0"}`},
		{"error 1.0", `{"id":1,"method":"nix"}`, 200, `{"error":{` + fault + `,"message":"no method \"nix\""},"id":1,"result":null}`},
		{"batch of one", `[{"id":1,"method":"text","params":[0]}]`, 200, `[{"error":null,"id":1,"result":""}]`},
		{"batch of none", `[]`, 200, `[]`},
		{"mixed batch", `[{"id":1,"method":"text","params":[0]},7,{"jsonrpc":"2.0","id":3,"method":"text","params":[0]}]`, 200,
			`[{"error":null,"id":1,"result":""},{"error":{"class":"BackendBadValueError","code":"invalid","details":"cannot read request: it is no object",` +
				`"message":"cannot read request: it is no object"},"id":0,"result":null},{"id":3,"jsonrpc":"2.0","result":""}]`},
		{"batch over the limit", `[1,2,3,4]`, 413, "the limit is 3"},
		{"no object", `7`, 400, "no object"},
		{"no method", `{"id":1}`, 400, "no method"},
		{"method is no text", `{"id":1,"method":[]}`, 400, "no method"},
		{"id is a list", `{"id":[],"method":"x"}`, 400, "id is neither"},
		{"params are text", `{"id":1,"method":"x","params":"y"}`, 400, "params is neither"},
		{"half", `{"id":1,`, 400, "EOF"},
		{"nothing", ``, 400, "empty"},
		{"over the limit", `{"id":1,"method":"` + strings.Repeat("x", 20_000) + `"}`, 413, "cannot read request"},
	} {
		resp, body := s.send(t, "POST", "/rpc", tt.body, "Content-Type: application/json")
		if resp.StatusCode != tt.status || tt.status == 200 && body != tt.want || !strings.Contains(body, tt.want) {
			t.Errorf("%s: %d %s\nwant %d %s", tt.name, resp.StatusCode, body, tt.status, tt.want)
		}
	}
}

func TestSerialisations(t *testing.T) {
	s := open(t, ours, Limits{})
	req := map[string]any{"id": int64(1), "method": "text", "params": []any{int64(1)}}
	inJSON, _ := wire.JSON.Marshal(req)
	packed, _ := wire.Msgpack.Marshal(req)
	for _, tt := range []struct {
		name, method, path, body string
		header                   []string
		want                     string
	}{
		{"JSON", "POST", "/rpc", string(inJSON), []string{"Content-Type: application/json; charset=utf-8"}, "application/json"},
		{"answer in kind", "POST", "/rpc", string(inJSON), []string{"Content-Type: application/json", "Accept: application/msgpack"}, "application/json"},
		{"MessagePack", "POST", "/rpc/rpc", string(packed), []string{"Content-Type: application/msgpack"}, "application/msgpack"},
		{"old name", "POST", "/rpc", string(packed), []string{"Content-Type: application/x-msgpack"}, "application/msgpack"},
		{"no type", "POST", "/rpc", string(inJSON), nil, "application/json"},
		{"no type, Accept", "POST", "/rpc", string(inJSON), []string{"Accept: application/msgpack"}, "application/msgpack"},
		{"foreign type", "POST", "/rpc", string(inJSON), []string{"Content-Type: text/plain"}, "application/json"},
		{"GET", "GET", "/rpc?" + url.QueryEscape(string(inJSON)), "", nil, "application/json"},
		{"GET below", "GET", "/rpc/x?" + url.PathEscape(string(inJSON)), "", []string{"Accept: application/msgpack"}, "application/msgpack"},
	} {
		resp, body := s.send(t, tt.method, tt.path, tt.body, tt.header...)
		if got := resp.Header.Get("Content-Type"); got != tt.want || resp.StatusCode != 200 {
			t.Errorf("%s: %d %s %s", tt.name, resp.StatusCode, got, body)
			continue
		}
		v, err := wire.CodecOf(tt.want).Unmarshal([]byte(body), 1<<20, nil)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if d := cmp.Diff(map[string]any{"id": int64(1), "result": "fernwerk ", "error": nil}, v); d != "" {
			t.Errorf("%s: %s", tt.name, d)
		}
	}
}

// Answers are packed from 10,001 bytes on, if the caller reads packed ones.
func TestAnswerEncoding(t *testing.T) {
	s := open(t, ours, Limits{})
	body := func(times string) string { return `{"jsonrpc":"2.0","id":1,"method":"text","params":[` + times + `]}` }
	for _, tt := range []struct{ times, accept, want string }{
		{"1000", "zstd, lz4, deflate, gzip", ""},
		{"2000", "", ""},
		{"2000", "gzip", "gzip"},
		{"2000", "gzip, deflate", "deflate"},
		{"2000", "gzip, deflate, lz4", "lz4"},
		{"2000", "gzip, deflate, br, zstd", "zstd"},
	} {
		resp, got := s.send(t, "POST", "/rpc", body(tt.times), "Accept-Encoding: "+tt.accept)
		if e := resp.Header.Get("Content-Encoding"); e != tt.want {
			t.Errorf("%s, accept %q: encoding %q, want %q", tt.times, tt.accept, e, tt.want)
		}
		data, err := wire.Unpack(strings.NewReader(got), tt.want, 1<<20, nil)
		if err != nil || !strings.Contains(string(data), `"result":"fernwerk fernwerk`) {
			t.Errorf("%s, accept %q: %v, %.50s", tt.times, tt.accept, err, data)
		}
	}
}

func TestPackedRequests(t *testing.T) {
	s := open(t, ours, Limits{Body: 50_000})
	for _, e := range wire.Encodings {
		for size, status := range map[int]int{40_000: 200, 4_000_000: 413} {
			packed, err := wire.Pack([]byte(`{"id":1,"method":"echo","params":["`+strings.Repeat("x", size)+`"]}`), e)
			if err != nil {
				t.Fatal(err)
			}
			resp, body := s.send(t, "POST", "/rpc", string(packed), "Content-Encoding: "+e, "Content-Type: application/json")
			if resp.StatusCode != status {
				t.Errorf("%s, %d bytes in %d: %d %.200s", e, size, len(packed), resp.StatusCode, body)
			}
		}
		if resp, body := s.send(t, "POST", "/rpc", "garbage", "Content-Encoding: "+e); resp.StatusCode != 400 {
			t.Errorf("%s: %d %s", e, resp.StatusCode, body)
		}
	}
	if resp, body := s.send(t, "POST", "/rpc", "{}", "Content-Encoding: br"); resp.StatusCode != 400 || !strings.Contains(body, "lz4") {
		t.Errorf("unknown encoding: %d %s", resp.StatusCode, body)
	}
}

func TestDoors(t *testing.T) {
	s := open(t, ours, Limits{})
	const get = `{"id":1,"method":"get"}`
	for _, tt := range []struct {
		name, method, path, body string
		header                   []string
		status                   int
	}{
		{"greeting", "HEAD", "/rpc", "", nil, 200},
		{"greeting of a stranger", "HEAD", "/rpc", "", []string{"Authorization: "}, 401},
		{"stranger", "POST", "/rpc", get, []string{"Authorization: "}, 401},
		{"stranger with garbage", "POST", "/rpc", "\xc1", []string{"Authorization: ", "Content-Type: application/msgpack"}, 401},
		{"session", "POST", "/rpc", get, []string{"Authorization: ", "Cookie: opsiconfd-session=" + session}, 200},
		{"session after garbage", "POST", "/rpc", get, []string{"Authorization: ", "Cookie: NULL; opsiconfd-session=" + session}, 200},
		{"other session", "POST", "/rpc", get, []string{"Authorization: ", "Cookie: =; ;;NULL; opsiconfd-session=\"" + session[1:]}, 401},
		{"PUT", "PUT", "/rpc", get, nil, 405},
		{"own page", "POST", "/rpc", get, []string{"Sec-Fetch-Site: same-origin"}, 200},
		{"foreign page", "POST", "/rpc", get, []string{"Sec-Fetch-Site: cross-site"}, 403},
		{"image in a foreign page", "GET", "/rpc?" + url.QueryEscape(get), "", []string{"Sec-Fetch-Site: cross-site"}, 403},
		{"foreign origin", "POST", "/rpc", get, []string{"Origin: https://evil.test"}, 403},
	} {
		resp, body := s.send(t, tt.method, tt.path, tt.body, tt.header...)
		if resp.StatusCode != tt.status {
			t.Errorf("%s: %d %s, want %d", tt.name, resp.StatusCode, body, tt.status)
		}
		if tt.status == 401 {
			if got := resp.Header.Get("WWW-Authenticate"); !strings.HasPrefix(got, "Basic ") {
				t.Errorf("%s: WWW-Authenticate %q", tt.name, got)
			}
			if want := `{"error":"wrong password for \"\"","id":null,"result":null}`; tt.method != "HEAD" && body != want {
				t.Errorf("%s: %s, want %s", tt.name, body, want)
			}
			if got := resp.Header.Get("X-Opsi-Error"); got != `wrong password for ""` {
				t.Errorf("%s: X-Opsi-Error %q", tt.name, got)
			}
		}
	}
}

// What goes wrong inside is for the log; a caller gets the number to ask about,
// and only an administrator the details. The process lives on.
func TestInternalErrors(t *testing.T) {
	for _, method := range []string{"fail", "panic", "nonsense"} {
		s := open(t, ours, Limits{})
		body := `{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":[""]}`
		resp, admin := s.send(t, "POST", "/rpc", body)
		req := s.shelf.actors[0].Request
		if resp.StatusCode != 200 || req == "" || !strings.Contains(admin, `"message":"internal error (request `+req+`)"`) || strings.Contains(admin, `"details":null`) {
			t.Errorf("%s: %d %s, request %q", method, resp.StatusCode, admin, req)
		}
		_, err := s.client(t, "h").Call(t.Context(), methods.Actor{}, method, methods.Pos(""))
		if fleet.CodeOf(err) != fleet.Internal || err.Error() != "internal error (request req-1)" {
			t.Errorf("%s: host is told %v", method, err)
		}
		_, host := s.send(t, "POST", "/rpc", body, "Authorization: ", "Cookie: opsiconfd-session="+session)
		if !strings.Contains(host, `"details":null`) || strings.Contains(host, "secret") || strings.Contains(host, "shelf") {
			t.Errorf("%s: reader is told %s", method, host)
		}
		for _, want := range []string{"request=" + req, "request=req-1", map[string]string{
			"fail": "secret of the database", "panic": "out of shelf", "nonsense": "no plain data"}[method]} {
			if !strings.Contains(s.log.String(), want) {
				t.Errorf("%s: log lacks %q: %s", method, want, s.log)
			}
		}
	}
}

// The actor is whom authentication says, with the request's number.
func TestActor(t *testing.T) {
	s := open(t, ours, Limits{})
	c := s.client(t, "h.branch.test")
	if _, err := c.Call(t.Context(), methods.Actor{Role: methods.Administrator, ID: "forged"}, "get", methods.Params{}); err != nil {
		t.Fatal(err)
	}
	if got, want := s.shelf.actors[0], (methods.Actor{Role: methods.Host, ID: "h.branch.test", Request: "req-1"}); got != want {
		t.Errorf("actor %+v, want %+v", got, want)
	}
}

func TestBusy(t *testing.T) {
	s := open(t, ours, Limits{})
	resp, body := s.send(t, "POST", "/rpc", `{"id":1,"method":"fail","params":["unavailable"]}`)
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") != "90" || !strings.Contains(body, `"class":"BackendTemporaryError"`) {
		t.Errorf("%d, Retry-After %q, %s", resp.StatusCode, resp.Header.Get("Retry-After"), body)
	}
	if resp, _ := s.send(t, "POST", "/rpc", `[{"id":1,"method":"fail","params":["unavailable"]}]`); resp.StatusCode != 200 {
		t.Errorf("batch: %d", resp.StatusCode)
	}
}

func TestHeaderText(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "plain", "line\r\nX: y": "line??X: y", "Grüße": "Gr??e", strings.Repeat("x", 70): strings.Repeat("x", 64),
	} {
		if got := headerText(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
