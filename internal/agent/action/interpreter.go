package action

import (
	"fmt"
	"maps"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// interpreter is a program of the machine that runs scripts of one suffix.
type interpreter struct {
	name     string   // for people
	programs []string // the first that is found counts
	args     []string // before the script
	local    bool     // takes the script's path from the product's folder
}

var (
	perl       = interpreter{name: "Perl", programs: []string{"perl"}}
	batch      = interpreter{name: "cmd.exe", programs: []string{"cmd.exe"}, args: []string{"/d", "/c"}, local: true}
	pythonArgs = []string{"-u", "-B"} // output at once; no caches in the product's folder
	powerArgs  = []string{"-NoLogo", "-NoProfile", "-NonInteractive", "-ExecutionPolicy", "Bypass", "-File"}
)

var onUnix = map[string]interpreter{
	".py":  {name: "Python", programs: []string{"python3", "python"}, args: pythonArgs},
	".pl":  perl,
	".ps1": {name: "PowerShell", programs: []string{"pwsh"}, args: powerArgs},
}

var onWindows = map[string]interpreter{
	".py":  {name: "Python", programs: []string{"python", "python3"}, args: pythonArgs},
	".pl":  perl,
	".ps1": {name: "PowerShell", programs: []string{"powershell", "pwsh"}, args: powerArgs},
	".cmd": batch,
	".bat": batch,
}

// ofOpsi are the suffixes of opsi-script, which wants the whole run.
var ofOpsi = []string{".opsiscript", ".ins", ".opsi"}

const useShell = "write it as .sh, which the agent runs itself on every system"

func suffix(script string) string { return strings.ToLower(path.Ext(script)) }

func isShell(script string) bool { return suffix(script) == ".sh" || suffix(script) == "" }

// plain are the paths in which cmd.exe sees nothing but a path.
var plain = regexp.MustCompile(`^[A-Za-z0-9_. /-]+$`)

// arguments are the command line that runs a script by its interpreter.
func arguments(dir, script string) ([]string, error) {
	i, err := find(runtime.GOOS, script)
	if err != nil {
		return nil, err
	}
	for _, program := range i.programs {
		found, err := exec.LookPath(program)
		if err != nil {
			continue
		}
		file := filepath.Join(dir, filepath.FromSlash(script))
		if i.local {
			file = `.\` + filepath.FromSlash(script)
		}
		return append(append([]string{found}, i.args...), file), nil
	}
	return nil, fleet.WithHint(fmt.Errorf("cannot run script %s: %s is not installed here (no %s)", script, i.name, strings.Join(i.programs, ", no ")),
		"install %s on this machine, or %s", i.name, useShell)
}

// find is the interpreter for a script on a system.
func find(goos, script string) (interpreter, error) {
	table := onUnix
	if goos == "windows" {
		table = onWindows
	}
	s := suffix(script)
	i, ok := table[s]
	switch {
	case slices.Contains(ofOpsi, s):
		return i, fleet.WithHint(fmt.Errorf("cannot run script %s: %s wants opsi-script, which this agent does not drive", script, s), "%s", useShell)
	case !ok && onWindows[s].name != "":
		return i, fleet.WithHint(fmt.Errorf("cannot run script %s: %s runs on Windows only", script, s), "%s", useShell)
	case !ok:
		known := strings.Join(slices.Sorted(maps.Keys(table)), ", ")
		return i, fleet.WithHint(fmt.Errorf("cannot run script %s: nothing here runs %s", script, s), "the suffixes are .sh, %s", known)
	case i.local && !plain.MatchString(script):
		return i, fleet.WithHint(fmt.Errorf("cannot run script %s: its name means something else to cmd.exe", script),
			"use letters, digits, blanks and . _ - only")
	}
	return i, nil
}
