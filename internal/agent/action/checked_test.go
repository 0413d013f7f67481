package action

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
)

// Attack 18: the file is swapped after the tree was verified.
func TestAttack18_AScriptThatWasSwapped(t *testing.T) {
	const good = "echo verified\n"
	job, log := product(t, "setup.sh", good)
	var err error
	job.Content, err = manifest.New([]manifest.Entry{{Path: "setup.sh", Type: manifest.File, Size: int64(len(good)), Sum: sha256.Sum256([]byte(good))}})
	if err != nil {
		t.Fatal(err)
	}
	if r := run(t, job); r.Status != fleet.Successful || !strings.Contains(log.String(), "verified") {
		t.Errorf("%+v\n%s", r, log)
	}
	log.Reset()
	if err := os.WriteFile(filepath.Join(job.Dir, "setup.sh"), []byte("echo swapped\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := run(t, job); r.Status != fleet.Failed || !strings.Contains(r.Text, "not the file that was verified") || strings.Contains(log.String(), "\nswapped") {
		t.Errorf("%+v\n%s", r, log)
	}
}
