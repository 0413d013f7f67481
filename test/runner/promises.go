package main

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// A promise is one row of docs/reference/promises.md:
//
//	| A-017 | what is promised | works | `internal/fleet/merge.TestRules/inventory` |
//
// Its state is "works", "issue N" or "later". A row that works names at least one test, any other
// row none.
type promise struct {
	ID    string
	Line  int
	State string
	Tests []testName
}

// A testName is a test by its package's folder in the module ("." is the module itself) and its
// name as go test prints it.
type testName struct{ Folder, Test string }

func (n testName) String() string { return n.Folder + "." + n.Test }

var (
	promiseID    = regexp.MustCompile(`^[A-Z]-[0-9]{3}$`)
	promiseState = regexp.MustCompile(`^(works|later|issue [1-9][0-9]?)$`)
	promiseTest  = regexp.MustCompile("^`([.]|[a-zA-Z0-9_./-]*[a-zA-Z0-9_-])[.]((?:Test|Fuzz|Example)[^`]*)`$")
)

const (
	promiseHead = "| id | promise | state | test |"
	promiseRule = "|---|---|---|---|"
)

// parsePromises reads every table row of the file. Each row that breaks a rule of the table is one
// error with its line; the rows that are right are returned beside them.
func parsePromises(r io.Reader) (rows []promise, faults []error) {
	seen := make(map[string]int)
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		if !strings.HasPrefix(line, "|") || line == promiseHead || line == promiseRule {
			continue
		}
		row, err := parsePromise(line)
		if err == nil && seen[row.ID] != 0 {
			err = fmt.Errorf("%s stands in line %d already", row.ID, seen[row.ID])
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("line %d: %w", n, err))
			continue
		}
		row.Line, seen[row.ID] = n, n
		rows = append(rows, row)
	}
	if err := lines.Err(); err != nil {
		faults = append(faults, err)
	}
	if len(rows) == 0 {
		faults = append(faults, fmt.Errorf("no promise found"))
	}
	return rows, faults
}

func parsePromise(line string) (promise, error) {
	cells := strings.Split(line, "|")
	if len(cells) != 6 || cells[5] != "" {
		return promise{}, fmt.Errorf("a row has 4 cells, this one has %d", len(cells)-2)
	}
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
	p := promise{ID: cells[1], State: cells[3]}
	switch {
	case !promiseID.MatchString(p.ID):
		return p, fmt.Errorf("%q is no id such as A-001", p.ID)
	case cells[2] == "":
		return p, fmt.Errorf("%s promises nothing", p.ID)
	case !promiseState.MatchString(p.State):
		return p, fmt.Errorf("%s: %q is none of works, issue N, later", p.ID, p.State)
	case p.State == "works" && cells[4] == "":
		return p, fmt.Errorf("%s works, but no test shows it", p.ID)
	case p.State != "works" && cells[4] != "":
		return p, fmt.Errorf("%s names a test, but its state is %q", p.ID, p.State)
	case cells[4] == "":
		return p, nil
	}
	for name := range strings.SplitSeq(cells[4], ", ") {
		m := promiseTest.FindStringSubmatch(name)
		if m == nil {
			return p, fmt.Errorf("%s: %s is no test name such as `internal/fleet.TestHost/id` in backquotes", p.ID, name)
		}
		p.Tests = append(p.Tests, testName{Folder: m[1], Test: m[2]})
	}
	return p, nil
}

// checkPromises compares the rows that work with what ran: each test that a row names must have
// passed. A row of a package that looked does not report is not looked at (a run of some packages
// only); its number is returned as left.
func checkPromises(rows []promise, outcomes map[testName]outcome, looked func(folder string) bool) (kept, left int, faults []error) {
	for _, row := range rows {
		if row.State != "works" {
			continue
		}
		if !slices.ContainsFunc(row.Tests, func(n testName) bool { return looked(n.Folder) }) {
			left++
			continue
		}
		before := len(faults)
		for _, name := range row.Tests {
			if !looked(name.Folder) {
				continue
			}
			switch got, ran := outcomes[name]; {
			case !ran:
				faults = append(faults, fmt.Errorf("line %d: %s: test %s does not exist or did not run", row.Line, row.ID, name))
			case got != passed:
				faults = append(faults, fmt.Errorf("line %d: %s: test %s %s", row.Line, row.ID, name, got))
			}
		}
		if len(faults) == before {
			kept++
		}
	}
	return kept, left, faults
}
