package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// progress prints one line for a package that has ended.
func (r *record) progress(w io.Writer, folder string) {
	pkg := testName{Folder: folder}
	mark := "ok  "
	if r.ends[pkg].bad() {
		mark = "FAIL"
	}
	c := r.count(folder)
	note := ""
	if c.skipped > 0 {
		note = fmt.Sprintf("  %d left out", c.skipped)
	}
	fmt.Fprintf(w, "%s %-36s %5d tests %7.1fs%s\n", mark, folder, c.passed+c.failed, r.elapsed[pkg].Seconds(), note)
}

// failures prints each failure with its output: a package's tests, then what it said outside them.
func (r *record) failures(w io.Writer) {
	folder := ""
	for _, name := range r.names(func(_ testName, end outcome) bool { return end.bad() }) {
		if name.Folder != folder {
			folder = name.Folder
			fmt.Fprintf(w, "\nFAIL %s\n", folder)
		}
		if name.Test != "" {
			fmt.Fprintf(w, "  %s %s\n", name.Test, r.ends[name])
		}
		for line := range strings.Lines(r.output[name]) {
			fmt.Fprintf(w, "    %s", line)
		}
	}
}

// slowest prints the n tests that took longest, if they took a second or more.
func (r *record) slowest(w io.Writer, n int) {
	names := r.names(func(n testName, _ outcome) bool {
		return n.Test != "" && !strings.Contains(n.Test, "/") && r.elapsed[n] >= time.Second
	})
	if len(names) == 0 {
		return
	}
	slices.SortStableFunc(names, func(a, b testName) int { return cmp.Compare(r.elapsed[b], r.elapsed[a]) })
	fmt.Fprintln(w, "\nslowest:")
	for _, name := range names[:min(n, len(names))] {
		fmt.Fprintf(w, "  %6.1fs %s\n", r.elapsed[name].Seconds(), name)
	}
}

// leftOut prints every skipped test under its reason.
func (r *record) leftOut(w io.Writer) {
	byReason := make(map[string][]testName)
	for _, name := range r.names(func(n testName, end outcome) bool { return n.Test != "" && end == skipped }) {
		why := cmp.Or(r.reasons[name], "no reason given by package require")
		byReason[why] = append(byReason[why], name)
	}
	if len(byReason) == 0 {
		fmt.Fprintln(w, "\nleft out: nothing")
		return
	}
	fmt.Fprintln(w, "\nleft out:")
	for _, why := range slices.Sorted(maps.Keys(byReason)) {
		fmt.Fprintf(w, "  %s\n", why)
		for _, name := range byReason[why] {
			fmt.Fprintf(w, "    %s\n", name)
		}
	}
}
