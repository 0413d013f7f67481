package config

import (
	"fmt"
	"path/filepath"
	"slices"
)

// Schedulers are the kinds that there is a driver for.
var Schedulers = []string{"oar", "slurm", "exec"}

const longestCall = 50 // seconds; presence gives a driver a minute

// Scheduler says which schedulers are kept right about nodes, and how.
type Scheduler struct {
	// Use lists the kinds that this server drives; a node type names one of them.
	Use []string `toml:"use"`
	// OAR and Slurm say how their tools are run.
	OAR   SchedulerTools `toml:"oar"`
	Slurm SchedulerTools `toml:"slurm"`
	// Exec is the program for the kind exec.
	Exec SchedulerProgram `toml:"exec"`
}

// SchedulerTools are the tools of a scheduler.
type SchedulerTools struct {
	// Bin is the folder of the tools; empty leaves it to PATH.
	Bin string `toml:"bin"`
	// Prefix is what stands before each tool, word by word: ["sudo", "-n", "-u", "oar"].
	Prefix []string `toml:"prefix"`
	// Limit is how many seconds a call may take; 0 is 20.
	Limit int `toml:"limit"`
}

// SchedulerProgram is a program of the administrator's.
type SchedulerProgram struct {
	// Program is the program and its arguments.
	Program []string `toml:"program"`
	// Limit is how many seconds a call may take; 0 is 20.
	Limit int `toml:"limit"`
}

func (s Scheduler) check() (wrong []error) {
	for i, kind := range s.Use {
		if !slices.Contains(Schedulers, kind) {
			wrong = append(wrong, fmt.Errorf("scheduler.use: %q is not oar, slurm or exec", kind))
		}
		if slices.Contains(s.Use[:i], kind) {
			wrong = append(wrong, fmt.Errorf("scheduler.use: %q is there twice", kind))
		}
	}
	for name, t := range map[string]SchedulerTools{"oar": s.OAR, "slurm": s.Slurm} {
		if t.Bin != "" && !filepath.IsAbs(t.Bin) {
			wrong = append(wrong, fmt.Errorf("scheduler.%s.bin: %q is not an absolute path", name, t.Bin))
		}
		if len(t.Prefix) > 0 && t.Prefix[0] == "" {
			wrong = append(wrong, fmt.Errorf("scheduler.%s.prefix: its first word is empty", name))
		}
	}
	for name, limit := range map[string]int{"oar": s.OAR.Limit, "slurm": s.Slurm.Limit, "exec": s.Exec.Limit} {
		if limit < 0 || limit > longestCall {
			wrong = append(wrong, fmt.Errorf("scheduler.%s.limit: %d is not a number of seconds up to %d", name, limit, longestCall))
		}
	}
	switch used := slices.Contains(s.Use, "exec"); {
	case used && (len(s.Exec.Program) == 0 || !filepath.IsAbs(s.Exec.Program[0])):
		wrong = append(wrong, fmt.Errorf("scheduler.exec.program: it must name a program by its absolute path"))
	case !used && len(s.Exec.Program) > 0:
		wrong = append(wrong, fmt.Errorf("scheduler.exec.program: exec is not in use, it says nothing"))
	}
	return wrong
}
