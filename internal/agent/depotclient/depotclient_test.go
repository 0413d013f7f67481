package depotclient

import (
	"context"
	"crypto/cipher"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"golang.org/x/crypto/blowfish"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

const (
	self = "pc1.example.org"
	key  = "0123456789abcdef0123456789abcdef"
)

// seal is what an opsi server does.
func seal(t testing.TB, password, key string) string {
	k, err := hex.DecodeString(key)
	if err != nil {
		t.Fatal(err)
	}
	block, err := blowfish.NewCipher(k)
	if err != nil {
		t.Fatal(err)
	}
	data := []byte(password)
	for len(data)%8 != 0 {
		data = append(data, 0)
	}
	cipher.NewCBCEncrypter(block, []byte("OPSI1234")).CryptBlocks(data, data)
	return hex.EncodeToString(data)
}

func TestUnseal(t *testing.T) {
	for _, password := range []string{"x", "linux123", "ümläut and blanks, longer than one block"} {
		if got, err := unseal(seal(t, password, key), key); got != password || err != nil {
			t.Errorf("%q: %q, %v", password, got, err)
		}
	}
	for _, text := range []string{"", "zz", "00", strings.Repeat("0", maxSealed+2), seal(t, "linux123", strings.Repeat("ff", 16))} {
		if got, err := unseal(text, key); err == nil {
			t.Errorf("%q is read as %q", text, got)
		}
	}
	if _, err := unseal(seal(t, "x", key), "no key"); err == nil {
		t.Error("a key that is none is taken")
	}
}

func FuzzUnseal(f *testing.F) {
	f.Add(seal(f, "linux123", key))
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := unseal(text, key); err == nil && (p == "" || strings.Contains(p, "\x00")) {
			t.Errorf("%q: %q", text, p)
		}
	})
}

// server answers the methods that are asked for depots.
type server struct {
	others []any
	hosts  []any
	err    error
	calls  []string
}

func (s *server) Call(_ context.Context, _ methods.Actor, method string, _ methods.Params) (any, error) {
	s.calls = append(s.calls, method)
	switch {
	case s.err != nil:
		return nil, s.err
	case method == "host_getObjects":
		return s.hosts, nil
	case method == "configState_getClientToDepotserver":
		return []any{map[string]any{"clientId": self, "depotId": "fw.example.org", "alternativeDepotIds": s.others}}, nil
	}
	return nil, fleet.Errorf(fleet.NotFound, "no method %s", method)
}

func newClient(s *server) *Client {
	return New(Config{HostID: self, HostKey: key, Server: "https://fw.example.org:4447", Remote: s, Log: slog.New(slog.DiscardHandler),
		HTTP: func(string) (*http.Client, func(*http.Request) error, error) {
			return &http.Client{Transport: &http.Transport{}}, nil, nil
		}})
}

var config = fleet.Host{Type: fleet.OpsiConfigserver, ID: "fw.example.org", DepotWebdavURL: "webdavs://inside.example.org:4447/depot", DepotRemoteURL: "smb://fw.example.org/opsi_depot"}

func wish() Wish {
	return Wish{Protocol: WebDAV, Policy: "verified", Mode: Random, Master: "fw.example.org", User: "pcpatch", Products: []string{"editor"}, Known: []fleet.Host{config}}
}

