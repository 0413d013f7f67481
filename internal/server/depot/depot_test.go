package depot

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/backend/catalog"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/methods/depots"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/archive"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
)

const (
	depotID  = "depot.example.org"
	otherID  = "depot2.example.org"
	clientID = "pc1.example.org"
)

var tester = methods.Actor{Role: methods.Administrator, ID: "test"}

// place is a depot with its database, as a process has it.
type place struct {
	*Depot
	store *store.Store
	close func()
}

// openPlace opens what is in dir as a starting process does.
func openPlace(dir string) (*place, error) {
	db, err := sqlite.Open(filepath.Join(dir, "fernwerk.db"))
	if err != nil {
		return nil, err
	}
	s, err := store.Open(context.Background(), db, time.Now, catalog.Classes()...)
	if err != nil {
		return nil, err
	}
	d, err := New(Config{
		Dir: filepath.Join(dir, "depot"), Cache: filepath.Join(dir, "chunks"), Log: slog.New(slog.DiscardHandler), Now: time.Now,
		Ledger: depots.Ledger{Backend: catalog.New(s, methods.Ports{}), DepotID: depotID},
	})
	return &place{d, s, func() { db.Close() }}, err
}

func newPlace(t testing.TB) *place { t.Helper(); return reopen(t, t.TempDir()) }

