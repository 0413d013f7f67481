package runonce

import (
	"fmt"
	"os/exec"
	"runtime"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/update"
)

const windows = runtime.GOOS == "windows"

// systemPath is for an agent that was started without a PATH.
const systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// ofWindows are the variables that Windows programs take for granted.
var ofWindows = []string{
	"SystemRoot", "SystemDrive", "windir", "ComSpec", "PATHEXT", "OS", "PROCESSOR_ARCHITECTURE", "NUMBER_OF_PROCESSORS",
	"ProgramFiles", "ProgramFiles(x86)", "ProgramW6432", "CommonProgramFiles", "CommonProgramFiles(x86)", "CommonProgramW6432",
	"ProgramData", "ALLUSERSPROFILE", "PUBLIC", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "COMPUTERNAME", "USERNAME", "USERDOMAIN",
}

// interpreter is a program of the machine that runs scripts of one suffix.
type interpreter struct {
	programs []string // the first that is found counts
	args     []string
}

var interpreters = map[string]interpreter{
	".sh":  {programs: []string{"/bin/sh"}},
	".py":  {programs: []string{"python3", "python"}, args: []string{"-u", "-B"}},
	".pl":  {programs: []string{"perl"}},
	".ps1": {programs: []string{"powershell", "pwsh"}, args: []string{"-NoLogo", "-NoProfile", "-NonInteractive", "-ExecutionPolicy", "Bypass", "-File"}},
	".cmd": {programs: []string{"cmd.exe"}, args: []string{"/d", "/c"}},
	".bat": {programs: []string{"cmd.exe"}, args: []string{"/d", "/c"}},
}

func suffix(f *update.File) string {
	if f.Suffix == "" {
		return ".sh"
	}
	return f.Suffix
}

// direct tells whether the system itself starts what the first line names.
func direct(f *update.File) bool { return f.Interpreter != "" && !windows }

// arguments are the command line that runs a script. The path has no character
// that cmd.exe would read otherwise: the name is the number.
func arguments(f *update.File, path string) ([]string, error) {
	if direct(f) {
		return []string{path}, nil
	}
	s := suffix(f)
	i := interpreters[s]
	if s != ".sh" && s != ".py" && s != ".pl" && s != ".ps1" && !windows {
		return nil, fleet.Errorf(fleet.NotHere, "cannot run a %s script: it is for Windows only", s)
	}
	for _, program := range i.programs {
		if found, err := exec.LookPath(program); err == nil {
			return append(append([]string{found}, i.args...), path), nil
		}
	}
	return nil, fleet.Errorf(fleet.NotHere, "%s", fmt.Sprintf("cannot run a %s script: none of %q is installed here", s, i.programs))
}