func TestChoose(t *testing.T) {
	d1 := map[string]any{"type": "OpsiDepotserver", "id": "d1.example.org", "depotWebdavUrl": "webdavs://d1.example.org:4448/depot", "depotRemoteUrl": "smb://d1.example.org/share/sub"}
	bad := map[string]any{"type": "OpsiDepotserver", "id": "bad.example.org", "depotWebdavUrl": "http://bad.example.org/depot"}
	for _, test := range []struct {
		name   string
		server server
		change func(*Wish)
		want   string // depots, then the first one's address
		reason string
		calls  string
	}{
		{"the master, and nobody is asked", server{}, func(*Wish) {}, "fw.example.org https://fw.example.org:4447/depot", "the client's depot", ""},
		{"another than the config server", server{hosts: []any{d1}}, func(w *Wish) { w.Master = "d1.example.org" }, "d1.example.org https://d1.example.org:4448/depot", "the client's depot", "host_getObjects"},
		{"depot_id", server{hosts: []any{d1}}, func(w *Wish) { w.Fixed = "d1.example.org"; w.Dynamic = true }, "d1.example.org https://d1.example.org:4448/depot", "depot_id", "host_getObjects"},
		{"url", server{}, func(w *Wish) { w.URL = "webdavs://[2001:db8::1]/x/" }, "fw.example.org https://[2001:db8::1]:4447/x", "url", ""},
		{"dynamic", server{others: []any{"d1.example.org", 5, "no id", "fw.example.org"}, hosts: []any{d1}}, func(w *Wish) { w.Dynamic = true; w.Mode = NetworkAddress }, "fw.example.org d1.example.org https://fw.example.org:4447/depot",
			"no depot has this machine's network", "configState_getClientToDepotserver host_getObjects"},
		{"nobody else", server{}, func(w *Wish) { w.Dynamic = true }, "fw.example.org https://fw.example.org:4447/depot", "no other depot has all", "configState_getClientToDepotserver"},
		{"no answer", server{err: errors.New("gone")}, func(w *Wish) { w.Dynamic = true }, "fw.example.org https://fw.example.org:4447/depot", "did not say", "configState_getClientToDepotserver"},
		{"one that cannot be used", server{others: []any{"bad.example.org"}, hosts: []any{bad}}, func(w *Wish) { w.Dynamic = true }, "fw.example.org https://fw.example.org:4447/depot", "", "configState_getClientToDepotserver host_getObjects"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := wish()
			test.change(&w)
			c := newClient(&test.server)
			ch, err := c.Choose(t.Context(), w)
			if err != nil {
				t.Fatal(err)
			}
			defer ch.Close()
			if got := strings.Join(ch.Depots, " ") + " " + ch.depots[0].folder; got != test.want || !strings.Contains(ch.Reason, test.reason) {
				t.Errorf("%s: %s", got, ch.Reason)
			}
			if got := strings.Join(test.server.calls, " "); got != test.calls {
				t.Errorf("called %s", got)
			}
		})
	}
	t.Run("refused", func(t *testing.T) {
		for _, change := range []func(*Wish){
			func(w *Wish) { w.Protocol = "ftp" },
			func(w *Wish) { w.Fixed = self },
			func(w *Wish) { w.Fixed = "bad.example.org" },
			func(w *Wish) { w.URL, w.Protocol = "http://fw.example.org/", CIFS; w.Known[0].DepotRemoteURL = "" },
			func(w *Wish) { w.URL = "http://fw.example.org/" },
		} {
			w := wish()
			change(&w)
			if ch, err := newClient(&server{hosts: []any{bad}}).Choose(t.Context(), w); err == nil {
				t.Errorf("%+v is chosen", ch.Depots)
			}
		}
	})
}

// An opsi depot has no manifests: it is refused, unless the machine's own
// configuration names the policy.
func TestTree_PolicyByName(t *testing.T) {
	for _, status := range []int{404, 401, 403} {
		plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(status) }))
		defer plain.Close()
		for policy, code := range map[string]fleet.Code{"verified": map[int]fleet.Code{404: fleet.NotFound, 401: fleet.Unauthenticated, 403: fleet.Denied}[status], PlainOpsi: fleet.NotHere} {
			c := newClient(&server{})
			w := wish()
			w.Policy = policy
			ch, err := c.Choose(t.Context(), w)
			if err != nil {
				t.Fatal(err)
			}
			ch.depots[0].base = plain.URL
			_, err = ch.Tree(t.Context(), "editor", nil, func(r io.Reader) io.Reader { return r })
			if fleet.CodeOf(err) != code {
				t.Errorf("%d, %s: code %s: %v", status, policy, fleet.CodeOf(err), err)
			}
			if n := len(ch.Folders("editor")); (n > 0) != (policy == PlainOpsi) {
				t.Errorf("%s: %d folders may be believed", policy, n)
			}
			if policy == "verified" && !strings.Contains(fleet.HintOf(err), "content_policy") {
				t.Errorf("hint %q", fleet.HintOf(err))
			}
		}
	}
}
