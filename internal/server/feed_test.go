package server_test

import (
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/feed"
	"github.com/fernwerk/fernwerk/internal/server"
	"github.com/fernwerk/fernwerk/internal/server/cluster"
	"github.com/fernwerk/fernwerk/internal/server/config"
	"github.com/fernwerk/fernwerk/test/require"
)

// freeAddress is one that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

type feedSigner struct {
	*feed.PrivateKey
	t      *testing.T
	public string
}

func newSigner(t *testing.T) feedSigner {
	t.Helper()
	k, err := feed.NewKey("idhal", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	public, err := k.Public().Print()
	if err != nil {
		t.Fatal(err)
	}
	return feedSigner{k, t, string(public)}
}

func (k feedSigner) script(serial int64, expires time.Time) string {
	k.t.Helper()
	text, err := feed.Script{Header: feed.Header{Site: "idhal", Serial: serial, Expires: expires}}.Render()
	if err != nil {
		k.t.Fatal(err)
	}
	file, err := k.Sign(text, time.Now())
	if err != nil {
		k.t.Fatal(err)
	}
	return string(file)
}

func TestFeed_PublishedAndServed(t *testing.T) {
	plain := freeAddress(t)
	r := start(t, server.Config{Data: t.TempDir(), Feed: config.Feed{Listen: plain}})
	admin := r.client(t, "admin", password)
	k, soon := newSigner(t), time.Now().AddDate(0, 1, 0)
	ask := func(method, path, since string) (*http.Response, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+plain+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if since != "" {
			req.Header.Set("If-Modified-Since", since)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(body)
	}
	if resp, _ := ask("GET", "/feed/script.asc", ""); resp.StatusCode != http.StatusNotFound {
		t.Errorf("before anything is published: %s", resp.Status)
	}
	publish := func(args ...any) error {
		_, err := admin.Call(t.Context(), methods.Actor{}, "feed_publish", methods.Pos(args...))
		return err
	}
	first := k.script(17, soon)
	if err := publish(first); fleet.CodeOf(err) != fleet.Invalid {
		t.Errorf("without a key: %v", err)
	}
	if err := publish(first, k.public); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"/feed/script.asc": first, "/feed/key.asc": k.public, "/feed/serial": "17\n"} {
		if resp, body := ask("GET", path, ""); resp.StatusCode != http.StatusOK || body != want {
			t.Errorf("%s: %s %q", path, resp.Status, body)
		}
		if resp, body := r.get(t, path); resp.StatusCode != http.StatusOK || body != want {
			t.Errorf("https %s: %s", path, resp.Status)
		}
	}
	head, body := ask("HEAD", "/feed/script.asc", "")
	changed := head.Header.Get("Last-Modified")
	if body != "" || head.ContentLength != int64(len(first)) || changed == "" {
		t.Errorf("HEAD: %v", head.Header)
	}
	if resp, _ := ask("GET", "/feed/script.asc", changed); resp.StatusCode != http.StatusNotModified {
		t.Errorf("unchanged: %s", resp.Status)
	}
	// Nothing else goes without TLS.
	for _, path := range []string{"/", "/rpc", "/healthz", "/v1/gen_certif", "/feed", "/feed/", "/feed/../rpc", "/depot/", "/ssl/ca-certs.pem", "/session/logout"} {
		if resp, _ := ask("GET", path, ""); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s without TLS: %s", path, resp.Status)
		}
	}
	if resp, _ := ask("POST", "/feed/script.asc", ""); resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %s", resp.Status)
	}

	other := newSigner(t)
	tampered := strings.Replace(k.script(18, soon), "RC=0", "RC=1", 1)
	for name, c := range map[string]struct {
		args []any
		want string
	}{
		"a lower serial":      {[]any{k.script(16, soon)}, "lower than 17"},
		"another of serial":   {[]any{k.script(17, soon.AddDate(0, 1, 0))}, "another one of serial 17"},
		"expired":             {[]any{k.script(18, time.Now().AddDate(0, 0, -1))}, "expired"},
		"tampered with":       {[]any{tampered}, "signature is not good"},
		"text around":         {[]any{first + "rm -rf /\n"}, "after the signed block"},
		"of a stranger":       {[]any{other.script(18, soon)}, "not signed with the key"},
		"with another's key":  {[]any{other.script(18, soon), other.public}, "the server has the key"},
		"a key that is wrong": {[]any{other.script(18, soon), k.public}, "not signed with the key"},
	} {
		if err := publish(c.args...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, body := ask("GET", "/feed/script.asc", ""); body != first {
		t.Error("a refused script is shown")
	}
	if err := publish(first); err != nil { // again: nothing happens
		t.Error(err)
	}
	if resp, _ := ask("GET", "/feed/script.asc", changed); resp.StatusCode != http.StatusNotModified {
		t.Errorf("published again: %s", resp.Status)
	}
	second := k.script(18, soon)
	if err := publish(second); err != nil {
		t.Fatal(err)
	}
	if resp, body := ask("GET", "/feed/script.asc", changed); resp.StatusCode != http.StatusOK || body != second {
		t.Errorf("wget -N would miss a script of the same second: %s", resp.Status)
	}
	if err := publish(other.script(19, soon), other.public, true); err != nil {
		t.Errorf("a key that is to be replaced: %v", err)
	}
	state := call(t, admin, "feed_getState").(map[string]any)
	if state["serial"] != int64(19) || state["fingerprint"] != other.Public().Fingerprint() {
		t.Errorf("%v", state)
	}
}

// Two servers on one database show the same.
func TestFeed_TwoServers(t *testing.T) {
	database, key := require.Postgres(t), cluster.NewKey()
	beside := func(name string) *running {
		data := t.TempDir()
		if err := key.Write(filepath.Join(data, cluster.KeyFile)); err != nil {
			t.Fatal(err)
		}
		return start(t, server.Config{Data: data, Database: database, Replica: name, ID: "server.example.org"})
	}
	left, right := beside("left"), beside("right")
	k := newSigner(t)
	script := k.script(1, time.Now().AddDate(0, 1, 0))
	call(t, left.client(t, "admin", password), "feed_publish", script, k.public)
	for _, r := range []*running{left, right} {
		resp, body := r.get(t, "/feed/script.asc")
		if body != script || resp.Header.Get("Last-Modified") == "" {
			t.Errorf("%s: %s", resp.Header.Get("X-Fernwerk-Replica"), resp.Status)
		}
	}
}
