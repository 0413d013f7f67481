package mesh

import (
	"context"
	"crypto/ed25519"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/mesh"
	"github.com/fernwerk/fernwerk/internal/kit/nebula"
)

// server signs maps.
type server struct {
	t   *testing.T
	key ed25519.PrivateKey
	err error
	got mesh.Request
	all mesh.Map
}

func newServer(t *testing.T) *server {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &server{t: t, key: key, all: mesh.Map{Network: netip.MustParsePrefix("10.134.0.0/16"), CA: "-----BEGIN NEBULA CERTIFICATE V2-----\n",
		Hubs:  []mesh.Hub{{Address: netip.MustParseAddr("10.134.0.1"), At: []string{"192.0.2.1:4243"}}},
		Nodes: []mesh.Node{{HostID: "b.example.org", Address: netip.MustParseAddr("10.134.0.3"), At: []netip.AddrPort{netip.MustParseAddrPort("192.168.1.12:4243")}}},
		Allow: []mesh.Rule{{To: "vnode", From: "any", Proto: "tcp", Ports: "22"}, {To: "other", From: "any", Proto: "any", Ports: "any"}}}}
}

func (s *server) ask(_ context.Context, _ string, in, out any) error {
	s.got = in.(mesh.Request)
	if s.err != nil {
		return s.err
	}
	text, err := s.all.Encode()
	if err != nil {
		s.t.Fatal(err)
	}
	a := mesh.Answer{Every: 60}
	if s.got.Holds == "" {
		a.Certificate, a.Fingerprint, a.NotAfter = "-----BEGIN NEBULA CERTIFICATE V2-----\nx\n", "f", time.Now().Add(time.Hour)
		a.Address, a.Groups = netip.MustParsePrefix("10.134.0.2/16"), []string{"vnode"}
	}
	if s.got.Tag != mesh.Tag(text) {
		a.Map = &mesh.Signed{Map: text, Key: s.key.Public().(ed25519.PublicKey), Signature: ed25519.Sign(s.key, mesh.Text(text))}
	}
	*out.(*mesh.Answer) = a
	return nil
}

func newService(t *testing.T, s *server) *Service {
	t.Helper()
	m := &Service{Dir: filepath.Join(t.TempDir(), "mesh"), HostID: "a.example.org", Settings: Settings{Port: 4243, Device: "fwmesh"}, Ask: s.ask,
		Log: slog.New(slog.DiscardHandler), Now: time.Now}
	m.process = &nebula.Control{Dir: m.Dir, Log: m.Log}
	return m
}

func TestService_Ask(t *testing.T) {
	srv := newServer(t)
	m := newService(t, srv)
	every, news, err := m.ask(t.Context(), 0)
	if err != nil || !news || every != time.Minute {
		t.Fatalf("%v %v %v", every, news, err)
	}
	if _, news, err := m.ask(t.Context(), 0); err != nil || news || srv.got.Holds != "f" {
		t.Errorf("nothing is new: %v %v %+v", news, err, srv.got)
	}
	c := m.config([]netip.Prefix{netip.MustParsePrefix("192.168.1.11/24")})
	if _, err := c.Render(m.Dir); err != nil {
		t.Error(err)
	}
	if len(c.Inbound) != 1 || c.Inbound[0].Ports != "22" || c.Preferred[0].String() != "192.168.1.0/24" || len(c.Static) != 2 {
		t.Errorf("%+v", c)
	}
	// The next agent has it all, without the server.
	next := newService(t, srv)
	next.Dir = m.Dir
	if err := next.load(); err != nil || next.state.Fingerprint != "f" || len(next.network.Nodes) != 1 {
		t.Errorf("%v %+v", err, next.state)
	}
	// Another host's state is not ours.
	next = newService(t, srv)
	next.Dir, next.HostID = m.Dir, "c.example.org"
	if err := next.load(); err != nil || next.state.Fingerprint != "" {
		t.Errorf("%v %+v", err, next.state)
	}
}

// A map of another authority is refused, and what is there stays.
func TestService_Ask_ForeignMap(t *testing.T) {
	srv := newServer(t)
	m := newService(t, srv)
	if _, _, err := m.ask(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	before := m.state.Map.Map
	other := newServer(t)
	srv.key, srv.all.Nodes = other.key, nil
	if _, _, err := m.ask(t.Context(), 0); fleet.CodeOf(err) != fleet.Denied || fleet.HintOf(err) == "" {
		t.Errorf("%v", err)
	}
	if string(m.state.Map.Map) != string(before) {
		t.Error("it was taken")
	}
}

// A server that is away changes nothing; one that says no takes the machine out.
func TestService_Ask_Refused(t *testing.T) {
	srv := newServer(t)
	m := newService(t, srv)
	if _, _, err := m.ask(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	srv.err = fleet.Errorf(fleet.Unavailable, "away")
	if _, _, err := m.ask(t.Context(), 0); err == nil || m.state.Fingerprint == "" {
		t.Errorf("%v %+v", err, m.state)
	}
	srv.err = fleet.Errorf(fleet.Denied, "revoked")
	if _, _, err := m.ask(t.Context(), 0); err == nil || m.state.Fingerprint != "" || !m.denied {
		t.Errorf("%v %+v", err, m.state)
	}
	if _, err := os.Stat(m.path()); err == nil {
		t.Error("its certificate is still there")
	}
	srv.err = nil
	if _, news, err := m.ask(t.Context(), 0); err != nil || !news || m.denied {
		t.Errorf("%v %v", news, err)
	}
}

// A machine that was refused asks again when somebody wishes it again, and does not wait
// for its next question.
func TestService_WishedAgain(t *testing.T) {
	srv := newServer(t)
	srv.err = fleet.Errorf(fleet.Denied, "its node type does not use the mesh")
	m := newService(t, srv)
	asked := make(chan bool, 100)
	m.Ask = func(ctx context.Context, path string, in, out any) error {
		asked <- true
		return srv.ask(ctx, path, in, out)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Serve(ctx) }()
	for range 3 {
		if _, err := Wish(m.Dir, true); err != nil {
			t.Error(err)
		}
		select {
		case <-asked:
		case <-time.After(20 * time.Second):
			t.Fatal("it does not ask")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
