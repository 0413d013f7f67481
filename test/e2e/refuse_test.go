package e2e

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/test/e2e/site"
)

// refused runs a program that must end with a status and say certain things.
func refused(t *testing.T, p site.Programs, code int, says []string, name string, args ...string) {
	t.Helper()
	_, errOut, got, err := p.Run(t.Context(), nil, name, args...)
	must(t, err)
	if got != code {
		t.Errorf("%s %s ended with status %d, want %d:\n%s", name, args[0], got, code, errOut)
	}
	for _, word := range append(says, "error: ", "hint: ") {
		if !strings.Contains(errOut, word) {
			t.Errorf("%s %s does not say %q:\n%s", name, args[0], word, errOut)
		}
	}
}

func TestSecondAgent_IsRefused(t *testing.T) {
	t.Parallel()
	s := serve(t)
	a := host(t, s, s.URL(), "pc1.second.test")
	must(t, a.Start(t.Context()))
	refused(t, a.Programs, 4, []string{"cannot start the agent", "only one agent can use " + a.Data},
		"fernwerk-agent", "run", "--data", a.Data, "--control", "127.0.0.1:0")
	if _, err := a.Status(t.Context()); err != nil {
		t.Errorf("the first agent does not answer any more: %v", err)
	}
}

func TestPortInUse_IsRefused(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	port := taken.Addr().String()
	t.Run("server", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "data")
		refused(t, programs(t), 4, []string{port}, "fernwerkd", "serve", "--data", dir, "--listen", port)
	})
	t.Run("agent", func(t *testing.T) {
		s := serve(t)
		a := host(t, s, s.URL(), "pc1.port.test")
		refused(t, a.Programs, 4, []string{port}, "fernwerk-agent", "run", "--data", a.Data, "--control", port)
		must(t, a.Start(t.Context())) // nothing is left that keeps it out
	})
}

func TestSecondServer_IsRefused(t *testing.T) {
	t.Parallel()
	s := serve(t)
	refused(t, s.Programs, 4, []string{s.Data}, "fernwerkd", "serve", "--data", s.Data, "--listen", "127.0.0.1:0")
	if _, err := s.Rows(t.Context(), "host_getObjects"); err != nil {
		t.Errorf("the first server does not answer any more: %v", err)
	}
}

func TestJoin_TwiceChangesNothing(t *testing.T) {
	t.Parallel()
	s := serve(t)
	a := host(t, s, s.URL(), "pc1.twice.test")
	before, err := tree(a.Data)
	must(t, err)
	password, err := s.AddHost(t.Context(), "pc2.twice.test")
	must(t, err)
	fingerprint, err := s.Fingerprint()
	must(t, err)
	refused(t, a.Programs, 1, []string{"pc1.twice.test", "already"}, "fernwerk-agent", "join", "--data", a.Data,
		"--server", s.URL(), "--host-id", "pc2.twice.test", "--one-time-password", password, "--ca-fingerprint", fingerprint)
	after, err := tree(a.Data)
	must(t, err)
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("the machine is another one (-before +after):\n%s", diff)
	}
}

// impostor is a TLS server that writes down what it is sent.
type impostor struct {
	*httptest.Server
	mu       sync.Mutex
	ca       []byte // shown as its authority
	requests int
	heard    bytes.Buffer
}

// pose starts an impostor that shows ca, or its own certificate, as its
// authority's; at an address, or anywhere.
func pose(t *testing.T, ca []byte, address string) *impostor {
	t.Helper()
	i := &impostor{ca: ca}
	i.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		i.mu.Lock()
		defer i.mu.Unlock()
		i.requests++
		fmt.Fprintf(&i.heard, "%s %s\n", r.Method, r.URL)
		r.Header.Write(&i.heard)
		i.heard.Write(body)
		if r.URL.Path == "/ssl/ca-certs.pem" {
			w.Write(i.ca)
			return
		}
		w.WriteHeader(http.StatusUnauthorized) // as a thief would ask for it
	}))
	i.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that are broken off
	if address != "" {
		listener, err := net.Listen("tcp", address)
		must(t, err)
		i.Listener.Close()
		i.Listener = listener
	}
	i.StartTLS()
	t.Cleanup(i.Close)
	if ca == nil {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.Certificate().Raw})
	}
	return i
}

