package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/fernwerk/fernwerk/internal/fleet/update"
)

// The agent is killed while a script's child works. The next agent ends that child, and
// begins the update again only then: at no time do two run. A service that the script
// had started in a session of its own lives on.
func TestUpdates_LeftByAKilledAgent(t *testing.T) {
	o := newOffice(t)
	dir := filepath.Join(o.dir, "left")
	must(t, os.Mkdir(dir, 0o700))
	// The worker is a child of the script: not the process that dies with the agent. One
	// that runs beside another says so. What it writes goes to a file: with the agent dies
	// the pipe, and a shell that says of a child that it was terminated would die of that
	// before its trap.
	o.update(t, 1, `
cd `+dir+`
[ "$FERNWERK_UPDATE_ATTEMPT" = 1 ] && setsid sh -c 'echo $$ >service.new; mv service.new service; exec sleep 600' </dev/null >/dev/null 2>&1 &
cat >worker <<'END'
mkdir working || echo "beside another" >>overlap
trap 'rmdir working; exit 1' TERM
echo $$ >pid.$1.new; mv pid.$1.new pid.$1
i=0; while [ $i -lt $2 ]; do i=$((i+1)); sleep 0.1; done
rmdir working
END
if [ "$FERNWERK_UPDATE_ATTEMPT" = 1 ]; then sh worker 1 6000 >said 2>&1; else sh worker 2 3; fi
exit 0`, "--on-interrupt", update.Retry)
	o.publish(t)
	a, id := o.joined(t)
	must(t, a.Start(t.Context()))
	number := func(name string) (pid int) {
		t.Helper()
		await(t, name+" is there", func() (bool, error) {
			text, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				return false, nil
			}
			pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
			return err == nil, err
		})
		t.Cleanup(func() { syscall.Kill(pid, syscall.SIGKILL) })
		return pid
	}
	service, worker := number("service"), number("pid.1")
	a.Kill()
	if err := syscall.Kill(worker, 0); err != nil {
		t.Fatalf("the worker died with the agent: nothing is shown here: %v", err)
	}
	must(t, a.Start(t.Context()))
	await(t, "the update is done", func() (bool, error) {
		list, err := o.attempts(t.Context(), 1, id)
		return len(list) > 0 && list[len(list)-1].State == string(update.Done), err
	})
	a.Kill()
	if text, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(worker), "cmdline")); len(text) > 0 { // else it waits to be reaped
		t.Error("the first attempt's worker still runs")
	}
	if syscall.Kill(service, 0) != nil {
		t.Error("the service ended too")
	}
	if text, err := os.ReadFile(filepath.Join(dir, "overlap")); err == nil {
		t.Errorf("two ran at once: %s", text)
	}
	if marks := o.marks(t, id); !slices.Equal(marks, []string{"001", "001"}) {
		t.Errorf("ran %v", marks)
	}
	log, err := os.ReadFile(a.Log)
	must(t, err)
	if !strings.Contains(string(log), "Processes of an update were ended") {
		t.Error("the agent does not say what it ended")
	}
}
