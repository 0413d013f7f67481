package cifs

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/test/require"
)

func TestParse(t *testing.T) {
	for _, test := range []struct{ text, address, share, dir string }{
		{"smb://depot.example.org/opsi_depot", "depot.example.org:445", "opsi_depot", ""},
		{"cifs://depot.example.org:4445/opsi_depot/", "depot.example.org:4445", "opsi_depot", ""},
		{"smb://[2001:db8::7]/depot/a/b", "[2001:db8::7]:445", "depot", "a/b"},
	} {
		address, share, dir, err := Parse(test.text)
		if address != test.address || share != test.share || dir != test.dir || err != nil {
			t.Errorf("%s: %q %q %q %v", test.text, address, share, dir, err)
		}
	}
	for _, text := range []string{"", "smb://", "smb://host", "smb:///share", "http://host/share", "smb://user:secret@host/share",
		"smb://host/share/../other", "smb://host/share/a//b", `smb://host/a\b`, "smb://host/a%00", "smb://host/share?x", "\x00"} {
		if _, _, _, err := Parse(text); fleet.CodeOf(err) != fleet.Invalid {
			t.Errorf("%q is taken: %v", text, err)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error tells a password: %v", err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("smb://depot.example.org/opsi_depot/a")
	f.Fuzz(func(t *testing.T, text string) {
		address, share, dir, err := Parse(text)
		if err != nil {
			return
		}
		if share == "" || strings.ContainsAny(share, `/\`) || strings.Contains("/"+dir+"/", "/../") || !strings.Contains(address, ":") {
			t.Errorf("%q: %q %q %q", text, address, share, dir)
		}
	})
}

func as(user, password string) func(context.Context) (Credentials, error) {
	return func(context.Context) (Credentials, error) { return Credentials{User: user, Password: password}, nil }
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "editor", "sub dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	content := strings.Repeat("0123456789", 100_000)
	for _, name := range []string{"editor/file", "editor/sub dir/50% #ä'"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	samba := require.Samba(t, dir)
	share, err := New(samba.URL(), as(samba.User, samba.Password))
	if err != nil {
		t.Fatal(err)
	}
	defer share.Close()
	f := &Folder{Share: share, Product: "editor"}
	size := int64(len(content))
	for _, test := range []struct {
		name                 string
		offset, length, size int64
		want                 string
		code                 fleet.Code
	}{
		{"file", 0, size, size, content, ""},
		{"file", 0, -1, -1, content, ""},
		{"sub dir/50% #ä'", 0, size, size, content, ""},
		{"file", 5, 10, size, "5678901234", ""},
		{"file", size - 3, 3, size, "789", ""},
		{"file", 0, size + 1, size + 1, content, fleet.Conflict},
		{"nothing", 0, 1, 1, "", fleet.NotFound},
		{"no?name", 0, 1, 1, "", fleet.NotFound},
		{"../editor/file", 0, size, size, content, ""}, // the share's own matter; paths are checked before
	} {
		t.Run(fmt.Sprint(test.name, test.offset), func(t *testing.T) {
			r, err := f.Open(t.Context(), test.name, test.offset, test.length, test.size)
			var got []byte
			if err == nil {
				got, err = io.ReadAll(r)
				r.Close()
			}
			if string(got) != test.want || fleet.CodeOf(err) != test.code {
				t.Errorf("%d bytes, error %v", len(got), err)
			}
		})
	}
	t.Run("refused", func(t *testing.T) {
		for _, test := range []struct {
			user, password, url string
			code                fleet.Code
		}{
			{samba.User, "wrong", samba.URL(), fleet.Unauthenticated},
			{samba.User, "", samba.URL(), fleet.Unauthenticated},
			{"nobody", "wrong", samba.URL(), fleet.Unauthenticated},
			{samba.User, samba.Password, "smb://" + samba.Address + "/other", fleet.NotFound},
			{samba.User, samba.Password, "smb://127.0.0.1:1/depot", fleet.Unavailable},
		} {
			s, err := New(test.url, as(test.user, test.password))
			if err != nil {
				t.Fatal(err)
			}
			_, err = (&Folder{s, "editor"}).Open(t.Context(), "file", 0, 1, -1)
			if fleet.CodeOf(err) != test.code {
				t.Errorf("%+v: %v", test, err)
			}
			s.Close()
		}
	})
}

// A share that lets everybody in as a guest could not sign.
func TestOpen_NoGuest(t *testing.T) {
	samba := require.Samba(t, t.TempDir(), "map to guest = bad user", "guest ok = yes", "server signing = disabled")
	s, err := New(samba.URL(), as("stranger", "anything"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := (&Folder{s, "editor"}).Open(t.Context(), "file", 0, 1, -1); err == nil {
		t.Error("a guest's session is good enough")
	} else {
		t.Log(err)
	}
}
