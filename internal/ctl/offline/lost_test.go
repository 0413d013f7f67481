package offline

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/trust"
)

// The key of the list is lost: those of the root name another one, and what was
// signed counts under it. A command that is killed between root and list leaves
// what the next signature makes good.
func TestRotate_LostKeyOfTheList(t *testing.T) {
	d := newDir(t)
	if err := d.Add(trust.UpdateName("000"), []byte("x"), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Sign(testRing(), time.Now()); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(d.at(listFile))
	if err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(d.at(keysDir, "targets-*.age"))
	for _, f := range files {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.Sign(testRing(), time.Now()); fleet.CodeOf(err) != fleet.NotFound {
		t.Fatalf("signed without a key: %v", err)
	}
	if _, err := d.Rotate(Rotation{Online: online("new")}, testRing(), time.Now()); fleet.CodeOf(err) != fleet.NotFound {
		t.Fatalf("the server's keys need the list signed: %v", err)
	}
	if v, err := d.Rotate(Rotation{Role: trust.RoleTargets}, testRing(), time.Now()); err != nil || v != 2 {
		t.Fatalf("root %d, %v", v, err)
	}
	counts := func(d *Dir) {
		t.Helper()
		data, err := os.ReadFile(d.at(listFile))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.verified(data); err != nil || len(d.Names("")) != 1 {
			t.Errorf("the list does not count: %v %v", d.Names(""), err)
		}
	}
	counts(d)

	d.Close()
	if err := os.WriteFile(d.at(listFile), before, 0o644); err != nil {
		t.Fatal(err)
	}
	again, err := Open(d.path)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if _, err := again.Publish(t.Context(), nothingThere{}); fleet.CodeOf(err) != fleet.Conflict {
		t.Errorf("a list of the root before was published: %v", err)
	}
	if _, err := again.Sign(testRing(), time.Now()); err != nil {
		t.Fatal(err)
	}
	counts(again)
}

// nothingThere is a server without documents.
type nothingThere struct{}

func (nothingThere) Call(context.Context, string, ...any) (any, error) {
	return map[string]any{}, nil
}
