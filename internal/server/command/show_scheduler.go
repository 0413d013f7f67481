package command

import (
	"fmt"
	"io"
	"strings"

	"github.com/fernwerk/fernwerk/internal/server/config"
	"github.com/fernwerk/fernwerk/internal/server/scheduler/tool"
)

// showScheduler prints [scheduler].
func showScheduler(w io.Writer, s config.Scheduler) {
	if len(s.Use) == 0 {
		return
	}
	list := func(key string, values []string) {
		if len(values) == 0 {
			return
		}
		quoted := make([]string, len(values))
		for i, v := range values {
			quoted[i] = fmt.Sprintf("%q", v)
		}
		fmt.Fprintf(w, "%s = [%s]\n", key, strings.Join(quoted, ", "))
	}
	fmt.Fprintln(w, "\n[scheduler]")
	list("use", s.Use)
	limit := func(n int) int {
		if n == 0 {
			return int(tool.DefaultLimit.Seconds())
		}
		return n
	}
	for _, kind := range s.Use {
		fmt.Fprintf(w, "\n[scheduler.%s]\n", kind)
		switch kind {
		case "exec":
			list("program", s.Exec.Program)
			fmt.Fprintf(w, "limit = %d\n", limit(s.Exec.Limit))
			continue
		}
		t := map[string]config.SchedulerTools{"oar": s.OAR, "slurm": s.Slurm}[kind]
		if t.Bin != "" {
			fmt.Fprintf(w, "bin = %q\n", t.Bin)
		}
		list("prefix", t.Prefix)
		fmt.Fprintf(w, "limit = %d\n", limit(t.Limit))
	}
}
