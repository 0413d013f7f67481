package archive_test

import (
	"bytes"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fernwerk/fernwerk/internal/fleet/archive"
	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
)

// anyTree draws files below a folder. Names of folders are capitals, so that
// none is a file elsewhere.
func anyTree(t *rapid.T, root string) fstest.MapFS {
	tree := fstest.MapFS{root + "/A": {Mode: 0o755 | 1<<31}}
	for _, name := range rapid.SliceOfN(rapid.StringMatching(`([AB]/){0,2}[a-dä ~]{1,3}`), 0, 8).Draw(t, root) {
		if strings.Trim(name, " ") != name {
			continue
		}
		mode := rapid.SampledFrom([]uint32{0o644, 0o755}).Draw(t, "mode")
		f := &fstest.MapFile{Data: []byte(rapid.StringN(0, 20, -1).Draw(t, "text"))}
		f.Mode = f.Mode.Perm() | 0o644
		if mode == 0o755 {
			f.Mode = 0o755
		}
		tree[root+"/"+name] = f
	}
	return tree
}

// What is built is read back the same, whatever is laid over it and however it
// is compressed.
func TestBuild_ReadsBackEqual(t *testing.T) {
	opts := options(t)
	rapid.Check(t, func(t *rapid.T) {
		base, over := anyTree(t, "CLIENT_DATA"), anyTree(t, "CLIENT_DATA.site")
		src := fstest.MapFS{"OPSI/control.toml": {Data: []byte(tomlStart)}, "OPSI/control": {Data: []byte(legacyStart)}, "OPSI.site/postinst": {Data: []byte("#!/bin/sh\n"), Mode: 0o755}}
		maps.Copy(src, base)
		maps.Copy(src, over)
		o := opts
		o.Compression = rapid.SampledFrom(archive.Compressions()).Draw(t, "compression")
		o.Custom = rapid.SampledFrom([]string{"", "site"}).Draw(t, "custom")
		o.CustomOnly = o.Custom != "" && rapid.Bool().Draw(t, "only")
		want := map[string]*fstest.MapFile{}
		if !o.CustomOnly {
			maps.Copy(want, base)
		}
		if o.Custom != "" {
			for name, f := range over {
				want[strings.Replace(name, ".site", "", 1)] = f
			}
		}
		if o.CustomOnly && rapid.Bool().Draw(t, "own control") {
			src["OPSI.site/control"] = src["OPSI/control"]
		}
		var b bytes.Buffer
		built, err := archive.Build(t.Context(), &b, src, o)
		if err != nil {
			t.Fatal(err)
		}
		got, p, m, err := unpack(t.Context(), b.Bytes(), archive.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if p.Manifest == nil || m.Digest() != built.Manifest.Digest() || p.Manifest.Digest() != m.Digest() {
			t.Fatalf("manifests differ")
		}
		if _, ok := p.Files["postinst"]; ok != (o.Custom != "") {
			t.Fatalf("postinst of the site: %v", ok)
		}
		for name, f := range want {
			kind := 'f'
			if f.Mode&0o111 != 0 {
				kind = 'x'
			}
			if f.Mode.IsDir() {
				kind = 'd'
			}
			if got[name] != fmt.Sprintf("%c %s", kind, f.Data) {
				t.Fatalf("%q is %q, want %c %q", name, got[name], kind, f.Data)
			}
			delete(got, name)
		}
		for name, what := range got {
			if what != "d " {
				t.Fatalf("%q came from nowhere: %q", name, what)
			}
		}
	})
}

func TestBuild_Versions(t *testing.T) {
	src := fstest.MapFS{"OPSI/control": {Data: []byte(legacyStart + "; a remark\n")}, "CLIENT_DATA/a": {}}
	o := options(t)
	o.PackageVersion = "7"
	var b bytes.Buffer
	built, err := archive.Build(t.Context(), &b, src, o)
	if err != nil {
		t.Fatal(err)
	}
	_, p, _, err := unpack(t.Context(), b.Bytes(), archive.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if built.Control.Version() != "1.0-7" || p.Control.Version() != "1.0-7" || p.Files["control.toml"] != nil {
		t.Errorf("built %s, read %s", built.Control.Version(), p.Control.Version())
	}
	o.PackageVersion = "7 8"
	if _, err := archive.Build(t.Context(), &b, src, o); err == nil {
		t.Error("a version with a blank was taken")
	}
}

func TestBuild_CustomRefuses(t *testing.T) {
	control := &fstest.MapFile{Data: []byte(legacyStart)}
	for _, tt := range []struct {
		name, want string
		src        fstest.MapFS
		custom     string
		only       bool
	}{
		{"nothing of it", "there is no CLIENT_DATA.site", fstest.MapFS{"OPSI/control": control, "CLIENT_DATA/a": {}}, "site", false},
		{"bad name", "cannot be the name", fstest.MapFS{"OPSI/control": control}, "../x", false},
		{"only what", "needs the name", fstest.MapFS{"OPSI/control": control}, "", true},
		{"file over a folder", `"a" is a file`, fstest.MapFS{"OPSI/control": control, "CLIENT_DATA/a/b": {}, "CLIENT_DATA.site/a": {}}, "site", false},
		{"folder over a file", `"a" is a folder`, fstest.MapFS{"OPSI/control": control, "CLIENT_DATA/a": {}, "CLIENT_DATA.site/a/b": {}}, "site", false},
		{"no control data", "control.toml", fstest.MapFS{"OPSI.site/preinst": {}, "CLIENT_DATA.site/a": {}}, "site", true},
	} {
		o := options(t)
		o.Custom, o.CustomOnly = tt.custom, tt.only
		_, err := archive.Build(t.Context(), &bytes.Buffer{}, tt.src, o)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.want)
		}
	}
	// The package of a site alone has the site's tree, and says so to its reader.
	o := options(t)
	o.Custom, o.CustomOnly = "site", true
	var b bytes.Buffer
	built, err := archive.Build(t.Context(), &b, fstest.MapFS{"OPSI/control": control, "CLIENT_DATA/a": {}, "CLIENT_DATA.site/b": {Data: []byte("b")}}, o)
	if err != nil {
		t.Fatal(err)
	}
	got, p, _, err := unpack(t.Context(), b.Bytes(), archive.Limits{})
	if diff := cmp.Diff(map[string]string{"CLIENT_DATA/b": "f b"}, got); err != nil || diff != "" || len(built.Manifest.Entries) != 1 || built.Manifest.Entries[0].Type != manifest.File {
		t.Errorf("%v, %+v\n%s", err, p, diff)
	}
}
