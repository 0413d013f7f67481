package action

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

func TestTranscript(t *testing.T) {
	job, log := product(t, "setup.sh", "printf 'no line end'; reboot-request; exit 4")
	job.Attempt = 2
	run(t, job)
	want := `^=== firefox 128\.0-1 setup, attempt 2, \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ \(the attempt before was interrupted\)
no line end
=== firefox 128\.0-1 setup: failed, exit code 4, [0-9.]+[mµ]?s, reboot requested: exit code 4: no line end
$`
	if !regexp.MustCompile(want).MatchString(log.String()) {
		t.Errorf("log %s", log)
	}
}

func TestTranscript_KeepsHeadAndTail(t *testing.T) {
	job, log := product(t, "setup.sh", `echo first; x=$(printf '%01000d' 0); i=0; while [ $i -lt 2000 ]; do echo $x; i=$((i+1)); done; echo last; exit 1`)
	r := run(t, job)
	if r.Text != "exit code 1: last" {
		t.Errorf("text %q", r.Text)
	}
	text := log.String()
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(text) > maxTranscript+100 || lines[1] != "first" || lines[len(lines)-2] != "last" || !strings.Contains(text, " bytes left out]") {
		t.Errorf("%d bytes, lines %q ... %q", len(text), lines[:2], lines[len(lines)-2:])
	}
}

// fullDisk takes n bytes.
type fullDisk struct{ n int }

func (w *fullDisk) Write(p []byte) (int, error) {
	if w.n -= len(p); w.n < 0 {
		return 0, errors.New("no space left on device")
	}
	return len(p), nil
}

func TestTranscript_NeverFailsTheAction(t *testing.T) {
	for _, source := range []string{"echo a line; echo another; echo; echo", "reboot-request"} {
		job, _ := product(t, "setup.sh", source)
		job.Log = &fullDisk{n: 80}
		if r := run(t, job); r.Status != fleet.Successful {
			t.Errorf("result %+v", r)
		}
		job.Log = nil
		if r := run(t, job); r.Status != fleet.Successful {
			t.Errorf("result without a log %+v", r)
		}
	}
}
