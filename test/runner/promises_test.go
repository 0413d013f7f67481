package main

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPromisesFile holds the file itself to the rules of its table, in every plain go test too.
func TestPromisesFile(t *testing.T) {
	f, err := os.Open("../../" + promisesFile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, faults := parsePromises(f)
	for _, fault := range faults {
		t.Error(fault)
	}
	if len(rows) < 200 {
		t.Errorf("only %d promises: were rows lost?", len(rows))
	}
}

func TestParsePromises(t *testing.T) {
	tests := []struct{ name, row, fault string }{
		{"works", "| A-001 | to work | works | `internal/fleet.TestHost/opsi_host-Id`, `cmd/fernwerk.TestScript/login` |", ""},
		{"root package", "| A-001 | the rules | works | `..TestRules` |", ""},
		{"planned", "| A-001 | to work | issue 12 | |", ""},
		{"later", "| A-001 | to work | later | |", ""},
		{"missing cell", "| A-001 | to work | later |", "a row has 4 cells"},
		{"one cell more", "| A-001 | to | work | later | |", "a row has 4 cells"},
		{"open row", "| A-001 | to work | later | | more", "a row has 4 cells"},
		{"bad id", "| A1 | to work | later | |", "no id such as"},
		{"no promise", "| A-001 | | later | |", "promises nothing"},
		{"unknown state", "| A-001 | to work | soon | |", "none of works"},
		{"issue 0", "| A-001 | to work | issue 0 | |", "none of works"},
		{"works without a test", "| A-001 | to work | works | |", "no test shows it"},
		{"test without working", "| A-001 | to work | issue 1 | `a.TestB` |", "names a test, but"},
		{"no backquotes", "| A-001 | to work | works | a.TestB |", "is no test name"},
		{"no test function", "| A-001 | to work | works | `internal/fleet.Host` |", "is no test name"},
		{"separator", "| A-001 | to work | works | `a.TestB`,`a.TestC` |", "is no test name"},
		{"same id twice", "| A-001 | to work | later | |\n| A-001 | again | later | |", "stands in line 3 already"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rows, faults := parsePromises(strings.NewReader(promiseHead + "\n" + promiseRule + "\n" + tt.row + "\n"))
			if tt.fault == "" {
				if len(rows) != 1 || len(faults) > 0 {
					t.Errorf("got %d rows and %v", len(rows), faults)
				}
				return
			}
			if len(faults) == 0 || !strings.Contains(faults[0].Error(), tt.fault) {
				t.Errorf("got %v, want a fault that says %q", faults, tt.fault)
			}
		})
	}
}

func TestEmptyPromisesAreAFault(t *testing.T) {
	if _, faults := parsePromises(strings.NewReader("# Promises\n")); len(faults) == 0 {
		t.Error("a file without rows was accepted")
	}
}

func TestCheckPromises(t *testing.T) {
	outcomes := map[testName]outcome{
		{"a", ""}: failed, {"a", "TestGood"}: passed, {"a", "TestGood/sub"}: passed, {"a", "TestBad"}: failed,
		{"a", "TestSkipped"}: skipped, {"a", "TestKilled"}: running,
	}
	tests := []struct {
		name  string
		tests string
		want  string // part of the fault
	}{
		{"passed", "`a.TestGood`, `a.TestGood/sub`", ""},
		{"unknown", "`a.TestNever`", "a.TestNever does not exist or did not run"},
		{"unknown subtest", "`a.TestGood/other`", "a.TestGood/other does not exist"},
		{"unknown package", "`gone.TestGood`", "gone.TestGood does not exist"},
		{"skipped", "`a.TestSkipped`", "a.TestSkipped was skipped"},
		{"failed", "`a.TestBad`", "a.TestBad failed"},
		{"killed", "`a.TestKilled`", "a.TestKilled did not finish"},
		{"one of two", "`a.TestGood`, `a.TestSkipped`", "a.TestSkipped was skipped"},
	}
	everything := func(string) bool { return true }
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			row, err := parsePromise("| A-001 | to work | works | " + tt.tests + " |")
			if err != nil {
				t.Fatal(err)
			}
			kept, _, faults := checkPromises([]promise{row}, outcomes, everything)
			switch {
			case tt.want == "" && (kept != 1 || len(faults) > 0):
				t.Errorf("kept %d, faults %v", kept, faults)
			case tt.want != "" && (kept != 0 || len(faults) != 1 || !strings.Contains(faults[0].Error(), tt.want)):
				t.Errorf("kept %d, faults %v, want one that says %q", kept, faults, tt.want)
			}
		})
	}
}

func TestPromisesOfOtherPackagesAreNotLookedAt(t *testing.T) {
	rows, faults := parsePromises(strings.NewReader("| A-001 | to work | works | `b.TestB` |\n"))
	kept, left, unkept := checkPromises(rows, nil, func(folder string) bool { return folder == "a" })
	got := []int{len(faults), kept, left, len(unkept)}
	if diff := cmp.Diff([]int{0, 0, 1, 0}, got); diff != "" {
		t.Errorf("faults, kept, left, unkept (-want +got):\n%s", diff)
	}
}
