package command_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/internal/kit/run"
	"github.com/fernwerk/fernwerk/internal/server/command"
)

// program is fernwerkd.
func program() int {
	return run.Report(os.Stderr, command.Run(context.Background(), "test"))
}

// A wrong command line ends with 2, and one line that says what is wrong and one that
// says where to look.
func TestMisuse(t *testing.T) {
	for line, want := range map[string]string{
		"servee":                              "error: unknown command \"servee\" (did you mean \"serve\"?)\nhint: try: fernwerkd --help\n",
		"serve now":                           "error: cannot run \"fernwerkd serve\": \"now\" is one argument too many\nhint: try: fernwerkd serve --help\n",
		"backup":                              "error: cannot run \"fernwerkd backup\": FILE is missing\nhint: try: fernwerkd backup --help\n",
		"check-config --confg x":              "error: unknown flag: --confg (did you mean --config?)\nhint: try: fernwerkd check-config --help\n",
		"passwd berta --remove --role reader": "error: --remove, --no-codes and --role do not go together\nhint: try: fernwerkd passwd --help\n",
	} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], strings.Fields(line)...)
		cmd.Env = append(os.Environ(), "COMMAND_TEST=1")
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != 2 || string(out) != want {
			t.Errorf("%s: %v\n%s", line, err, out)
		}
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "--version")
	cmd.Env = append(os.Environ(), "COMMAND_TEST=1")
	if out, err := cmd.Output(); err != nil || string(out) != "fernwerkd test\n" {
		t.Errorf("%v %q", err, out)
	}
}
