package depot

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// cutLine is a line to the config server that breaks at a call: before it
// arrives, or with its answer. Nothing gets through until it is mended.
type cutLine struct {
	methods.Backend
	at      string
	arrives bool
	broken  bool
}

func (c *cutLine) Call(ctx context.Context, a methods.Actor, method string, p methods.Params) (any, error) {
	if c.broken || method == c.at {
		if !c.broken && c.arrives {
			if _, err := c.Backend.Call(ctx, a, method, p); err != nil {
				return nil, err
			}
		}
		c.broken = true
		return nil, fleet.Errorf(fleet.Unavailable, "the line is cut")
	}
	return c.Backend.Call(ctx, a, method, p)
}

// A depot server whose config server is gone in the middle of a change ends it
// when that is back: as the config server has it.
func TestMend(t *testing.T) {
	fresh := newPlace(t)
	fresh.install(t, "2.0-1", nil)
	after := fresh.state(t)
	for _, test := range []struct {
		at            string
		arrives, done bool
	}{
		{"depotTree_begin", false, false},
		{"depotTree_begin", true, false},
		{"depotTree_announce", false, false},
		{"depotTree_announce", true, false},
		{"depotTree_commit", false, false},
		{"depotTree_commit", true, true},
	} {
		p := newPlace(t)
		p.install(t, "1.0-1", nil)
		before := p.state(t)
		line := &cutLine{Backend: p.Backend, at: test.at, arrives: test.arrives}
		p.Backend = line
		if _, err := p.try(t, "2.0-1", nil, Options{}); fleet.CodeOf(err) != fleet.Unavailable || !strings.Contains(err.Error(), "the line is cut") {
			t.Errorf("%+v: %v", test, err)
		}
		p.mend(t.Context()) // still cut
		p.Backend = line.Backend
		p.mend(t.Context())
		want := before
		if test.done {
			want = after
		}
		got := p.state(t)
		for name := range got { // the manifest of the tree that is gone goes at the next start
			if strings.HasPrefix(name, "file "+manifestsDir+"/") && want[name] == "" {
				delete(got, name)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%+v: %s", test, diff)
		}
		if has := p.tree("editor").ProductVersion; (has == "2.0") != test.done {
			t.Errorf("%+v: it serves %s", test, has)
		}
		p.install(t, "2.0-1", nil)
	}
}

// mute is a config server that does not answer.
type mute struct {
	methods.Backend
	asked, end chan struct{}
}

func (m *mute) Call(context.Context, methods.Actor, string, methods.Params) (any, error) {
	m.asked <- struct{}{}
	<-m.end
	return nil, fleet.Errorf(fleet.Unavailable, "no answer")
}

// While a config server that does not answer is asked how a change ended, clients
// are served.
func TestMend_HoldsNobodyOff(t *testing.T) {
	p := newPlace(t)
	p.install(t, "1.0-1", nil)
	whole := p.Backend
	p.Backend = &cutLine{Backend: whole, at: "depotTree_commit"}
	if _, err := p.try(t, "2.0-1", nil, Options{}); fleet.CodeOf(err) != fleet.Unavailable {
		t.Fatal(err)
	}
	m := &mute{Backend: whole, asked: make(chan struct{}), end: make(chan struct{})}
	p.Backend = m
	mended := make(chan error, 1)
	go func() { mended <- p.mend(t.Context()) }()
	<-m.asked
	if p.swap.TryRLock() {
		p.swap.RUnlock()
	} else {
		t.Error("readers wait for the config server")
	}
	close(m.end)
	if err := <-mended; fleet.CodeOf(err) != fleet.Unavailable {
		t.Error(err)
	}
}

// upload never ends; its turn does.
type upload struct {
	left int
	end  context.CancelFunc
}

func (u *upload) Read(p []byte) (int, error) {
	if u.left--; u.left == 0 {
		u.end()
	}
	if u.left < -5 {
		return 0, io.EOF
	}
	return 1, nil
}

// Who lost the turn receives nothing more.
func TestInstall_EndsWithItsTurn(t *testing.T) {
	p := newPlace(t)
	before := p.state(t)
	ctx, end := context.WithCancel(t.Context())
	body := &upload{left: 3, end: end}
	_, err := p.Install(ctx, tester, "editor_1.0-1.opsi", body, -1, Options{})
	if !errors.Is(err, context.Canceled) || body.left != 0 {
		t.Errorf("%v, read %d times more", err, -body.left)
	}
	if diff := cmp.Diff(before, p.state(t)); diff != "" {
		t.Error(diff)
	}
}

// Values that a tool names for the depot count before those that it has.
func TestInstall_GivenValues(t *testing.T) {
	p := newPlace(t)
	if _, err := p.try(t, "1.0-1", nil, Options{Values: map[string][]any{"language": {"fr"}}}); err != nil {
		t.Fatal(err)
	}
	value := func() (s string) {
		for key, row := range p.state(t) {
			if strings.HasPrefix(key, "row productPropertyState ") && strings.Contains(key, "language") {
				s += row
			}
		}
		return s
	}
	if !strings.Contains(value(), "fr") {
		t.Error(value())
	}
	if _, err := p.try(t, "1.0-2", nil, Options{Values: map[string][]any{"language": {"xx"}}}); fleet.CodeOf(err) != fleet.Invalid {
		t.Errorf("%v", err)
	}
	p.install(t, "1.0-3", nil)
	if !strings.Contains(value(), "fr") {
		t.Error("an upgrade does not keep it: " + value())
	}
}
