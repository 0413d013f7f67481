package depot

import (
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"strings"
	"sync"

	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
)

// maxListed is how many manifests stay in memory; one of 10,000 files has about
// 2 MB.
const maxListed = 8

// etags finds the sums of files.
type etags struct {
	mu     sync.Mutex
	listed []listed // the last used, newest first
}

type listed struct {
	digest string
	tree   *manifest.Manifest
}

// etag is the entity tag of a file: its SHA-256 as it was installed, "" if that
// is not known, or not certain because the file was written after it was read.
func (d *Depot) etag(name string, info fs.FileInfo) string {
	product, path, ok := strings.Cut(name, "/")
	if !ok || !info.Mode().IsRegular() {
		return ""
	}
	d.swap.RLock()
	t, ok := d.trees[product]
	d.swap.RUnlock()
	if !ok || info.ModTime().UnixNano() > t.Indexed {
		return ""
	}
	m := d.manifestOf(product, t.Digest)
	if m == nil {
		return ""
	}
	e, ok := m.Find(path)
	if !ok || !e.Type.Regular() || e.Size != info.Size() {
		return ""
	}
	return `"` + hex.EncodeToString(e.Sum[:]) + `"`
}

// manifestOf reads the manifest of an installed tree; nil if it is not there.
func (d *Depot) manifestOf(product, digest string) *manifest.Manifest {
	d.etags.mu.Lock()
	defer d.etags.mu.Unlock()
	for i, l := range d.etags.listed {
		if l.digest == digest {
			copy(d.etags.listed[1:i+1], d.etags.listed[:i])
			d.etags.listed[0] = l
			return l.tree
		}
	}
	m, err := d.readManifest(product, digest)
	if err != nil {
		d.Log.Warn("cannot read the manifest of a product; its files have no hash as tag", "product", product, "err", err)
	}
	d.etags.listed = append([]listed{{digest, m}}, d.etags.listed[:min(len(d.etags.listed), maxListed-1)]...)
	return m
}

func (d *Depot) readManifest(product, digest string) (*manifest.Manifest, error) {
	f, err := os.Open(d.path(manifestsDir, manifestName(product, digest)))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return manifest.Parse(f, manifest.Limits{})
}

// keepManifest writes the manifest of a tree that will be published.
func (d *Depot) keepManifest(product string, m *manifest.Manifest, digest string) error {
	return atomicfile.WriteFile(d.path(manifestsDir, manifestName(product, digest)), m.Text(), 0o644)
}

// forget removes a manifest unless it is that of the present tree. One that
// stays by a crash goes at the next start.
func (d *Depot) forget(product, digest string) {
	if digest == "" || d.digest(product) == digest {
		return
	}
	if err := os.Remove(d.path(manifestsDir, manifestName(product, digest))); err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.Log.Warn("cannot remove the manifest of a tree that is gone", "product", product, "err", err)
	}
}

// digest is that of the present tree, "" if there is none.
func (d *Depot) digest(product string) string {
	d.swap.RLock()
	defer d.swap.RUnlock()
	return d.trees[product].Digest
}
