package certs_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/slackhq/nebula/cert"

	"github.com/fernwerk/fernwerk/internal/kit/nebula/certs"
)

func ring(t testing.TB) *certs.Ring {
	t.Helper()
	now := time.Now().Truncate(time.Second)
	text, err := certs.New("server.example.org", now.Add(-time.Hour), now.AddDate(1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	r, err := certs.ReadRing(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// next is the ring with another authority.
func next(t testing.TB, r *certs.Ring) *certs.Ring {
	t.Helper()
	now := time.Now().Truncate(time.Second)
	n, err := r.Next("server.example.org", now.Add(-time.Hour), now.AddDate(1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Each state is read as it was written, and what is not one is refused.
func TestRing(t *testing.T) {
	first := ring(t)
	both := next(t, first)
	turned := both.Turn()
	last := turned.Drop()
	again := next(t, last)
	for _, r := range []struct {
		*certs.Ring
		moving, signs bool
	}{{first, false, true}, {both, true, false}, {turned, true, true}, {last, false, true}, {again, true, false}} {
		back, err := certs.ReadRing(r.Text())
		if err != nil || !bytes.Equal(back.Text(), r.Text()) || back.Moving() != r.moving || back.Signs() != r.signs || len(back.Heirs) != len(r.Heirs) {
			t.Errorf("%+v, %v", back, err)
		}
		pool, err := cert.NewCAPoolFromPEM([]byte(r.Bundle()))
		if err != nil || len(pool.CAs) != len(r.All) {
			t.Errorf("%v, %v", pool, err)
		}
	}
	if turned.Turn() == nil || !turned.Turn().Signing().Is(turned.Signing()) || !both.Drop().Signing().Is(turned.Signing()) || first.Signing().Is(last.Signing()) {
		t.Error("the wrong one signs")
	}
	if _, err := both.Next("x", time.Now(), time.Now()); err == nil {
		t.Error("a third one was begun")
	}
	whole := string(again.Text())
	for what, text := range map[string]string{"nothing": "", "half": whole[:len(whole)/2], "something else": "hello\n", "three": string(first.Text()) + string(both.Text()),
		"another's heir": strings.Replace(string(last.Text()), "FERNWERK MESH HEIR-----\n", "FERNWERK MESH HEIR-----\nAAAA", 1)} {
		if _, err := certs.ReadRing([]byte(text)); err == nil {
			t.Errorf("%s is read", what)
		}
	}
}

func FuzzReadRing(f *testing.F) {
	first := ring(f)
	f.Add(first.Text())
	f.Add(next(f, first).Text())
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := certs.ReadRing(text)
		if err != nil {
			return
		}
		if back, err := certs.ReadRing(r.Text()); err != nil || !bytes.Equal(back.Text(), r.Text()) {
			t.Errorf("%q, %v", text, err)
		}
	})
}
