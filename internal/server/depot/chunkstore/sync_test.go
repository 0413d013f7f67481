package chunkstore_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/transfer"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/chunkindex"
	"github.com/fernwerk/fernwerk/internal/kit/retry"
	"github.com/fernwerk/fernwerk/internal/kit/slowline"
)

// lan is a line that takes no time worth mentioning.
var lan = slowline.Line{Rate: 1 << 30}

var hasty = retry.Policy{First: time.Millisecond, Max: time.Millisecond, Attempts: 3}

func verify(t testing.TB, dir string, x *chunkindex.Index) {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if bad, err := transfer.Verify(t.Context(), root, x.Tree); err != nil || len(bad) > 0 {
		t.Fatalf("%v, %v", bad, err)
	}
}

// A product is cached, changes a little, and is cached again.
func TestSync_SmallChange(t *testing.T) {
	d := newDepot(t)
	for i := range 2000 {
		d.write(t, fmt.Sprintf("dir%02d/file%04d.txt", i%40, i), words(uint64(i), 200+i))
	}
	d.write(t, "big", words(9999, 4<<20))
	d.add(t)
	source, line := d.overLine(t, lan)
	old, err := source.Tree(t.Context(), nil, nil, chunkindex.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	final, stage := filepath.Join(dir, "editor"), filepath.Join(dir, "stage")
	sync := func(x *chunkindex.Index, seeds ...transfer.Seed) transfer.Result {
		t.Helper()
		result, err := transfer.Sync(t.Context(), transfer.Job{Stage: stage, Index: x, Seeds: seeds, Sources: []transfer.Source{source}, Retry: hasty})
		if err != nil {
			t.Fatal(err)
		}
		verify(t, stage, x)
		if err := transfer.Publish(stage, final); err != nil {
			t.Fatal(err)
		}
		return result
	}
	sync(old)
	_, cold := line.Reset()

	if same, err := source.Tree(t.Context(), old, nil, chunkindex.Limits{}); err != nil || same != old {
		t.Errorf("an unchanged tree: %v, %v", same, err)
	}
	_, unchanged := line.Reset()
	for i := range 10 {
		d.write(t, fmt.Sprintf("dir%02d/file%04d.txt", (i*100)%40, i*100), words(uint64(5000+i), 1000))
	}
	d.add(t)
	x, err := source.Tree(t.Context(), old, nil, chunkindex.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	_, index := line.Reset()
	got := sync(x, transfer.Seed{Dir: final, Index: old, Disposable: true})
	_, chunks := line.Reset()
	t.Logf("bytes on the line: cold %d; unchanged %d; 10 of 2001 files changed: index %d, chunks %d", cold, unchanged, index, chunks)
	if got.Fetched != 10*1000 || unchanged > 500 || index > 3000 || chunks > 12000 {
		t.Errorf("%+v", got)
	}
}

func TestSync_LineIsCut(t *testing.T) {
	d := newDepot(t)
	for i := range 60 {
		d.write(t, fmt.Sprintf("f%d", i), words(uint64(i), 100_000))
	}
	x := d.add(t).Index
	source, line := d.overLine(t, lan)
	line.CutAfter(200_000)
	cuts := 0
	job := transfer.Job{Stage: filepath.Join(t.TempDir(), "stage"), Index: x, Sources: []transfer.Source{source}, Retry: hasty,
		Progress: func(p transfer.Progress) {
			if p.WireBytes > int64(cuts+1)*100_000 && cuts < 5 {
				cuts++
				line.Cut()
			}
		}}
	got, err := transfer.Sync(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	verify(t, job.Stage, x)
	if waste := got.Fetched - x.Tree.Size(); got.Requests < 3 || waste > int64(got.Requests)*chunkindex.MaxChunk {
		t.Errorf("%d cuts: %+v, %d too much", cuts, got, waste)
	}
}

func TestSync_SurvivesADamagedBlock(t *testing.T) {
	d := newDepot(t)
	d.write(t, "big", words(1, 2<<20))
	x := d.add(t).Index
	d.compressAll(t, x)
	name := d.files(t, ".block")[0]
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	for _, damaged := range [][]byte{b, b[:len(b)/2], []byte("not zstd"), nil} {
		if err := os.WriteFile(name, damaged, 0o644); err != nil {
			t.Fatal(err)
		}
		source, _ := d.overLine(t, lan)
		job := transfer.Job{Stage: filepath.Join(t.TempDir(), "stage"), Index: x, Sources: []transfer.Source{source}, Retry: hasty}
		if _, err := transfer.Sync(t.Context(), job); err != nil {
			t.Errorf("%.10q: %v", damaged, err)
			continue
		}
		verify(t, job.Stage, x)
	}
}

func TestSync_DriftIsSaid(t *testing.T) {
	d := newDepot(t)
	for i := range 4 {
		d.write(t, fmt.Sprintf("f%d", i), words(uint64(i), 1<<20))
	}
	x := d.add(t).Index
	d.write(t, "f3", []byte("edited in place"))
	source, _ := d.overLine(t, lan)
	job := transfer.Job{Stage: filepath.Join(t.TempDir(), "stage"), Index: x, Sources: []transfer.Source{source}, Retry: hasty}
	got, err := transfer.Sync(t.Context(), job)
	if fleet.CodeOf(err) != fleet.Conflict || !strings.Contains(err.Error(), `"f3"`) || got.Requests != 1 {
		t.Errorf("%+v, error %v", got, err)
	}
}