func reopen(t testing.TB, dir string) *place {
	t.Helper()
	p, err := openPlace(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	if err := p.Recover(context.Background()); err != nil {
		t.Fatal(err)
	}
	return p
}

// put writes rows of a class.
func (p *place) put(t testing.TB, c *fleet.Class, rows ...any) {
	t.Helper()
	err := p.store.Update(context.Background(), store.Origin{}, func(tx *store.Tx) error {
		for _, r := range rows {
			if err := tx.Put(c, c.Encode(r)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// pkg is the source of a package.
type pkg map[string]string

const controlText = `[Package]
version: %[2]s
depends: %[3]s
[Product]
type: localboot
id: editor
name: Editor
version: %[1]s
setupScript: setup.fern
[ProductProperty]
type: unicode
name: language
editable: False
values: ["de", "en", "fr"]
default: ["en"]
[ProductProperty]
type: bool
name: desktop_icon
default: True
[ProductDependency]
action: setup
requiredProduct: runtime
requiredStatus: installed
requirementType: before
`

// editor is a small product; more overrides and adds files.
func editor(version string, more pkg) pkg {
	pv, kv, _ := strings.Cut(version, "-")
	p := pkg{
		"OPSI/control":               fmt.Sprintf(controlText, pv, kv, ""),
		"CLIENT_DATA/setup.fern":     "install " + version + "\n",
		"CLIENT_DATA/bin/run.sh":     "#!/bin/sh\necho " + version + "\n",
		"CLIENT_DATA/bin/data":       strings.Repeat("data of "+version+"\n", 5000),
		"CLIENT_DATA/doc/read me.md": "the same in all versions\n",
		"CLIENT_DATA/doc/link":       "-> ../bin/data",
	}
	maps.Copy(p, more)
	for name, text := range p {
		if text == "" {
			delete(p, name)
		}
	}
	return p
}

func (p pkg) fs() fs.FS {
	m := fstest.MapFS{}
	for name, text := range p {
		f := &fstest.MapFile{Data: []byte(text), Mode: 0o644}
		if strings.HasPrefix(text, "#!") {
			f.Mode = 0o755
		}
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			f.Data, f.Mode = []byte(target), fs.ModeSymlink|0o777
		}
		m[name] = f
	}
	return m
}

func (p pkg) build(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	_, err := archive.Build(t.Context(), &b, p.fs(), archive.Options{Temp: func() (archive.Temp, error) {
		return os.CreateTemp(t.TempDir(), "layer")
	}})
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func (p *place) install(t testing.TB, version string, more pkg) *Report {
	t.Helper()
	r, err := p.try(t, version, more, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (p *place) try(t testing.TB, version string, more pkg, opts Options) (*Report, error) {
	t.Helper()
	data := editor(version, more).build(t)
	return p.Install(t.Context(), tester, "editor_"+version+".opsi", bytes.NewReader(data), int64(len(data)), opts)
}

// state is all that an installation changes, in comparable form.
func (p *place) state(t testing.TB) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(p.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(p.Dir, path)
		info, err := d.Info()
		if err != nil {
			return err
		}
		out["file "+name] = info.Mode().String()
		switch info.Mode().Type() {
		case 0:
			data, err := os.ReadFile(path)
			out["file "+name] += fmt.Sprintf(" %x", md5.Sum(data))
			return err
		case fs.ModeSymlink:
			target, err := os.Readlink(path)
			out["file "+name] += " " + target
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	delete(out, "file "+lockFile)
	err = p.store.View(context.Background(), func(tx *store.Tx) error {
		for _, c := range append(depots.Group().Classes, fleet.Products, fleet.ProductProperties, fleet.ProductDependencies, fleet.ProductsOnDepots, fleet.ProductPropertyStates) {
			rows, err := tx.Select(c, nil)
			if err != nil {
				return err
			}
			for _, r := range rows {
				delete(r, "indexed")
				out["row "+c.Name+" "+c.Key(r)] = fmt.Sprint(r)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func keys(m map[string]string, prefix string) []string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if rest, ok := strings.CutPrefix(k, prefix); ok {
			out = append(out, rest)
		}
	}
	return out
}

func TestInstall(t *testing.T) {
	p := newPlace(t)
	r := p.install(t, "1.0-1", nil)
	want := &Report{Product: "editor", ProductVersion: "1.0", PackageVersion: "1", Files: 4, Differences: []Difference{}}
	want.Bytes, want.ManifestDigest = r.Bytes, r.ManifestDigest
	if diff := cmp.Diff(want, r); diff != "" {
		t.Error(diff)
	}
	if len(r.ManifestDigest) != 64 || r.Bytes < 70_000 {
		t.Errorf("digest %q, %d bytes", r.ManifestDigest, r.Bytes)
	}
	s := p.state(t)
	wantFiles := []string{".", ".manifests", ".manifests/editor-" + r.ManifestDigest, ".staging", "editor", "editor/bin", "editor/bin/data", "editor/bin/run.sh",
		"editor/doc", "editor/doc/link", "editor/doc/read me.md", "editor/editor.files", "editor/setup.fern"}
	if diff := cmp.Diff(wantFiles, keys(s, "file ")); diff != "" {
		t.Error(diff)
	}
	wantRows := []string{
		"depotTree depot.example.org;editor", "product editor;1.0;1", "productDependency editor;1.0;1;setup;runtime",
		"productOnDepot editor;LocalbootProduct;1.0;1;depot.example.org", "productProperty editor;1.0;1;desktop_icon", "productProperty editor;1.0;1;language",
		"productPropertyState editor;desktop_icon;depot.example.org", "productPropertyState editor;language;depot.example.org",
	}
	if diff := cmp.Diff(wantRows, keys(s, "row ")); diff != "" {
		t.Error(diff)
	}
	if row := s["row productOnDepot editor;LocalbootProduct;1.0;1;depot.example.org"]; !strings.Contains(row, "locked:false") {
		t.Errorf("the product is locked: %s", row)
	}
	// The seed's list, written by hand for this tree.
	list, err := os.ReadFile(p.path("editor", "editor.files"))
	if err != nil {
		t.Fatal(err)
	}
	data := strings.Repeat("data of 1.0-1\n", 5000)
	run, setup, read := "#!/bin/sh\necho 1.0-1\n", "install 1.0-1\n", "the same in all versions\n"
	sum := func(s string) string { m := md5.Sum([]byte(s)); return hex.EncodeToString(m[:]) }
	wantList := fmt.Sprintf("d 'bin' 0\nf 'bin/data' %d %s\nf 'bin/run.sh' %d %s\nd 'doc' 0\nl 'doc/link' 0 '/bin/data'\nf 'doc/read me.md' %d %s\nf 'setup.fern' %d %s",
		len(data), sum(data), len(run), sum(run), len(read), sum(read), len(setup), sum(setup))
	if diff := cmp.Diff(wantList, string(list)); diff != "" {
		t.Error(diff)
	}
}

// Any version may follow any other, and each leaves what it alone would have.
func TestInstall_AnyOrder(t *testing.T) {
	fresh := func(version string) map[string]string {
		p := newPlace(t)
		p.install(t, version, nil)
		return p.state(t)
	}
	one, two := fresh("1.0-1"), fresh("2.0-1")
	p := newPlace(t)
	for i, step := range []struct {
		version, replaced string
		want              map[string]string
	}{{"1.0-1", "", one}, {"2.0-1", "1.0-1", two}, {"2.0-1", "2.0-1", two}, {"1.0-1", "2.0-1", one}} {
		r := p.install(t, step.version, nil)
		if r.Replaced != step.replaced {
			t.Errorf("step %d replaced %q, want %q", i, r.Replaced, step.replaced)
		}
		if diff := cmp.Diff(step.want, p.state(t)); diff != "" {
			t.Errorf("step %d: %s", i, diff)
		}
	}
}

// Another depot's version stays a product, and its clients' values stay.
func TestInstall_OtherDepot(t *testing.T) {
	p := newPlace(t)
	p.put(t, fleet.Hosts, fleet.Host{Type: fleet.OpsiConfigserver, ID: depotID}, fleet.Host{Type: fleet.OpsiDepotserver, ID: otherID},
		fleet.Host{Type: fleet.OpsiClient, ID: clientID})
	p.install(t, "1.0-1", nil)
	p.put(t, fleet.ProductsOnDepots, fleet.ProductOnDepot{ProductID: "editor", ProductVersion: "1.0", PackageVersion: "1", DepotID: otherID})
	p.put(t, fleet.ConfigStates, fleet.ConfigState{ConfigID: "clientconfig.depot.id", ObjectID: clientID, Values: []any{otherID}})
	p.put(t, fleet.ProductPropertyStates, fleet.ProductPropertyState{ProductID: "editor", PropertyID: "gone", ObjectID: clientID, Values: []any{"x"}})
	p.install(t, "2.0-1", nil)
	rows := keys(p.state(t), "row product")
	for _, want := range []string{" editor;1.0;1", " editor;2.0;1", "Property editor;1.0;1;language", "PropertyState editor;gone;pc1.example.org"} {
		if !slices.Contains(rows, want) {
			t.Errorf("no product%s among %q", want, rows)
		}
	}
	if slices.Contains(rows, "OnDepot editor;LocalbootProduct;1.0;1;depot.example.org") {
		t.Error("the old version is still on our depot")
	}
}

func TestInstall_PropertyValues(t *testing.T) {
	for _, test := range []struct {
		name string
		opts Options
		want map[string]string // object and property to values
	}{
		{"keep", Options{}, map[string]string{
			"depot desktop_icon": "[false]", "depot language": "[fr]", "client language": "[de]"}},
		{"package", Options{PackageDefaults: true}, map[string]string{
			"depot desktop_icon": "[true]", "depot language": "[en]", "client language": "[de]"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPlace(t)
			p.put(t, fleet.Hosts, fleet.Host{Type: fleet.OpsiConfigserver, ID: depotID}, fleet.Host{Type: fleet.OpsiClient, ID: clientID})
			p.install(t, "1.0-1", nil)
			state := func(property, object string, values ...any) any {
				return fleet.ProductPropertyState{ProductID: "editor", PropertyID: property, ObjectID: fleet.HostID(object), Values: values}
			}
			p.put(t, fleet.ProductPropertyStates, state("desktop_icon", depotID, false), state("language", depotID, "fr"),
				state("gone", depotID, "x"), state("gone", clientID, "x"), state("desktop_icon", clientID, "perhaps"), state("language", clientID, "klingon", "de"))
			if _, err := p.try(t, "2.0-1", nil, test.opts); err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			err := p.store.View(t.Context(), func(tx *store.Tx) error {
				rows, err := tx.Select(fleet.ProductPropertyStates, nil)
				for _, r := range rows {
					object := map[string]string{depotID: "depot", clientID: "client"}[r.Str("objectId")]
					got[object+" "+r.Str("propertyId")] = fmt.Sprint(r["values"])
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestInstall_Scripts(t *testing.T) {
	p := newPlace(t)
	p.install(t, "1.0-1", pkg{"CLIENT_DATA/custom": "made by an administrator"})
	const env = `test "$PRODUCT_ID $PRODUCT_TYPE $PRODUCT_VERSION $PACKAGE_VERSION" = "editor LocalbootProduct 2.0 1" || exit 9` + "\n"
	r := p.install(t, "2.0-1", pkg{
		"OPSI/preinst":  "#!/bin/sh\n" + env + `cp "$CLIENT_DATA_DIR/custom" kept && rm -r "$CLIENT_DATA_DIR/bin" && echo saved` + "\n",
		"OPSI/postinst": "#!/bin/sh\n" + env + `mv kept "$CLIENT_DATA_DIR/custom" && rm "$CLIENT_DATA_DIR/doc/link" && echo more >> "$CLIENT_DATA_DIR/setup.fern"` + "\n",
	})
	if want := []Difference{{"custom", "added"}, {"setup.fern", "changed"}, {"doc/link", "removed"}}; !cmp.Equal(want, r.Differences) || r.Differing != 3 {
		t.Errorf("differences: %v", r.Differences)
	}
	if r.Output != "preinst:\nsaved\n" {
		t.Errorf("output %q", r.Output)
	}
	for name, want := range map[string]string{"custom": "made by an administrator", "setup.fern": "install 2.0-1\nmore\n"} {
		if got, err := os.ReadFile(p.path("editor", name)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestRemove(t *testing.T) {
	p := newPlace(t)
	before := p.state(t)
	p.install(t, "1.0-1", nil)
	gone, err := p.Remove(t.Context(), tester, "editor", false)
	if err != nil {
		t.Fatal(err)
	}
	if want := (&Removed{"editor", "1.0", "1"}); !cmp.Equal(want, gone) {
		t.Errorf("removed %+v", gone)
	}
	if diff := cmp.Diff(before, p.state(t)); diff != "" {
		t.Error(diff)
	}
	if _, err := p.Remove(t.Context(), tester, "editor", false); fleet.CodeOf(err) != fleet.NotFound {
		t.Errorf("removed twice: %v", err)
	}
}

func TestLocked(t *testing.T) {
	p := newPlace(t)
	p.install(t, "1.0-1", nil)
	p.put(t, fleet.ProductsOnDepots, fleet.ProductOnDepot{ProductID: "editor", ProductVersion: "1.0", PackageVersion: "1", DepotID: depotID, Locked: true})
	before := p.state(t)
	if _, err := p.try(t, "2.0-1", nil, Options{}); fleet.CodeOf(err) != fleet.Locked {
		t.Errorf("installed over a lock: %v", err)
	}
	if _, err := p.Remove(t.Context(), tester, "editor", false); fleet.CodeOf(err) != fleet.Locked {
		t.Errorf("removed over a lock: %v", err)
	}
	// Forced and failing: the lock is there again.
	if _, err := p.try(t, "2.0-1", pkg{"OPSI/postinst": "#!/bin/sh\nexit 3\n"}, Options{Force: true}); fleet.CodeOf(err) != fleet.Invalid {
		t.Errorf("postinst: %v", err)
	}
	if diff := cmp.Diff(before, p.state(t)); diff != "" {
		t.Error(diff)
	}
	// While one runs, no other does, not even by force.
	p.reached = func(step string) {
		if step != "postinst" {
			return
		}
		p.reached = func(string) {}
		if _, err := p.try(t, "3.0-1", nil, Options{Force: true}); fleet.CodeOf(err) != fleet.Locked || fleet.HintOf(err) == "" {
			t.Errorf("two at once: %v", err)
		}
	}
	if _, err := p.try(t, "2.0-1", nil, Options{Force: true}); err != nil {
		t.Fatal(err)
	}
	p.install(t, "3.0-1", nil)
}

func TestServe(t *testing.T) {
	dir := t.TempDir()
	p, err := openPlace(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- p.Serve(ctx) }()
	p.install(t, "1.0-1", nil) // waits until the depot is in order
	second, err := openPlace(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer second.close()
	if err := second.Serve(ctx); err == nil || !strings.Contains(err.Error(), "cannot serve the depot") {
		t.Errorf("two processes serve one folder: %v", err)
	}
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
}
