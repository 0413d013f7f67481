package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/transfer"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/chunkindex"
	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
	"github.com/fernwerk/fernwerk/internal/kit/throttle"
)

func TestSync_FillsAnEmptyFolder(t *testing.T) {
	tr := sample()
	src := tr.source(t)
	job := tr.job(t, src)
	var last transfer.Progress
	job.Progress = func(p transfer.Progress) {
		if p.FilesDone < last.FilesDone || p.BytesDone < last.BytesDone {
			t.Errorf("progress went back: %+v after %+v", p, last)
		}
		last = p
	}
	got := run(t, job)
	if want := job.Index.Size(chunkindex.Ranges{{First: 0, End: len(job.Index.Chunks)}}); got.Fetched != want || got.Requests != 1 {
		t.Errorf("%+v, want %d bytes in one request", got, want)
	}
	if last.FilesDone != last.FilesTotal || last.BytesDone != last.BytesTotal || last.BytesTotal != job.Index.Tree.Size() {
		t.Errorf("progress ended at %+v", last)
	}
	job.Progress = nil
	if again := run(t, job); again.Requests != 0 || again.Kept != job.Index.Tree.Size() {
		t.Errorf("a second run did %+v", again)
	}
	if got.Wire != src.sent.Load() {
		t.Errorf("%d bytes on the wire, %d sent", got.Wire, src.sent.Load())
	}
}

func TestSync_RemovesAndRepairs(t *testing.T) {
	tr := sample()
	job := tr.job(t, tr.source(t))
	run(t, job)
	at := func(name string) string { return filepath.Join(job.Stage, name) }
	spoil := map[string]func() error{
		"extra file":         func() error { return os.WriteFile(at("extra"), nil, 0o600) },
		"extra folder":       func() error { return os.MkdirAll(at("d/more/and/more"), 0o700) },
		"file for a folder":  func() error { return errors.Join(os.RemoveAll(at("d")), os.WriteFile(at("d"), nil, 0o600)) },
		"folder for a file":  func() error { return errors.Join(os.Remove(at("a")), os.Mkdir(at("a"), 0o700)) },
		"link for a file":    func() error { return errors.Join(os.Remove(at("a")), os.Symlink("big", at("a"))) },
		"link for a folder":  func() error { return errors.Join(os.RemoveAll(at("d")), os.Symlink("/etc", at("d"))) },
		"other link":         func() error { return errors.Join(os.Remove(at("link")), os.Symlink("a", at("link"))) },
		"modes":              func() error { return errors.Join(os.Chmod(at("a"), 0o777), os.Chmod(at("d/e/run.sh"), 0o600)) },
		"longer":             func() error { return os.Truncate(at("other"), 1<<20) },
		"shorter":            func() error { return os.Truncate(at("big"), 5) },
		"content of nothing": func() error { return os.WriteFile(at("d/empty"), []byte("x"), 0o600) },
	}
	for name, f := range spoil {
		t.Run(name, func(t *testing.T) {
			if err := f(); err != nil {
				t.Fatal(err)
			}
			if len(mismatches(t, job.Stage, job.Index)) == 0 && name != "modes" {
				t.Error("nothing is wrong before")
			}
			run(t, job)
		})
	}
	if info, err := os.Stat("/etc/passwd"); err != nil || info.Size() == 0 {
		t.Fatal("a link in the staging folder was followed")
	}
}

