//go:build unix

package nodefile

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/test/require"
)

// Who owns the folder in which one is made for him may be quicker than we are: what he
// puts in its place is not given to him.
func TestGiveFolder_OnlyWhatWasMade(t *testing.T) {
	require.Root(t)
	dir := t.TempDir()
	at, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer at.Close()
	precious := filepath.Join(dir, "precious")
	for _, err := range []error{os.WriteFile(precious, nil, 0o600), os.Mkdir(filepath.Join(dir, "full"), 0o700), os.WriteFile(filepath.Join(dir, "full", "x"), nil, 0o600),
		os.Link(precious, filepath.Join(dir, "hard")), os.Symlink("precious", filepath.Join(dir, "soft")), os.Symlink("full", filepath.Join(dir, "link")),
		os.Mkdir(filepath.Join(dir, "his"), 0o700), os.Chown(filepath.Join(dir, "his"), 65533, 65533), os.Mkdir(filepath.Join(dir, "made"), 0o700)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	who := account{name: "somebody", uid: 65534, gid: 65534}
	for _, name := range []string{"hard", "soft", "full", "link", "his"} {
		if err := giveFolder(at, name, 0o755, who); err == nil {
			t.Errorf("%s was given away", name)
		}
	}
	if err := giveFolder(at, "full", 0o755, who); fleet.CodeOf(err) != fleet.Denied {
		t.Error(err)
	}
	for name, want := range map[string]int{"precious": 0, "full": 0, "his": 65533} {
		if info, err := os.Lstat(filepath.Join(dir, name)); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v %v", name, info, err)
		} else if owner, _ := ownerOf(info); owner.uid != want {
			t.Errorf("%s is user %d's", name, owner.uid)
		}
	}
	if err := giveFolder(at, "made", 0o755, who); err != nil {
		t.Error(err)
	}
	if info, err := os.Lstat(filepath.Join(dir, "made")); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("%v %v", info, err)
	}
}
