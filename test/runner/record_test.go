package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sample is a module whose tests end in every way, run by the real go test.
var sample = map[string]string{
	"go.mod": "module example.org/sample\n\ngo 1.26\n",
	"ways/ways_test.go": `package ways
import "testing"
func TestPasses(t *testing.T)  { t.Run("sub one", func(t *testing.T) {}); t.Run("sub two", func(t *testing.T) {}) }
func TestFails(t *testing.T)   { t.Run("sub", func(t *testing.T) { t.Error("the cause") }) }
func TestItself(t *testing.T)  { t.Run("sub", func(t *testing.T) {}); t.Error("beside its subtests") }
func TestLeft(t *testing.T)    { t.Skip("left out: rsync: not found") }
func TestSilent(t *testing.T)  { t.SkipNow() }
`,
	"exit/exit_test.go": `package exit
import ("os"; "testing")
func TestEndsTheProcess(t *testing.T) { println("last words"); os.Exit(3) }
`,
	"build/build_test.go": `package build
import "testing"
func TestNeverBuilt(t *testing.T) { undefined() }
`,
	"bare/bare.go": "package bare\n",
}

func runSample(t *testing.T) (*record, string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range sample {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-json", "-vet=off", "./...")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	events, err := cmd.Output()
	if err == nil {
		t.Fatal("go test passed a sample that fails")
	}
	var progress strings.Builder
	var r *record
	r = newRecord("example.org/sample", func(folder string) { r.progress(&progress, folder) })
	if err := r.read(strings.NewReader(string(events))); err != nil {
		t.Fatal(err)
	}
	return r, progress.String()
}

func TestRecord(t *testing.T) {
	r, progress := runSample(t)

	// Failed: TestFails/sub, TestItself, TestEndsTheProcess, and the package that did not build.
	want := count{passed: 3, failed: 4, skipped: 2}
	if got := r.count(""); got != want {
		t.Errorf("counted %+v, want %+v", got, want)
	}
	if diff := cmp.Diff(map[string]outcome{
		"TestPasses": passed, "TestPasses/sub_one": passed, "TestPasses/sub_two": passed,
		"TestFails": failed, "TestFails/sub": failed, "TestItself": failed, "TestItself/sub": passed,
		"TestLeft": skipped, "TestSilent": skipped, "": failed,
	}, inFolder(r, "ways")); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
	if strings.Contains(progress, "bare") || strings.Count(progress, "FAIL") != 3 {
		t.Errorf("progress:\n%s", progress)
	}

	var failures, left strings.Builder
	r.failures(&failures)
	for _, words := range []string{"the cause", "beside its subtests", "last words", "undefined: undefined"} {
		if !strings.Contains(failures.String(), words) {
			t.Errorf("failures do not say %q:\n%s", words, failures.String())
		}
	}
	r.leftOut(&left)
	wantLeft := "\nleft out:\n  no reason given by package require\n    ways.TestSilent\n  rsync: not found\n    ways.TestLeft\n"
	if diff := cmp.Diff(wantLeft, left.String()); diff != "" {
		t.Errorf("left out (-want +got):\n%s", diff)
	}
}

func inFolder(r *record, folder string) map[string]outcome {
	ends := make(map[string]outcome)
	for name, end := range r.ends {
		if name.Folder == folder {
			ends[name.Test] = end
		}
	}
	return ends
}

func TestBrokenEventsAreAnError(t *testing.T) {
	r := newRecord("example.org/sample", func(string) {})
	if err := r.read(strings.NewReader("{\"Action\":\"run\"}\nnot json\n")); err == nil {
		t.Error("no error")
	}
}
