package action

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/test/require"
)

// product writes a product folder whose setup script is name, and the job for it.
func product(t *testing.T, name, source string) (Job, *bytes.Buffer) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	log := &bytes.Buffer{}
	return Job{
		HostID: "pc1.example.org",
		Product: fleet.Product{Type: fleet.LocalbootProduct, ID: "firefox", ProductVersion: "128.0", PackageVersion: "1",
			SetupScript: name},
		Action: fleet.Setup, Dir: dir, Attempt: 1, Log: log, Temp: t.TempDir(), Timeout: time.Minute,
		Properties: map[string][]any{
			"lang": {"de"}, "add-ons": {"ublock", "noscript"}, "kiosk": {true}, "retries": {int64(3)}, "none": {}, "ratio": {1.5},
		},
		RPC: RPC{URL: "https://127.0.0.1:4441", User: "pc1.example.org", KeyFile: "/k", CAFile: "/c"},
	}, log
}

// run runs a job and checks that nothing of it stays.
func run(t *testing.T, job Job) Result {
	t.Helper()
	p, err := New(PerProduct)
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Run(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	noneLeft(t, job)
	return r
}

func noneLeft(t *testing.T, job Job) {
	t.Helper()
	if left, err := os.ReadDir(job.Temp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// output is a log without our own lines.
func output(log *bytes.Buffer) string {
	var kept []string
	for line := range strings.Lines(log.String()) {
		if !strings.HasPrefix(line, "=== ") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

func TestRun_Scripts(t *testing.T) {
	tests := []struct {
		name, source string
		status       string
		exit         int
		out, text    string
		reboot       Reboot
		step         string
		rebootText   string
	}{
		{name: "success", source: "echo done", status: fleet.Successful, out: "done\n"},
		{name: "failure", source: "echo a; echo 'no space left' >&2; echo; exit 7", status: fleet.Failed, exit: 7, out: "a\nno space left\n\n", text: "exit code 7: no space left"},
		{name: "silent failure", source: "false", status: fleet.Failed, exit: 1, text: "exit code 1"},
		{name: "broken script", source: "if true", status: fleet.Failed, exit: -1, text: "cannot parse script: scripts/setup.sh:1:1: "},
		{name: "files of the product", source: "cat scripts/setup.sh; cd /; cat $FERNWERK_PRODUCT_DIR/scripts/setup.sh", status: fleet.Successful, out: "cat scripts/"},
		{name: "property", source: "property lang; property LANG; property kiosk; property retries; property add-ons; property ratio", status: fleet.Successful, out: "de\nde\ntrue\n3\nublock\n1.5\n"},
		{name: "properties", source: "properties add-ons; properties none", status: fleet.Successful, out: "ublock\nnoscript\n"},
		{name: "default", source: "property none a; property unknown b; property lang c; property none", status: fleet.Successful, out: "a\nb\nde\n"},
		{name: "unknown property", source: "property lagn", status: fleet.Failed, exit: 1,
			out:  "scripts/setup.sh:1: property: product firefox has no property \"lagn\" (did you mean \"lang\"?)\n",
			text: "exit code 1: scripts/setup.sh:1: property: product firefox has no property"},
		{name: "wrong use", source: "property || properties || progress || echo so", status: fleet.Successful,
			out: "scripts/setup.sh:1: property: takes NAME [DEFAULT]\nscripts/setup.sh:1: properties: takes NAME\nscripts/setup.sh:1: progress: takes TEXT\nso\n"},
		{name: "reboot", source: "reboot-request new driver; reboot-request", status: fleet.Successful, reboot: WhenDone, rebootText: "new driver"},
		{name: "reboot after a failure", source: "reboot-request; false", status: fleet.Failed, exit: 1, text: "exit code 1", reboot: WhenDone},
		{name: "reboot file", source: `printf 'new\nkernel' >"$FERNWERK_REBOOT_FILE"`, status: fleet.Successful, reboot: WhenDone, rebootText: "new kernel"},
		{name: "reboot before the next", source: "reboot-request later; reboot-before-next", status: fleet.Successful, reboot: BeforeNext, rebootText: "later"},
		{name: "file for before the next", source: `printf 'firmware' >"$FERNWERK_REBOOT_NEXT_FILE"`, status: fleet.Successful, reboot: BeforeNext, rebootText: "firmware"},
		{name: "reboot in the middle", source: "reboot-before-next; reboot-continue part-2 unload the old driver; exit 0; echo no", status: fleet.Successful, reboot: Continue, rebootText: "unload the old driver", step: "part-2"},
		{name: "file for the middle", source: `printf 'part-2\nold driver' >"$FERNWERK_REBOOT_CONTINUE_FILE"`, status: fleet.Successful, reboot: Continue, rebootText: "old driver", step: "part-2"},
		{name: "file without a step", source: `echo 'a b' >"$FERNWERK_REBOOT_CONTINUE_FILE"`, status: fleet.Successful, reboot: BeforeNext, rebootText: "a b"},
		{name: "no step", source: "reboot-continue || reboot-continue 'a b' || echo so", status: fleet.Successful,
			out: "scripts/setup.sh:1: reboot-continue: takes STEP"},
		{name: "background jobs ask, too", source: "for i in 1 2 3 4; do reboot-request x & progress $i & done; wait", status: fleet.Successful, reboot: WhenDone, rebootText: "x"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			job, log := product(t, "scripts/setup.sh", tt.source)
			r := run(t, job)
			if r.Status != tt.status || r.ExitCode != tt.exit || r.Reboot != tt.reboot || r.RebootText != tt.rebootText || r.Step != tt.step || r.TimedOut {
				t.Errorf("result %+v", r)
			}
			if !strings.HasPrefix(r.Text, tt.text) || tt.text == "" && r.Text != "" {
				t.Errorf("text %q, want %q", r.Text, tt.text)
			}
			if got := output(log); !strings.HasPrefix(got, tt.out) || tt.out == "" && got != "" && tt.status == fleet.Successful {
				t.Errorf("output %q, want %q", got, tt.out)
			}
		})
	}
}

func TestRun_Environment(t *testing.T) {
	t.Setenv("FERNWERK_ADMIN_PASSWORD", "secret")
	job, log := product(t, "setup", "env; test -d \"$FERNWERK_TMP\" && test -w \"$FERNWERK_TMP\"")
	job.Attempt, job.Step = 2, "part-2"
	job.Properties["add_ons"] = []any{"of another property"}
	job.Properties["big"] = []any{strings.Repeat("x", maxVariable+1)}
	if r := run(t, job); r.Status != fleet.Successful {
		t.Fatalf("result %+v\n%s", r, log)
	}
	var got []string
	for line := range strings.Lines(output(log)) {
		line = regexp.MustCompile(`(TMP|FILE)=.*fernwerk-action-[0-9]+`).ReplaceAllString(strings.TrimSpace(line), "$1=T")
		if name, _, _ := strings.Cut(line, "="); strings.HasPrefix(name, "FERNWERK_") && name != "FERNWERK_FAMILY" || !strings.Contains(line, "=") {
			got = append(got, filepath.ToSlash(line))
		}
	}
	want := []string{
		"[property big does not fit into the environment: use `property big`]",
		"FERNWERK_ACTION=setup", "FERNWERK_ATTEMPT=2", "FERNWERK_CA_FILE=/c", "FERNWERK_HOST_ID=pc1.example.org", "FERNWERK_PACKAGE_VERSION=1",
		"FERNWERK_PRODUCT_DIR=" + filepath.ToSlash(job.Dir), "FERNWERK_PRODUCT_ID=firefox", "FERNWERK_PRODUCT_VERSION=128.0",
		"FERNWERK_PROPERTY_ADD_ONS=ublock", "noscript", "FERNWERK_PROPERTY_KIOSK=true", "FERNWERK_PROPERTY_LANG=de", "FERNWERK_PROPERTY_NONE=",
		"FERNWERK_PROPERTY_RATIO=1.5", "FERNWERK_PROPERTY_RETRIES=3", "FERNWERK_REBOOT_CONTINUE_FILE=T/reboot-continue", "FERNWERK_REBOOT_FILE=T/reboot-requested", "FERNWERK_REBOOT_NEXT_FILE=T/reboot-before-next",
		"FERNWERK_RPC_KEY_FILE=/k", "FERNWERK_RPC_URL=https://127.0.0.1:4441", "FERNWERK_RPC_USER=pc1.example.org", "FERNWERK_STEP=part-2", "FERNWERK_TMP=T",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestRun_RefusesScripts(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside.sh")
	if err := os.WriteFile(outside, []byte("echo escaped"), 0o700); err != nil {
		t.Fatal(err)
	}
	link := func(target string) func(*testing.T, *Job) {
		return func(t *testing.T, job *Job) {
			if err := os.Symlink(target, filepath.Join(job.Dir, "link.sh")); err != nil {
				require.Skip(t, "symbolic links", err.Error())
			}
			job.Product.SetupScript = "link.sh"
		}
	}
	script := func(name string) func(*testing.T, *Job) {
		return func(_ *testing.T, job *Job) { job.Product.SetupScript = name }
	}
	tests := []struct {
		name   string
		change func(*testing.T, *Job)
		text   string
	}{
		{"no script for the action", func(_ *testing.T, job *Job) { job.Action = fleet.Uninstall },
			"firefox 128.0-1 has no script for uninstall; cancel the action, or build the package with one"},
		{"missing", script("none.sh"), "cannot open script none.sh: the product has no such file; build the package again with the file in it"},
		{"folder", func(t *testing.T, job *Job) {
			if err := os.Mkdir(filepath.Join(job.Dir, "folder"), 0o700); err != nil {
				t.Fatal(err)
			}
			job.Product.SetupScript = "folder"
		}, "cannot open script folder: it is no file"},
		{"link out of the product", link(outside), "cannot open script link.sh: path escapes from parent"},
		{"up", script("../x.sh"), "cannot open script ../x.sh: path escapes from parent"},
		{"absolute", script(outside), "cannot open script " + filepath.ToSlash(outside) + ": path escapes from parent"},
		{"relative folder", func(_ *testing.T, job *Job) { job.Dir = "." }, "cannot open script setup.sh: the product's folder \".\" is not absolute"},
		{"no folder", func(_ *testing.T, job *Job) { job.Dir += "-gone" }, "cannot open the product's folder: "},
		{"interrupted too often", func(_ *testing.T, job *Job) { job.Attempt = MaxAttempts + 1 }, "interrupted 3 times: not begun again; look into the log"},
		{"no place for temporary files", func(_ *testing.T, job *Job) { job.Temp = outside }, "cannot make a temporary folder: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			job, log := product(t, "setup.sh", "echo ran")
			tt.change(t, &job)
			r, err := perProduct{}.Run(t.Context(), job)
			if err != nil {
				t.Fatal(err)
			}
			if r.Status != fleet.Failed || r.ExitCode != -1 || !strings.HasPrefix(r.Text, tt.text) {
				t.Errorf("result %+v, want %s", r, tt.text)
			}
			if got := output(log); got != "" {
				t.Errorf("it ran: %s", got)
			}
		})
	}
}

func TestRun_LinkWithinTheProduct(t *testing.T) {
	job, log := product(t, "setup.sh", "echo ran")
	if err := os.Symlink("setup.sh", filepath.Join(job.Dir, "link.sh")); err != nil {
		require.Skip(t, "symbolic links", err.Error())
	}
	job.Product.SetupScript = "link.sh"
	if r := run(t, job); r.Status != fleet.Successful || output(log) != "ran\n" {
		t.Errorf("result %+v, output %q", r, output(log))
	}
}

func TestRun_Backslashes(t *testing.T) {
	job, log := product(t, "scripts/setup.sh", "echo ran")
	job.Product.SetupScript = `scripts\setup.sh`
	if r := run(t, job); r.Status != fleet.Successful || output(log) != "ran\n" {
		t.Errorf("result %+v, output %q", r, output(log))
	}
}

func TestRun_Interpreters(t *testing.T) {
	const python = `import os, sys
print(os.environ["FERNWERK_ACTION"], os.path.basename(os.getcwd()) == os.path.basename(os.environ["FERNWERK_PRODUCT_DIR"]), "ADMIN" in os.environ)
`
	const perl = `print "$ENV{FERNWERK_PROPERTY_LANG}\n"; `
	tests := []struct {
		tool, file, source string
		status             string
		exit               int
		out, text          string
		reboot             Reboot
	}{
		{tool: "python3", file: "setup.py", source: python, status: fleet.Successful, out: "setup True False\n"},
		{tool: "python3", file: "a b/setup.PY", source: python + "open(os.environ['FERNWERK_REBOOT_FILE'], 'w')", status: fleet.Successful, out: "setup True False\n", reboot: WhenDone},
		{tool: "python3", file: "setup.py", source: "raise SystemExit('no disk')", status: fleet.Failed, exit: 1, out: "no disk\n", text: "exit code 1: no disk"},
		{tool: "perl", file: "setup.pl", source: perl + "exit 3", status: fleet.Failed, exit: 3, out: "de\n", text: "exit code 3: de"},
		{tool: "perl", file: "setup.pl", source: perl, status: fleet.Successful, out: "de\n"},
	}
	for _, tt := range tests {
		t.Run(tt.file+" "+tt.status, func(t *testing.T) {
			require.Tool(t, tt.tool)
			t.Setenv("ADMIN", "secret")
			job, log := product(t, tt.file, tt.source)
			r := run(t, job)
			if r.Status != tt.status || r.ExitCode != tt.exit || r.Text != tt.text || r.Reboot != tt.reboot || output(log) != tt.out {
				t.Errorf("result %+v, output %q", r, output(log))
			}
		})
	}
}

func TestRun_MissingInterpreter(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	job, _ := product(t, "setup.pl", "print 1")
	want := "cannot run script setup.pl: Perl is not installed here (no perl); install Perl on this machine, or write it as .sh, which the agent runs itself on every system"
	if r := run(t, job); r.Status != fleet.Failed || r.Text != want {
		t.Errorf("result %+v", r)
	}
}

func TestFind(t *testing.T) {
	tests := []struct {
		goos, script, want string // the interpreter's name, or the error
	}{
		{"linux", "setup.py", "Python"},
		{"windows", "setup.py", "Python"},
		{"darwin", "a/b.PL", "Perl"},
		{"windows", "setup.ps1", "PowerShell"},
		{"windows", "scripts/set up.cmd", "cmd.exe"},
		{"windows", "setup.BAT", "cmd.exe"},
		{"windows", "a&calc.cmd", "cannot run script a&calc.cmd: its name means something else to cmd.exe"},
		{"windows", "%TEMP%.bat", "cannot run script %TEMP%.bat: its name means something else to cmd.exe"},
		{"linux", "setup.cmd", "cannot run script setup.cmd: .cmd runs on Windows only"},
		{"linux", "setup.opsiscript", "cannot run script setup.opsiscript: .opsiscript wants opsi-script, which this agent does not drive"},
		{"windows", "setup.ins", "cannot run script setup.ins: .ins wants opsi-script, which this agent does not drive"},
		{"linux", "setup.rb", "cannot run script setup.rb: nothing here runs .rb"},
	}
	for _, tt := range tests {
		i, err := find(tt.goos, tt.script)
		if err == nil && i.name != tt.want || err != nil && err.Error() != tt.want {
			t.Errorf("find(%s, %s) = %q, %v", tt.goos, tt.script, i.name, err)
		}
		if err != nil && fleet.HintOf(err) == "" {
			t.Errorf("find(%s, %s): no hint with %v", tt.goos, tt.script, err)
		}
	}
}

func TestRun_Timeout(t *testing.T) {
	for file, source := range map[string]string{"setup.sh": "echo begun; sleep 1000", "setup.pl": `$| = 1; print "begun\n"; sleep 1000`} {
		t.Run(file, func(t *testing.T) {
			if file == "setup.pl" {
				require.Tool(t, "perl")
			}
			job, log := product(t, file, source)
			job.Timeout = 700 * time.Millisecond
			r := run(t, job)
			if r.Status != fleet.Failed || !r.TimedOut || r.ExitCode != -1 ||
				!strings.HasPrefix(r.Text, "did not end within 700ms, stopped; find out what the script waits for") {
				t.Errorf("result %+v", r)
			}
			if output(log) != "begun\n" || !strings.Contains(log.String(), ": failed, ") {
				t.Errorf("log %q", log)
			}
		})
	}
}

func TestRun_Signal(t *testing.T) {
	if runtime.GOOS == "windows" {
		require.Skip(t, "signals", "Windows has none")
	}
	require.Tool(t, "perl")
	job, _ := product(t, "setup.pl", "kill 9, $$")
	if r := run(t, job); r.Status != fleet.Failed || !strings.HasPrefix(r.Text, "ended by signal 9") {
		t.Errorf("result %+v", r)
	}
}

func TestRun_Interrupted(t *testing.T) {
	job, log := product(t, "setup.sh", "progress begun; sleep 1000; echo never")
	ctx, cancel := context.WithCancel(t.Context())
	var told []string
	job.Progress = func(text string) {
		told = append(told, text)
		cancel()
	}
	_, err := perProduct{}.Run(ctx, job)
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	if !slices.Equal(told, []string{"begun"}) || output(log) != "" || !strings.Contains(log.String(), "=== firefox 128.0-1 setup: interrupted after ") {
		t.Errorf("told %q, log %s", told, log)
	}
	noneLeft(t, job)

	_, err = perProduct{}.Run(ctx, job)
	if !errors.Is(err, context.Canceled) || len(told) != 1 {
		t.Errorf("begun with an ended context: error %v, told %q", err, told)
	}
}

func TestRun_Progress(t *testing.T) {
	job, _ := product(t, "setup.sh", "progress copying \x1b[1mfiles; progress $(printf '%0400d' 0)")
	var told []string
	job.Progress = func(text string) { told = append(told, text) }
	run(t, job)
	if len(told) != 2 || told[0] != "copying [1mfiles" || told[1] != strings.Repeat("0", 252)+"..." {
		t.Errorf("told %q", told)
	}
}

func TestNew_OtherKinds(t *testing.T) {
	_, err := New(WholeRun)
	if fleet.CodeOf(err) != fleet.NotHere || fleet.HintOf(err) == "" {
		t.Errorf("error %v", err)
	}
}
