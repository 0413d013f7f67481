package command

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/agent/identity"
)

// A token comes from one place, the nearest first; with another way to join there
// is none.
func TestToken_Sources(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		j    joining
		args []string
		env  string
		want string
		bad  bool
	}{
		"argument":               {args: []string{"given"}, env: "from-env", want: "given"},
		"file":                   {j: joining{tokenFile: file}, env: "from-env", want: "from-file\n"},
		"standard input":         {j: joining{tokenFile: "-"}, want: "from-stdin"},
		"environment":            {env: "from-env", want: "from-env"},
		"nothing":                {},
		"one-time password":      {j: joining{JoinRequest: identity.JoinRequest{Server: "https://server"}}, env: "from-env"},
		"first boot":             {j: joining{firstBoot: "https://server"}, env: "from-env"},
		"argument and file":      {j: joining{tokenFile: file}, args: []string{"given"}, bad: true},
		"file and password":      {j: joining{tokenFile: file, JoinRequest: identity.JoinRequest{HostID: "a.b.c"}}, bad: true},
		"argument and firstboot": {j: joining{firstBoot: "https://server"}, args: []string{"given"}, bad: true},
		"no such file":           {j: joining{tokenFile: file + "x"}, bad: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(tokenEnv, test.env)
			c := &cobra.Command{Use: "join"}
			c.SetIn(strings.NewReader("from-stdin"))
			got, err := test.j.token(c, test.args)
			if got != test.want || (err != nil) != test.bad {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

func TestToken_KernelCommandLine(t *testing.T) {
	for line, want := range map[string]string{
		"BOOT_IMAGE=/vmlinuz root=/dev/sda1 fernwerk.token=fw1.abc.0 quiet\n": "fw1.abc.0",
		"fernwerk.token=one fernwerk.token=two":                               "one",
		"xfernwerk.token=no":                                                  "", "": "",
	} {
		if got := kernel(line); got != want {
			t.Errorf("%q: %q", line, got)
		}
	}
}
