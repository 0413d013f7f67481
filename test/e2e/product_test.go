package e2e

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/test/e2e/site"
)

// version is that of all products here.
const version = "1.0"

// product is a product whose setup copies its files to a folder that the host
// names by a property, and notes its begin and its end there.
type product struct {
	id     string
	needs  string // product that must be set up before
	source string // folder of the files
}

const controlFile = `[Package]
version = "1"

[Product]
type = "LocalbootProduct"
id = %q
name = "End to end"
version = %q
setupScript = "setup.sh"

[[ProductProperty]]
type = "UnicodeProductProperty"
name = "target"
multivalue = false
editable = true
description = "Where do the files go?"
values = ["/nowhere"]
default = ["/nowhere"]
`

const dependency = `
[[ProductDependency]]
action = "setup"
requiredProduct = %q
requiredAction = "setup"
requirementType = "before"
`

const setup = `set -e
target=$(property target)
echo "$FERNWERK_PRODUCT_ID begins" >> "$target/run.log"
rm -rf "$target/$FERNWERK_PRODUCT_ID"
cp -r files "$target/$FERNWERK_PRODUCT_ID"
sleep 0.3
echo "$FERNWERK_PRODUCT_ID ends" >> "$target/run.log"
echo "copied to $target, attempt $FERNWERK_ATTEMPT"
`

// pack makes a product of files that do not compress, and installs it on the
// server's depot.
func pack(t testing.TB, s *site.Server, id, needs string, files, bytes int) product {
	t.Helper()
	dir := t.TempDir()
	p := product{id: id, needs: needs, source: filepath.Join(dir, "CLIENT_DATA", "files")}
	text := fmt.Sprintf(controlFile, id, version)
	if needs != "" {
		text += fmt.Sprintf(dependency, needs)
	}
	write(t, filepath.Join(dir, "OPSI", "control.toml"), []byte(text))
	write(t, filepath.Join(dir, "CLIENT_DATA", "setup.sh"), []byte(setup))
	noise := rand.NewChaCha8([32]byte([]byte(fmt.Sprintf("%-32s", id))))
	sizes := rand.New(rand.NewPCG(uint64(files), uint64(bytes)))
	for i := range files {
		data := make([]byte, sizes.IntN(2*bytes/files)) // some are empty, some have several chunks
		if i == 0 {
			data = make([]byte, bytes/10)
		}
		noise.Read(data)
		write(t, filepath.Join(p.source, fmt.Sprintf("folder %d", i%17), fmt.Sprintf("file-%d", i)), data)
	}
	must(t, s.Install(t.Context(), dir))
	return p
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, data, 0o644))
}

// tree is what a folder holds: size and SHA-256 by path.
func tree(dir string) (map[string]string, error) {
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		found[filepath.ToSlash(name)] = fmt.Sprintf("%d bytes, %x", len(data), sha256.Sum256(data))
		return err
	})
	return found, err
}

// sameTree says how a folder differs from its source.
func sameTree(source, copied string) error {
	want, err := tree(source)
	if err != nil {
		return err
	}
	got, err := tree(copied)
	if err != nil {
		return err
	}
	if len(want) == 0 {
		return errors.New("the source is empty: equal to it says nothing")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		return fmt.Errorf("%s differs from its source (-want +got):\n%s", copied, diff)
	}
	return nil
}

func TestSameTree_SeesEveryDifference(t *testing.T) {
	for name, spoil := range map[string]func(dir string) error{
		"one byte": func(dir string) error { return os.WriteFile(filepath.Join(dir, "a"), []byte("xontent"), 0o644) },
		"missing":  func(dir string) error { return os.Remove(filepath.Join(dir, "a")) },
		"surplus":  func(dir string) error { return os.WriteFile(filepath.Join(dir, "c"), nil, 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			a, b := t.TempDir(), t.TempDir()
			for _, dir := range []string{a, b} {
				write(t, filepath.Join(dir, "a"), []byte("content"))
			}
			if err := sameTree(a, b); err != nil {
				t.Fatal(err)
			}
			must(t, spoil(b))
			if sameTree(a, b) == nil {
				t.Error("not noticed")
			}
		})
	}
}