// learned returns an error if one of the secrets, in any spelling that travels,
// or any credentials were heard.
func (i *impostor) learned(secrets ...string) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	heard := i.heard.String()
	for _, word := range append(secrets, "Authorization:", "Cookie:") {
		if word == "" || strings.Contains(heard, word) {
			return fmt.Errorf("it learned %q:\n%s", word, heard)
		}
	}
	return nil
}

// asked tells whether anything was heard: from silence nothing follows.
func (i *impostor) asked() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.requests > 0
}

func TestJoin_SendsNothingSecretToAStranger(t *testing.T) {
	t.Parallel()
	s := serve(t)
	const id = "pc1.stranger.test"
	password, err := s.AddHost(t.Context(), id)
	must(t, err)
	fingerprint, err := s.Fingerprint()
	must(t, err)
	ours, err := os.ReadFile(s.CAFile())
	must(t, err)
	data := filepath.Join(t.TempDir(), "agent")
	join := func(url string) []string {
		return []string{"join", "--data", data, "--server", url, "--host-id", id, "--one-time-password", password, "--ca-fingerprint", fingerprint}
	}
	t.Run("with its own authority", func(t *testing.T) {
		i := pose(t, nil, "")
		refused(t, s.Programs, 5, []string{"not the one that was named"}, "fernwerk-agent", join(i.URL)...)
		if err := i.learned(password); err != nil || !i.asked() {
			t.Errorf("asked at all: %v; %v", i.asked(), err)
		}
	})
	t.Run("with our authority", func(t *testing.T) { // the certificate is public, its key is not
		i := pose(t, ours, "")
		_, errOut, code, err := s.Programs.Run(t.Context(), nil, "fernwerk-agent", join(i.URL)...)
		must(t, err)
		if code == 0 || !strings.Contains(errOut, "cannot join") {
			t.Errorf("status %d: %s", code, errOut)
		}
		if err := i.learned(password); err != nil || !i.asked() {
			t.Errorf("asked at all: %v; %v", i.asked(), err)
		}
	})
	if _, err := os.Stat(filepath.Join(data, "identity.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the machine has an identity from a stranger: %v", err)
	}
	if _, errOut, code, err := s.Programs.Run(t.Context(), nil, "fernwerk-agent", join(s.URL())...); err != nil || code != 0 {
		t.Errorf("the right server is refused afterwards: %v, status %d: %s", err, code, errOut)
	}
}

// TestImpostor_LearnsWhatItIsTold shows that the recorder records.
func TestImpostor_LearnsWhatItIsTold(t *testing.T) {
	i := pose(t, nil, "")
	req, err := http.NewRequestWithContext(t.Context(), "POST", i.URL+"/rpc", strings.NewReader("a secret"))
	must(t, err)
	if err := i.learned("a secret"); err != nil {
		t.Fatal(err)
	}
	resp, err := i.Client().Do(req)
	must(t, err)
	resp.Body.Close()
	if i.learned("a secret") == nil {
		t.Error("it did not hear the body")
	}
}

func TestAgent_TellsAStrangerInItsServersPlaceNothing(t *testing.T) {
	t.Parallel()
	s := serve(t)
	a := host(t, s, s.URL(), "pc1.place.test")
	must(t, a.Start(t.Context()))
	await(t, "the agent has met its server", idle(t, a))
	must(t, s.Stop(stopTime))
	ours, err := os.ReadFile(s.CAFile())
	must(t, err)
	i := pose(t, ours, s.Listen)

	id, err := a.Fire(t.Context(), "timer")
	must(t, err)
	await(t, "the event has failed", func() (bool, error) {
		st, err := a.Status(t.Context())
		return err == nil && len(st.Changes) > 0 && st.Changes[0].ID == id && st.Changes[0].Status == "failed", err
	})
	key, err := os.ReadFile(filepath.Join(a.Data, "hostkey"))
	must(t, err)
	if err := i.learned(strings.TrimSpace(string(key)), "pc1.place.test"); err != nil {
		t.Error(err)
	}
}
