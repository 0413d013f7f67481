package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/test/require"
)

// An outcome is how one test ended.
type outcome string

const (
	running outcome = "did not finish" // its process ended first: a failure
	passed  outcome = "passed"
	failed  outcome = "failed"
	skipped outcome = "was skipped"
)

func (o outcome) bad() bool { return o == failed || o == running }

// An event is one line of go test -json, see go doc test2json.
type event struct {
	Action      string
	Package     string
	ImportPath  string // of build-output events
	Test        string // empty for what the package says outside its tests
	Elapsed     float64
	Output      string
	FailedBuild string // on a package that fails: the ImportPath of the build that broke
}

// A record collects the events of one run of go test. A testName with an empty Test stands for
// its package.
type record struct {
	module  string              // cut from package paths
	ended   func(folder string) // called when a package with tests has ended
	ends    map[testName]outcome
	elapsed map[testName]time.Duration
	output  map[testName]string // of what has not passed
	reasons map[testName]string // of what was skipped
	builds  map[string]string   // what the compiler said, by ImportPath
}

func newRecord(module string, ended func(folder string)) *record {
	return &record{
		module: module, ended: ended,
		ends:    make(map[testName]outcome),
		elapsed: make(map[testName]time.Duration),
		output:  make(map[testName]string),
		reasons: make(map[testName]string),
		builds:  make(map[string]string),
	}
}

// read takes events until in ends.
func (r *record) read(in io.Reader) error {
	events := json.NewDecoder(in)
	for {
		var e event
		if err := events.Decode(&e); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("cannot read the events of go test: %w", err)
		}
		r.take(e)
	}
}

func (r *record) take(e event) {
	name := testName{Folder: r.folder(e.Package), Test: e.Test}
	switch e.Action {
	case "build-output":
		r.builds[e.ImportPath] += e.Output
	case "output":
		r.output[name] = tail(r.output[name] + e.Output)
		if _, why, found := strings.Cut(e.Output, require.Prefix); found {
			r.reasons[name] = strings.TrimSpace(why)
		}
	case "start", "run":
		r.ends[name] = running
	case "pass":
		r.end(name, passed, e)
		delete(r.output, name)
	case "skip":
		r.end(name, skipped, e)
	case "fail":
		r.output[name] = tail(r.output[name] + r.builds[e.FailedBuild])
		r.end(name, failed, e)
	}
}

func (r *record) end(name testName, end outcome, e event) {
	r.ends[name] = end
	r.elapsed[name] = time.Duration(e.Elapsed * float64(time.Second))
	if name.Test == "" && end != skipped { // a package without tests is "skipped"
		r.ended(name.Folder)
	}
}

// tail keeps the end of a long output: the cause of a failure stands there.
func tail(output string) string {
	const most = 64 << 10
	return output[max(0, len(output)-most):]
}

// folder names a package by its place in the module; "." is the module itself.
func (r *record) folder(pkg string) string {
	if pkg == r.module {
		return "."
	}
	return strings.TrimPrefix(pkg, r.module+"/")
}

// names returns the names, in order, for which want says yes.
func (r *record) names(want func(testName, outcome) bool) []testName {
	var names []testName
	for name, end := range r.ends {
		if want(name, end) {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b testName) int {
		return cmp.Or(cmp.Compare(a.Folder, b.Folder), cmp.Compare(a.Test, b.Test))
	})
	return names
}

// A count is how many tests ended in which way.
type count struct{ passed, failed, skipped int }

// count counts the tests of one folder, or all for "". A test with subtests counts by them. A
// package that failed with no failing test (it did not build, or ended early) counts as a failure,
// and so does a test that failed beside its subtests.
func (r *record) count(folder string) count {
	parent := make(map[testName]bool)  // has something below it
	because := make(map[testName]bool) // something below it failed
	for name, end := range r.ends {
		for up, ok := above(name); ok; up, ok = above(up) {
			parent[up] = parent[up] || up.Test != ""
			because[up] = because[up] || end.bad()
		}
	}
	var c count
	for name, end := range r.ends {
		switch {
		case folder != "" && name.Folder != folder:
		case end.bad():
			if !because[name] {
				c.failed++
			}
		case name.Test == "" || parent[name]:
		case end == passed:
			c.passed++
		case end == skipped:
			c.skipped++
		}
	}
	return c
}

// above is the test that a subtest belongs to, or the package of a test.
func above(name testName) (testName, bool) {
	if name.Test == "" {
		return testName{}, false
	}
	name.Test = name.Test[:max(0, strings.LastIndexByte(name.Test, '/'))]
	return name, true
}
