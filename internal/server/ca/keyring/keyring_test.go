package keyring

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

var now = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

func clock() time.Time { return now }

func made(t testing.TB) Bundle {
	t.Helper()
	b, err := Make("server.example.org", clock)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Whatever is done to an authority in whatever order, its text reads back as it
// is, its numbers rise, the newest issuing key is the present root's, and a folder
// that holds any earlier state comes to hold it.
func TestBundle_Changes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, err := Make("server.example.org", clock)
		if err != nil {
			t.Fatal(err)
		}
		dir, err := os.MkdirTemp("", "keyring")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		var away Bundle
		last := 0
		t.Repeat(map[string]func(*rapid.T){
			"rotate": func(t *rapid.T) {
				r := Rotation{RootKey: away, Root: rapid.Bool().Draw(t, "root")}
				if r.Root && rapid.Bool().Draw(t, "apart") {
					r.Apart = func(alone Bundle) error { away = alone; return nil }
				} else if r.Root {
					away = nil
				}
				if b, err = b.Rotate(r, now); err != nil {
					t.Fatal(err)
				}
			},
			"take the root's key": func(t *rapid.T) {
				alone, without, err := b.TakeRootKey()
				if away != nil {
					if fleet.CodeOf(err) != fleet.NotFound {
						t.Fatalf("it is taken twice: %v", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				b, away = without, alone
			},
			"forget": func(t *rapid.T) {
				s, err := b.Status()
				if err != nil {
					t.Fatal(err)
				}
				old := append(s.Earlier, s.Issuing[1:]...)
				if len(old) == 0 {
					t.Skip("nothing is old")
				}
				if b, err = b.Forget(rapid.SampledFrom(old).Draw(t, "which").Fingerprint); err != nil {
					t.Fatal(err)
				}
			},
			"keep": func(t *rapid.T) {
				if rapid.IntRange(0, 29).Draw(t, "seldom") > 0 { // it waits for the disk
					return
				}
				if err := b.Write(dir); err != nil {
					t.Fatal(err)
				}
				if kept, err := Read(dir); err != nil || string(kept) != string(b) {
					t.Fatalf("the folder holds something else: %v", err)
				}
			},
			"": func(t *rapid.T) {
				m, err := b.Material()
				if err != nil {
					t.Fatal(err)
				}
				if again, err := m.Bundle(); err != nil || string(again) != string(b) {
					t.Fatalf("it reads back as something else: %v", err)
				}
				if m.Generation < last || m.Issuing[0].Key == nil || m.Issuing[0].Cert.CheckSignatureFrom(m.Root) != nil || (m.RootKey == nil) != (away != nil) || m.Away != (away != nil) {
					t.Fatalf("%+v", m)
				}
				last = m.Generation
			},
		})
	})
}

func TestMaterial_Refuses(t *testing.T) {
	one, two := made(t), made(t)
	m, err := one.Material()
	if err != nil {
		t.Fatal(err)
	}
	other, err := two.Material()
	if err != nil {
		t.Fatal(err)
	}
	mixed := *m
	mixed.Issuing = other.Issuing
	foreign := *m
	foreign.RootKey = other.RootKey
	for name, bad := range map[string]*Material{"another's issuing key": &mixed, "another's root key": &foreign} {
		text, err := bad.Bundle()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := text.Material(); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	for name, bad := range map[string]Bundle{
		"nothing": {}, "text": Bundle("hello"), "text behind": append(one[:len(one):len(one)], "hello"...),
		"another block": append(one[:len(one):len(one)], EncodePEM("X509 CRL", []byte("x"))...),
	} {
		if _, err := bad.Material(); err == nil {
			t.Errorf("%s is taken", name)
		}
		if err := bad.Write(filepath.Join(t.TempDir(), "ca")); err == nil {
			t.Errorf("%s is kept", name)
		}
	}
}

func FuzzMaterial(f *testing.F) {
	f.Add([]byte(made(f)))
	f.Add([]byte("-----BEGIN FERNWERK AUTHORITY-----\nGeneration: 1\n\nAAAA\n-----END FERNWERK AUTHORITY-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := Bundle(text).Material()
		if err != nil {
			return
		}
		b, err := m.Bundle()
		if err != nil {
			t.Fatal(err)
		}
		again, err := b.Material()
		if err != nil {
			t.Fatalf("what was read does not read back: %v", err)
		}
		if twice, err := again.Bundle(); err != nil || string(twice) != string(b) {
			t.Error("it reads back as something else")
		}
	})
}