func TestSync_FetchesOnlyTheDamagedChunk(t *testing.T) {
	tr := tree{"big": random(3, 50*cutSize)}
	job := tr.job(t, tr.source(t))
	run(t, job)
	f, err := os.OpenFile(filepath.Join(job.Stage, "big"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{1, 2, 3}, 7*cutSize+5); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if got := run(t, job); got.Fetched != cutSize {
		t.Errorf("fetched %d bytes for one damaged chunk", got.Fetched)
	}
}

// The promise: what a cut costs is the chunk that was under way. Some cuts are
// the line's, some end the program.
func TestSync_CutAThousandTimes(t *testing.T) {
	tr := tree{}
	for i := range 300 {
		tr[fmt.Sprintf("d%d/f%d", i%7, i)] = random(uint64(i), 1+i*37)
	}
	tr["big"] = random(1000, 1500*cutSize)
	src := tr.source(t)
	rng := rand.New(rand.NewPCG(1, 2))
	cuts, kill := 0, context.CancelFunc(nil)
	src.answer = func(content io.Reader, _ bool) (io.Reader, error) {
		if cuts == 1000 {
			return content, nil
		}
		if cuts++; cuts%10 == 0 {
			return io.MultiReader(io.LimitReader(content, rng.Int64N(4*cutSize)), killer(kill), content), nil
		}
		return io.LimitReader(content, rng.Int64N(2*cutSize)), nil
	}
	job := tr.job(t, src)
	runs := 0
	for done := false; !done; runs++ {
		ctx, cancel := context.WithCancel(t.Context())
		kill = cancel
		_, err := transfer.Sync(ctx, job)
		if done = err == nil; !done && ctx.Err() == nil && !strings.Contains(err.Error(), "ended its answer early") {
			t.Fatal(err)
		}
		cancel()
	}
	holds(t, job.Stage, job.Index)
	needed := job.Index.Size(chunkindex.Ranges{{First: 0, End: len(job.Index.Chunks)}})
	sent := src.sent.Load()
	t.Logf("%d cuts, %d runs: %d bytes for %d", cuts, runs, sent, needed)
	if most := needed + needed/100 + int64(cuts)*cutSize; cuts != 1000 || sent > most {
		t.Errorf("%d bytes were sent after %d cuts, needed %d, allowed %d", sent, cuts, needed, most)
	}
}

func TestSync_TakesFromSeeds(t *testing.T) {
	old := sample()
	published := filepath.Join(t.TempDir(), "published")
	oldJob := old.job(t, old.source(t))
	run(t, oldJob)
	if err := transfer.Publish(oldJob.Stage, published); err != nil {
		t.Fatal(err)
	}
	changed := sample()
	changed["big"] = random(9, cutSize) + old["big"]
	changed["a.sh"] = old["a"] // same content, other mode
	changed["moved/here"] = old["other"]
	delete(changed, "other")
	for _, disposable := range []bool{false, true} {
		src := changed.source(t)
		job := changed.job(t, src)
		job.Stage = filepath.Join(filepath.Dir(published), "stage")
		job.Seeds = []transfer.Seed{
			{Dir: filepath.Join(t.TempDir(), "missing"), Index: oldJob.Index},
			{Dir: published, Index: oldJob.Index, Disposable: disposable},
		}
		if got := run(t, job); got.Fetched != cutSize || src.sent.Load() != cutSize {
			t.Errorf("disposable %v: %+v, want one chunk", disposable, got)
		}
		a, errA := os.Stat(filepath.Join(published, "other"))
		b, errB := os.Stat(filepath.Join(job.Stage, "moved/here"))
		if errA != nil || errB != nil || os.SameFile(a, b) != disposable {
			t.Errorf("disposable %v: linked %v, %v %v", disposable, os.SameFile(a, b), errA, errB)
		}
		holds(t, published, oldJob.Index)
		if disposable {
			break
		}
		if err := os.RemoveAll(job.Stage); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSync_DamagedSeedIsNotUsedAndNotTouched(t *testing.T) {
	tr := tree{"a": random(1, 1000), "b": random(2, 5*cutSize)}
	seed := tr.job(t, tr.source(t))
	run(t, seed)
	spoiled := []byte(tr["b"])
	spoiled[2*cutSize] ^= 1
	write(t, filepath.Join(seed.Stage, "a"), random(3, 1000))
	write(t, filepath.Join(seed.Stage, "b"), string(spoiled))
	job := tr.job(t, tr.source(t))
	job.Seeds = []transfer.Seed{{Dir: seed.Stage, Index: seed.Index, Disposable: true}}
	if got := run(t, job); got.Fetched != 1000+cutSize {
		t.Errorf("%+v", got)
	}

	// A staging folder that shares a file with the published copy, as after a
	// kill: what is wrong in it must not be repaired in both.
	stage := filepath.Join(t.TempDir(), "stage")
	if err := os.Mkdir(stage, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(seed.Stage, "b"), filepath.Join(stage, "b")); err != nil {
		t.Fatal(err)
	}
	job = tr.job(t, tr.source(t))
	job.Stage = stage
	run(t, job)
	if b, err := os.ReadFile(filepath.Join(seed.Stage, "b")); err != nil || !bytes.Equal(b, spoiled) {
		t.Error("the published copy was written to")
	}
}

func TestSync_CopiesLinks(t *testing.T) {
	tr := sample()
	job := tr.job(t, tr.source(t))
	job.CopyLinks = true
	if _, err := transfer.Sync(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	x, err := job.Index.WithoutLinks(100)
	if err != nil {
		t.Fatal(err)
	}
	holds(t, job.Stage, x)
	if b, err := os.ReadFile(filepath.Join(job.Stage, "link/run.sh")); err != nil || string(b) != tr["d/e/run.sh"] {
		t.Errorf("%q, %v", b, err)
	}
}

// Every fault of a source: the next source finishes the work, and without one
// the error says what it was; what had arrived is kept.
func TestSync_SourceFaults(t *testing.T) {
	type answer = func(io.Reader, bool) (io.Reader, error)
	flipped := func(content io.Reader) io.Reader {
		b, _ := io.ReadAll(content)
		b[len(b)/2] ^= 1
		return bytes.NewReader(b)
	}
	faults := map[string]struct {
		answer answer
		want   string
		code   fleet.Code
	}{
		"wrong content": {func(c io.Reader, _ bool) (io.Reader, error) { return flipped(c), nil }, "its content is wrong", fleet.Internal},
		"truncated":     {func(c io.Reader, _ bool) (io.Reader, error) { return io.LimitReader(c, 100), nil }, "ended its answer early", fleet.Internal},
		"refused": {func(io.Reader, bool) (io.Reader, error) { return nil, fleet.Errorf(fleet.Denied, "not for you") },
			"not for you", fleet.Denied},
		"another tree": {func(io.Reader, bool) (io.Reader, error) { return nil, fleet.Errorf(fleet.Conflict, "installed anew") },
			"installed anew", fleet.Conflict},
		"no connection": {func(io.Reader, bool) (io.Reader, error) { return nil, io.ErrClosedPipe }, "closed pipe", fleet.Internal},
		"drift": {func(c io.Reader, _ bool) (io.Reader, error) {
			return io.MultiReader(io.LimitReader(c, 3*cutSize), broken{fleet.Errorf(fleet.Conflict, `"big" drifted`)}), nil
		}, "drifted", fleet.Conflict},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			tr := sample()
			bad := tr.source(t)
			bad.answer = fault.answer
			job := tr.job(t, bad)
			_, err := transfer.Sync(t.Context(), job)
			if err == nil || !strings.Contains(err.Error(), fault.want) || fleet.CodeOf(err) != fault.code {
				t.Fatalf("error %v (%s), want %q (%s)", err, fleet.CodeOf(err), fault.want, fault.code)
			}
			good := tr.source(t)
			job.Sources = append(job.Sources, good)
			run(t, job)
			if total := good.sent.Load(); name == "drift" && total > job.Index.Tree.Size()-3*cutSize {
				t.Errorf("%d bytes were fetched again", total)
			}
		})
	}
}

type broken struct{ error }

func (b broken) Read([]byte) (int, error) { return 0, b.error }

func TestSync_DoubtsACache(t *testing.T) {
	tr := sample()
	src := tr.source(t)
	src.answer = func(c io.Reader, fresh bool) (io.Reader, error) {
		if fresh {
			return c, nil
		}
		b, err := io.ReadAll(c)
		b[0] ^= 1
		return bytes.NewReader(b), err
	}
	if got := run(t, tr.job(t, src)); got.Requests != 2 {
		t.Errorf("%+v", got)
	}
}

// endless never ends and never is a chunk.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestSync_EndlessAnswer(t *testing.T) {
	tr := sample()
	src := tr.source(t)
	src.answer = func(c io.Reader, _ bool) (io.Reader, error) { return io.MultiReader(c, endless{}), nil }
	got := run(t, tr.job(t, src)) // the right chunks came first
	if got.Fetched > tr.index(t).Tree.Size() {
		t.Errorf("%+v", got)
	}
	// Bytes on the line that never become content, as frames of nothing would.
	job := tr.job(t, swallow{})
	if _, err := transfer.Sync(t.Context(), job); fleet.CodeOf(err) != fleet.TooLarge {
		t.Errorf("error %v", err)
	}
}

func TestSync_StalledSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := sample()
		hung, trickle, good := tr.source(t), tr.source(t), tr.source(t)
		trickle.answer = func(c io.Reader, _ bool) (io.Reader, error) { return slow{c}, nil }
		job := tr.job(t, stuck{hung}, trickle, good)
		job.Idle = 30 * time.Second
		begun := time.Now()
		run(t, job)
		if took := time.Since(begun); took < time.Minute || took > 3*time.Minute {
			t.Errorf("took %v", took)
		}
		if good.asked != 1 {
			t.Error("the good source was not asked")
		}
		job = tr.job(t, stuck{hung})
		if _, err := transfer.Sync(t.Context(), job); err == nil || !strings.Contains(err.Error(), "stalled") {
			t.Errorf("error %v", err)
		}
	})
}

