package action

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/fernwerk/fernwerk/internal/kit/secureexec"
)

// The names of the files that ask for a reboot, in the private folder.
const (
	rebootFile   = "reboot-requested"
	nextFile     = "reboot-before-next"
	continueFile = "reboot-continue"
)

// maxVariable bounds a property's variable, in bytes. Windows has a limit of
// 32,767 characters; where one of Linux is passed, no program starts any more.
const maxVariable = 30_000

// systemPath is for an agent that was started without a PATH.
const systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// ofWindows are the variables that Windows programs take for granted.
var ofWindows = []string{
	"SystemRoot", "SystemDrive", "windir", "ComSpec", "PATHEXT", "OS", "PROCESSOR_ARCHITECTURE", "NUMBER_OF_PROCESSORS",
	"ProgramFiles", "ProgramFiles(x86)", "ProgramW6432", "CommonProgramFiles", "CommonProgramFiles(x86)", "CommonProgramW6432",
	"ProgramData", "ALLUSERSPROFILE", "PUBLIC", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "COMPUTERNAME", "USERNAME", "USERDOMAIN",
}

// environment is what a script sees, and the properties that do not fit in.
func (job Job) environment(temp string) (env, leftOut []string) {
	env = secureexec.Inherit("PATH", "HOME", "LANG")
	if runtime.GOOS == "windows" {
		env = append(env, secureexec.Inherit(ofWindows...)...)
	} else if os.Getenv("PATH") == "" {
		env = append(env, "PATH="+systemPath)
	}
	if os.Getenv("HOME") == "" {
		env = append(env, "HOME="+temp)
	}
	env = append(env, secureexec.Mark(job.Temp)...)
	p := job.Product
	for _, v := range [][2]string{
		{"TMPDIR", temp},
		{"TEMP", temp},
		{"TMP", temp},
		{"FERNWERK_PRODUCT_ID", string(p.ID)},
		{"FERNWERK_PRODUCT_VERSION", p.ProductVersion},
		{"FERNWERK_PACKAGE_VERSION", p.PackageVersion},
		{"FERNWERK_ACTION", string(job.Action)},
		{"FERNWERK_PRODUCT_DIR", job.Dir},
		{"FERNWERK_HOST_ID", string(job.HostID)},
		{"FERNWERK_RPC_URL", job.RPC.URL},
		{"FERNWERK_RPC_USER", job.RPC.User},
		{"FERNWERK_RPC_KEY_FILE", job.RPC.KeyFile},
		{"FERNWERK_CA_FILE", job.RPC.CAFile},
		{"FERNWERK_ATTEMPT", strconv.Itoa(max(job.Attempt, 1))},
		{"FERNWERK_TMP", temp},
		{"FERNWERK_STEP", job.Step},
		{"FERNWERK_REBOOT_FILE", filepath.Join(temp, rebootFile)},
		{"FERNWERK_REBOOT_NEXT_FILE", filepath.Join(temp, nextFile)},
		{"FERNWERK_REBOOT_CONTINUE_FILE", filepath.Join(temp, continueFile)},
	} {
		env = append(env, v[0]+"="+v[1])
	}
	seen := map[string]bool{}
	for _, id := range slices.Sorted(maps.Keys(job.Properties)) {
		name := "FERNWERK_PROPERTY_" + variable(id)
		value := strings.Join(texts(job.Properties[id]), "\n")
		if len(value) > maxVariable || strings.ContainsRune(value, 0) {
			leftOut = append(leftOut, id)
			continue
		}
		if !seen[name] {
			env = append(env, name+"="+value)
		}
		seen[name] = true
	}
	return env, leftOut
}

// variable is a property's id as a part of a variable's name.
func variable(id string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToUpper(id))
}

// texts prints a property's values as scripts compare them.
func texts(values []any) []string {
	list := make([]string, 0, len(values))
	for _, v := range values {
		switch v := v.(type) {
		case nil:
		case string:
			list = append(list, v)
		case float64: // a number that came as JSON
			list = append(list, strconv.FormatFloat(v, 'f', -1, 64))
		default:
			list = append(list, fmt.Sprint(v))
		}
	}
	return list
}
