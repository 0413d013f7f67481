package session

import (
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/ctl/console"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// someone is a source with a configuration folder, an environment and flags.
func someone(t *testing.T, env map[string]string, f Flags) *Source {
	if env == nil {
		env = map[string]string{}
	}
	if env["XDG_CONFIG_HOME"] == "" {
		env["XDG_CONFIG_HOME"] = t.TempDir()
	}
	return &Source{Flags: f, Getenv: func(name string) string { return env[name] },
		Console: &console.Console{In: strings.NewReader("from stdin\n"), Out: &strings.Builder{}, Err: &strings.Builder{}}}
}

const here = "https://server.example.org:4447"

func TestAccount(t *testing.T) {
	config := t.TempDir()
	login := Account{Server: here, User: "anna", Password: "saved", CA: "the CA"}
	name, path, err := someone(t, map[string]string{"XDG_CONFIG_HOME": config}, Flags{}).Save("", login)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 || path != filepath.Join(config, "fernwerk", "login.json") || name != "server.example.org" {
		t.Errorf("%s: %s, %v, %v", path, name, info, err)
	}
	for _, c := range []struct {
		name  string
		env   map[string]string
		flags Flags
		want  Account
	}{
		{"the saved login", nil, Flags{}, login},
		{"the same server, spelt otherwise", nil, Flags{Server: "Server.example.org/"}, login},
		{"another server gets neither user nor password nor CA", nil, Flags{Server: "https://evil.example.org"}, Account{Server: "https://evil.example.org:4447"}},
		{"another port is another server", nil, Flags{Server: "https://server.example.org:4448"}, Account{Server: "https://server.example.org:4448"}},
		{"another server with the saved user's name", map[string]string{"FERNWERK_SERVER": "https://evil.example.org"}, Flags{User: "anna"},
			Account{Server: "https://evil.example.org:4447", User: "anna"}},
		{"another user does not get the password", nil, Flags{User: "bert"}, Account{Server: here, User: "bert", CA: "the CA"}},
		{"environment before Account", map[string]string{"FERNWERK_USER": "bert", "FERNWERK_PASSWORD": "env"}, Flags{},
			Account{Server: here, User: "bert", Password: "env", CA: "the CA"}},
		{"flags before environment", map[string]string{"FERNWERK_USER": "bert", "FERNWERK_PASSWORD": "env"}, Flags{User: "carl", PasswordFile: "-"},
			Account{Server: here, User: "carl", Password: "from stdin", CA: "the CA"}},
	} {
		env := map[string]string{"XDG_CONFIG_HOME": config}
		for k, v := range c.env {
			env[k] = v
		}
		a, err := someone(t, env, c.flags).Account()
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		c.want.HasPassword = c.want.Password != ""
		if diff := cmp.Diff(c.want, a); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

func TestAccount_Refused(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, f := range []Flags{
		{},                             // nobody is logged in
		{Server: "http://a.b"},         // no TLS
		{Server: "https://"},           // no server
		{Server: "https://a.b/c"},      // more than a server
		{Server: here, CA: "/nowhere"}, // no file
		{Server: here, PasswordFile: "/nowhere"},
		{Server: here, PasswordFile: empty},
	} {
		if a, err := someone(t, nil, f).Account(); err == nil {
			t.Errorf("%+v: %+v", f, a)
		}
	}
	broken := t.TempDir()
	source := someone(t, map[string]string{"XDG_CONFIG_HOME": broken}, Flags{})
	_, path, err := source.Save("", Account{})
	if err == nil {
		err = os.WriteFile(path, []byte("{"), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := source.Account(); err == nil || fleet.HintOf(err) == "" {
		t.Errorf("a broken login: %v", err)
	}
	if was, err := source.Forget(""); was == "" || err != nil {
		t.Errorf("forget: %v, %v", was, err)
	}
	if was, err := source.Forget(""); was != "" || err != nil {
		t.Errorf("forget twice: %v, %v", was, err)
	}
}

func TestContexts(t *testing.T) {
	env := map[string]string{"XDG_CONFIG_HOME": t.TempDir()}
	source := someone(t, env, Flags{})
	save := func(name string, a Account, want string) {
		t.Helper()
		if got, _, err := source.Save(name, a); err != nil || got != want {
			t.Fatalf("saved as %q, %v; want %q", got, err, want)
		}
	}
	first, other, same := Account{Server: here, User: "anna", Password: "1"}, Account{Server: "https://b.example.org:4447", User: "b", Password: "2"},
		Account{Server: "https://server.example.org:9999", User: "c", Password: "3"}
	save("", first, "server.example.org")
	save("", first, "server.example.org") // its own again
	save("b", other, "b")
	save("", same, "server.example.org-2") // another server on that host
	for _, c := range []struct {
		flags Flags
		env   string
		want  string // the password
	}{
		{Flags{}, "", "3"}, // saved last
		{Flags{Context: "b"}, "", "2"},
		{Flags{}, "b", "2"},
		{Flags{Server: here}, "b", "1"}, // a flag counts before the environment
		{Flags{Server: other.Server}, "", "2"},
		{Flags{Server: other.Server, User: "anna"}, "", ""},
	} {
		env["FERNWERK_CONTEXT"] = c.env
		if a, err := someone(t, env, c.flags).Account(); err != nil || a.Password != c.want {
			t.Errorf("%+v, %q: %+v, %v", c.flags, c.env, a, err)
		}
	}
	env["FERNWERK_CONTEXT"] = ""
	for _, f := range []Flags{{Context: "c"}, {Context: "b", Server: here}} {
		if a, err := someone(t, env, f).Account(); err == nil {
			t.Errorf("%+v: %+v", f, a)
		}
	}
	if err := source.Use("c"); fleet.CodeOf(err) != fleet.NotFound {
		t.Errorf("use of what is not there: %v", err)
	}
	if err := source.Use("b"); err != nil {
		t.Error(err)
	}
	if was, err := source.Forget(""); was != "b" || err != nil {
		t.Errorf("forget: %q, %v", was, err)
	}
	if a, err := source.Account(); err == nil || !strings.Contains(fleet.HintOf(err), "context use server.example.org") {
		t.Errorf("with none chosen: %+v, %v", a, err)
	}
}

// The file of an earlier fernwerk holds one login.
func TestSaved_Earlier(t *testing.T) {
	env := map[string]string{"XDG_CONFIG_HOME": t.TempDir()}
	dir := filepath.Join(env["XDG_CONFIG_HOME"], "fernwerk")
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "login.json"), []byte(`{"server": "`+here+`", "user": "anna", "password": "old", "ca": "CA"}`), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	a, err := someone(t, env, Flags{}).Account()
	if want := (Account{Server: here, User: "anna", Password: "old", CA: "CA", HasPassword: true}); err != nil || a != want {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestBelieve(t *testing.T) {
	asked := 0
	var ca []byte
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		if r.URL.Path != authorityPath || r.Header.Get("Authorization") != "" {
			t.Errorf("asked for %s with %q", r.URL.Path, r.Header.Get("Authorization"))
		}
		w.Write(ca)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // who is not trusted hangs up
	server.StartTLS()
	defer server.Close()
	ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	right := fingerprintOf(server.Certificate())
	source := someone(t, nil, Flags{})

	for _, pin := range []string{right, "SHA256:" + strings.ToUpper(right), "sha256:" + right[:2] + ":" + right[2:]} {
		if got, err := source.Believe(t.Context(), server.URL, "", pin); err != nil || got != string(ca) {
			t.Errorf("%s: %q, %v", pin, got, err)
		}
	}
	before := asked
	if got, err := source.Believe(t.Context(), server.URL, string(ca), ""); err != nil || got != string(ca) || asked != before {
		t.Errorf("a known CA: %q, %v", got, err)
	}
	wrong := strings.Repeat("0", 64)
	for name, c := range map[string]struct {
		known, pin string
		code       fleet.Code
	}{
		"nobody vouches, and nobody can be asked": {"", "", fleet.Unauthenticated},
		"the wrong fingerprint":                   {"", wrong, fleet.Unauthenticated},
		"a CA file of another fingerprint":        {string(ca), wrong, fleet.Unauthenticated},
		"no fingerprint at all":                   {"", "abc", fleet.Internal},
	} {
		got, err := source.Believe(t.Context(), server.URL, c.known, c.pin)
		if got != "" || fleet.CodeOf(err) != c.code {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	server.Close()
	if _, err := source.Believe(t.Context(), server.URL, "", right); fleet.CodeOf(err) != fleet.Unavailable {
		t.Errorf("nobody answers: %v", err)
	}
}
