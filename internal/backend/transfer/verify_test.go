package transfer_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/backend/transfer"
)

func TestVerify_ListsEveryDifference(t *testing.T) {
	tr := sample()
	job := tr.job(t, tr.source(t))
	run(t, job)
	at := func(name string) string { return filepath.Join(job.Stage, name) }
	spoiled := []byte(tr["big"])
	spoiled[len(spoiled)-1] ^= 1
	err := errors.Join(
		os.WriteFile(at("big"), spoiled, 0o644),
		os.Truncate(at("copy"), 3),
		os.Chmod(at("d/e/run.sh"), 0o644),
		os.Remove(at("a")),
		os.RemoveAll(at("hole")),
		os.WriteFile(at("hole"), nil, 0o644),
		os.Remove(at("link")), os.Symlink("other", at("link")),
		os.Remove(at("small")), os.Symlink("d.b", at("small")),
		os.Mkdir(at("extra"), 0o755), os.WriteFile(at("extra/file"), nil, 0o644),
	)
	if err != nil {
		t.Fatal(err)
	}
	want := []transfer.Mismatch{
		{Path: "a", Why: "is missing"},
		{Path: "big", Why: "has other content"},
		{Path: "copy", Why: "has 3 bytes, not 327757"},
		{Path: "d/e/run.sh", Why: "has the wrong executable bit"},
		{Path: "extra", Why: "does not belong here"},
		{Path: "hole", Why: "is no folder"},
		{Path: "link", Why: `leads to "other", not to "d/e"`},
		{Path: "small", Why: "is no file"},
	}
	if diff := cmp.Diff(want, mismatches(t, job.Stage, job.Index)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
