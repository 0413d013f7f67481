package opsi

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/test/lab"
)

var noActor methods.Actor // the server knows who calls

func positional(args ...any) methods.Params { return methods.Pos(args...) }

// codec is one of the two encodings.
type codec struct {
	name      string
	mediaType string
	pack      func(any) ([]byte, error)
	unpack    func([]byte, any) error
}

var codecs = []codec{
	{"JSON", "application/json", json.Marshal, json.Unmarshal},
	{"MessagePack", "application/msgpack", msgpack.Marshal, msgpack.Unmarshal},
}

// The calls in this file's neighbours and their order are those that were
// recorded from opsi's client agent at work. A test says what it sends, byte for
// byte as that program does, and which shape the answer must have for it to go
// on.

// service is a connection as opsi's service client has one: one session, found
// by its cookie.
type service struct {
	t      *testing.T
	url    string
	server string // id of the config server
	user   string
	key    string
	codec  codec
	client *http.Client
	calls  int
}

func connect(t *testing.T, l *lab.Lab, c codec, user, key string) *service {
	t.Helper()
	pem, err := os.ReadFile(filepath.Join(l.Server.Dir, "ca", "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &service{t: t, url: l.Server.URL(), server: l.Server.ID, user: user, key: key, codec: c, client: &http.Client{Transport: transport, Jar: jar}}
}

// do sends a request and returns the answer with its body read.
func (s *service) do(method, path string, body []byte, header map[string]string) (*http.Response, []byte) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.SetBasicAuth(s.user, s.key)
	req.Header.Set("User-Agent", "opsiclientd/4.3.3.21")
	req.Header.Set("X-opsi-session-lifetime", "150")
	for name, v := range header {
		req.Header.Set(name, v)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp, data
}

// answer is an envelope of JSON-RPC 2.0.
type answer struct {
	Version string         `json:"jsonrpc" msgpack:"jsonrpc"`
	ID      any            `json:"id" msgpack:"id"`
	Result  any            `json:"result" msgpack:"result"`
	Error   map[string]any `json:"error" msgpack:"error"`
}

// try calls a method with parameters that are written as JSON.
func (s *service) try(method, params string) answer {
	s.t.Helper()
	var list any
	dec := json.NewDecoder(strings.NewReader(params))
	dec.UseNumber()
	if err := dec.Decode(&list); err != nil {
		s.t.Fatalf("%s: parameters %s: %v", method, params, err)
	}
	s.calls++
	body, err := s.codec.pack(map[string]any{"jsonrpc": "2.0", "id": s.calls, "method": method, "params": whole(list)})
	if err != nil {
		s.t.Fatal(err)
	}
	resp, data := s.do(http.MethodPost, "/rpc", body, map[string]string{"Content-Type": s.codec.mediaType, "Accept": s.codec.mediaType})
	if got := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || got != s.codec.mediaType {
		s.t.Fatalf("%s: %s, %s: %s", method, resp.Status, got, data)
	}
	var a answer
	if err := s.codec.unpack(data, &a); err != nil {
		s.t.Fatalf("%s: %v", method, err)
	}
	if a.Version != "2.0" || fmt.Sprint(a.ID) != fmt.Sprint(s.calls) {
		s.t.Errorf("%s: answer %v of version %q", method, a.ID, a.Version)
	}
	return a
}

// call is try for a call that must succeed.
func (s *service) call(method, params string) any {
	s.t.Helper()
	a := s.try(method, params)
	if a.Error != nil {
		s.t.Fatalf("%s %s: %v", method, params, a.Error)
	}
	return a.Result
}

// whole turns JSON's numbers into those that MessagePack has.
func whole(v any) any {
	switch v := v.(type) {
	case json.Number:
		n, _ := v.Int64()
		return n
	case []any:
		for i := range v {
			v[i] = whole(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = whole(v[k])
		}
	}
	return v
}