func TestSync_WaitingForTheLimiterIsNotAStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := tree{"a": random(1, 3*cutSize)}
		job := tr.job(t, tr.source(t))
		job.Idle = time.Second
		job.Limiter = throttle.New(1000)
		begun := time.Now()
		if got := run(t, job); got.Requests != 1 {
			t.Errorf("%+v", got)
		}
		if took := time.Since(begun); took < 45*time.Second || took > 50*time.Second {
			t.Errorf("%d bytes at 1000 a second took %v", 3*cutSize, took)
		}
	})
}

func TestSync_LyingIndex(t *testing.T) {
	tr := tree{"a": "x", "big": random(1, 3*cutSize)}
	honest := tr.index(t)
	e, _ := honest.Tree.Find("big")
	e.Sum[0] ^= 1
	m, err := manifest.New([]manifest.Entry{e})
	if err != nil {
		t.Fatal(err)
	}
	var list []chunkindex.Chunk
	for _, c := range honest.Chunks {
		if c.Size > 1 {
			list = append(list, c)
		}
	}
	x, err := chunkindex.New(m, map[string][]chunkindex.Chunk{"big": list})
	if err != nil {
		t.Fatal(err)
	}
	src := tr.source(t)
	src.x = x
	job := transfer.Job{Stage: filepath.Join(t.TempDir(), "stage"), Index: x, Sources: []transfer.Source{src}, Retry: hasty}
	if _, err := transfer.Sync(t.Context(), job); fleet.CodeOf(err) != fleet.Invalid || !strings.Contains(err.Error(), `"big"`) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(filepath.Join(job.Stage, "big")); err == nil {
		t.Error("the wrong file stayed")
	}
}

func TestSync_CannotWrite(t *testing.T) {
	tr := sample()
	job := tr.job(t, tr.source(t))
	write(t, job.Stage, "a file where the folder should be")
	if _, err := transfer.Sync(t.Context(), job); err == nil || !strings.Contains(err.Error(), job.Stage) {
		t.Errorf("error %v", err)
	}
	job = tr.job(t)
	if _, err := transfer.Sync(t.Context(), job); fleet.CodeOf(err) != fleet.Unavailable {
		t.Errorf("without a source: %v", err)
	}
}
