package lab

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"io"
	"path/filepath"
	"time"

	"github.com/fernwerk/fernwerk/internal/agent/identity"
	"github.com/fernwerk/fernwerk/internal/ctl/offline"
	"github.com/fernwerk/fernwerk/internal/fleet/archive"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
	"github.com/fernwerk/fernwerk/internal/fleet/trust"
)

// Signer is an administrator's folder of content trust, with the keys that the
// lab's server never sees.
type Signer struct {
	lab  *Lab
	dir  *offline.Dir
	ring *offline.Ring
}

// caller is the lab's administrator for what asks with a context.
type caller struct{ l *Lab }

func (c caller) Call(_ context.Context, method string, args ...any) (any, error) {
	return c.l.Call(method, args...), nil
}

// Signer makes keys, and hands the server the first root and an empty list.
func (l *Lab) Signer() *Signer {
	l.t.Helper()
	pass := func() (string, error) { return "a passphrase for tests", nil }
	s := &Signer{lab: l, ring: &offline.Ring{New: pass, Ask: func(string) (string, error) { return pass() }}}
	s.ring.Keeper.Work = 10
	path := filepath.Join(l.t.TempDir(), "trust")
	online, err := offline.MakeKeys(l.t.Context(), caller{l})
	if err == nil {
		err = offline.Init(path, offline.Plan{RootKeys: 1, RootThreshold: 1, TargetsKeys: 1, TargetsThreshold: 1, Online: online}, s.ring, time.Now())
	}
	if err == nil {
		s.dir, err = offline.Open(path)
	}
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { s.dir.Close() })
	s.Publish()
	return s
}

// Root is the pin of the newest root.
func (s *Signer) Root() enrol.Root {
	root := s.dir.Root()
	sum := trust.TargetOf(root.Raw()).SHA256
	return enrol.Root{Version: root.Version, SHA256: hex.EncodeToString(sum[:])}
}

// Package builds a package, installs it on the server's depot, and signs it, with
// the scripts that it shall run, by the product's fields; Publish comes after it.
func (s *Signer) Package(id, version string, scripts trust.Scripts, contents ...Content) {
	s.lab.t.Helper()
	name, data := s.lab.Built(id, version, contents...)
	s.lab.Install(name, bytes.NewReader(data))
	p, err := archive.Open(bytes.NewReader(data), int64(len(data)), archive.Limits{})
	if err != nil {
		s.lab.t.Fatal(err)
	}
	m, err := p.Unpack(s.lab.t.Context(), func(archive.Layer, manifest.Entry, io.Reader) error { return nil })
	if err != nil {
		s.lab.t.Fatal(err)
	}
	target := trust.TargetOf(m.Text())
	if target.Custom, err = scripts.Custom(); err != nil {
		s.lab.t.Fatal(err)
	}
	s.dir.AddTarget(trust.ProductName(id, version, "1", "any"), target)
}

// Add signs content under a name.
func (s *Signer) Add(name string, content []byte) {
	s.lab.t.Helper()
	if err := s.dir.Add(name, content, json.RawMessage(nil)); err != nil {
		s.lab.t.Fatal(err)
	}
}

// Publish signs what was added, and hands it to the server.
func (s *Signer) Publish() {
	s.lab.t.Helper()
	if s.dir.Changed() {
		if _, err := s.dir.Sign(s.ring, time.Now()); err != nil {
			s.lab.t.Fatal(err)
		}
	}
	if _, err := s.dir.Publish(s.lab.t.Context(), caller{s.lab}); err != nil {
		s.lab.t.Fatal(err)
	}
}

// Demand sets the host's policy and root, as its administrator does.
func (h *Host) Demand(policy enrol.Policy, root enrol.Root) {
	h.lab.t.Helper()
	err := identity.SetRoot(h.Dir, root)
	if err == nil {
		err = identity.SetPolicy(h.Dir, policy)
	}
	if err != nil {
		h.lab.t.Fatal(err)
	}
}
