package shell

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The test binary is the external program of the scripts, as $SELF.
const role = "SHELL_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "":
		os.Exit(m.Run())
	case "exit":
		os.Exit(42)
	case "args":
		fmt.Println(strings.Join(os.Args[1:], "|"))
	case "environment":
		for _, line := range os.Environ() {
			if strings.HasPrefix(line, "T_") {
				fmt.Println(line)
			}
		}
	case "stay":
		fmt.Printf("pid %d\n", os.Getpid())
		<-time.After(time.Hour)
	}
	os.Exit(0)
}

// run runs a script in dir with $SELF and the test's PATH left out.
func run(t *testing.T, dir, source string, change func(*Script)) (exit int, out, errOut string, err error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var o, e bytes.Buffer
	s := Script{
		Name: "setup.sh", Source: strings.NewReader(source), Dir: dir,
		Env:    []string{"SELF=" + filepath.ToSlash(self), "T_GIVEN=yes", role + "=args"},
		Stdout: &o, Stderr: &e,
	}
	if change != nil {
		change(&s)
	}
	exit, err = Run(t.Context(), s)
	return exit, o.String(), e.String(), err
}

func TestRun_Scripts(t *testing.T) {
	t.Setenv("T_SECRET", "hidden")
	tests := []struct {
		name, source string
		exit         int
		out, errHas  string
	}{
		{"language", `set -e; for i in 1 2 3; do if [ "$i" != 2 ]; then printf '%s,' "$i"; fi; done; x=$((6*7)); echo "$x"`, 0, "1,3,42\n", ""},
		{"exit status", `exit 9`, 9, "", ""},
		{"set -e stops", `set -e; false; echo never`, 1, "", ""},
		{"arguments", `echo "$1:$2:$#"`, 0, "a b:-c:2\n", ""},
		{"windows line ends", "if true; then\r\n  echo yes\r\nfi\r\n", 0, "yes\n", ""},
		{"mkdir and ls", `mkdir -p a/b/c a/d; touch a/z a/.hidden; ls a; ls -a a | head -n 1; ls -1 a/z`, 0, "b\nd\nz\n.hidden\na/z\n", ""},
		{"mkdir twice", `mkdir a; mkdir a`, 1, "", "setup.sh:1: mkdir: "},
		{"rmdir", `mkdir -p a/b; rmdir a/b; rmdir a; ls`, 0, "", ""},
		{"rmdir full", `mkdir -p a/b; rmdir a`, 1, "", "rmdir: "},
		{"rm", `touch x; mkdir d; rm x; rm -f x; rm d`, 1, "", "d is a directory (remove it with -r)"},
		{"rm -rf", `mkdir -p d/e; touch d/e/f; rm -rf d none; ls`, 0, "", ""},
		{"rm missing", `rm none`, 1, "", "rm: "},
		{"rm -rf of an unset name", `rm -rf "$UNSET/"`, 1, "", "refuses to remove /"},
		{"rm -rf here", `rm -rf .`, 1, "", "refuses to remove ."},
		{"rm -rf above", `mkdir a; cd a; rm -rf ..`, 1, "", "refuses to remove .."},
		{"cp file", `echo hi >a; cp a b; mkdir d; cp a b d; cat b d/a d/b`, 0, "hi\nhi\nhi\n", ""},
		{"cp folder needs -r", `mkdir d; cp d e`, 1, "", "copy it with -r"},
		{"cp -r", `mkdir -p s/t; echo 1 >s/t/f; cp -r s new; mkdir old; cp -R s old; cp -a s/. flat; cat new/t/f old/s/t/f flat/t/f`, 0, "1\n1\n1\n", ""},
		{"cp -r merges", `mkdir -p s d; echo 1 >s/a; echo 2 >d/b; cp -r s/. d/; ls d`, 0, "a\nb\n", ""},
		{"cp into itself", `mkdir s; cp -r s s/t`, 1, "", "into itself"},
		{"cp onto itself", `echo 1 >a; cp a ./a; cat a`, 0, "1\n", "same file"},
		{"cp many to a file", `touch a b c; cp a b c`, 1, "", "c is not a directory"},
		{"mv", `echo 1 >a; mv a b; mkdir d; mv b d; mv d e; cat e/b; ls`, 0, "1\ne\n", ""},
		{"mv into itself", `mkdir a; mv a a/b`, 1, "", "into itself"},
		{"cat and redirection", `printf 'one\ntwo\n' >f; cat <f; cat f - </dev/null`, 0, "one\ntwo\none\ntwo\n", ""},
		{"head and tail", `for i in 1 2 3 4 5; do echo $i; done >f; head -n 2 f; tail -n2 f; cat f | tail -1`, 0, "1\n2\n4\n5\n5\n", ""},
		{"cat into a closed pipe", `yes | cat | head -n 1; echo "$?"`, 0, "y\n0\n", ""},
		{"sha256sum", `printf abc | sha256sum; printf abc >f; sha256sum f`, 0,
			"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  -\nba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  f\n", ""},
		{"names", `basename /a/b.txt; basename a/b.txt .txt; dirname /a/b.txt; dirname b; dirname /a; dirname a/b/`, 0, "b.txt\nb\n/a\n.\n/\na\n", ""},
		{"env", `T_A=1; export T_B=2; env | head -n 0; env T_C=3 SHELL_TEST_ROLE=environment "$SELF"`, 0, "T_B=2\nT_GIVEN=yes\nT_C=3\n", ""},
		{"environment is only what was given", `SHELL_TEST_ROLE=environment "$SELF"`, 0, "T_GIVEN=yes\n", ""},
		{"a variable that was unset", `unset T_GIVEN; SHELL_TEST_ROLE=environment "$SELF"`, 0, "", ""},
		{"external arguments", `SHELL_TEST_ROLE=args "$SELF" 'a b' '$x' "*"`, 0, "a b|$x|*\n", ""},
		{"external exit status", `SHELL_TEST_ROLE=exit "$SELF"; echo $?`, 0, "42\n", ""},
		{"external in a pipe", `SHELL_TEST_ROLE=args "$SELF" x y | cat`, 0, "x|y\n", ""},
		{"unknown command", `sha265sum x`, 127, "", `no such command (did you mean "sha256sum"?)`},
		{"unknown option", `cp -z a b`, 2, "", "setup.sh:1: cp: unknown option -z (it takes -r -R -a -p -f)"},
		{"missing argument", `basename`, 2, "", "needs more arguments"},
		{"caller's command", `getProperty colour | cat; getProperty none || echo "failed $?"`, 0, "blue\nfailed 3\n", ""},
		{"caller's command comes first", `touch x`, 0, "touched x\n", ""},
		{"line of a failure", "true\n\ncat none", 1, "", "setup.sh:3: cat: "},
		{"sleep", `sleep 0.01; sleep 0s; sleep x`, 2, "", `cannot read duration "x"`},
		{"source", `echo 'greet() { echo "hello $1"; }' >lib.sh; . ./lib.sh; greet you`, 0, "hello you\n", ""},
		{"glob", `touch b.c a.c d; echo *.c`, 0, "a.c b.c\n", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			exit, out, errOut, err := run(t, t.TempDir(), test.source, func(s *Script) {
				s.Args = []string{"a b", "-c"}
				s.Commands = map[string]Command{
					"getProperty": func(_ context.Context, args []string, io IO) error {
						if args[0] == "none" {
							return Exit(3)
						}
						_, err := fmt.Fprintln(io.Stdout, "blue")
						return err
					},
					"yes": func(_ context.Context, _ []string, io IO) error {
						for {
							if _, err := fmt.Fprintln(io.Stdout, "y"); err != nil {
								return err
							}
						}
					},
				}
				if strings.HasPrefix(test.name, "caller's command comes") {
					s.Commands["touch"] = func(_ context.Context, args []string, io IO) error {
						_, err := fmt.Fprintln(io.Stdout, "touched", args[0])
						return err
					}
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			if exit != test.exit {
				t.Errorf("exit status %d, want %d; stderr: %s", exit, test.exit, errOut)
			}
			if diff := cmp.Diff(test.out, out); diff != "" {
				t.Errorf("stdout:\n%s\nstderr: %s", diff, errOut)
			}
			if !strings.Contains(errOut, test.errHas) || (test.errHas == "" && errOut != "") {
				t.Errorf("stderr %q, want %q", errOut, test.errHas)
			}
		})
	}
}

func TestRun_ParseErrorHasPlace(t *testing.T) {
	_, _, _, err := run(t, t.TempDir(), "echo a\nif true; then\n", nil)
	if err == nil || !strings.Contains(err.Error(), "setup.sh:2:") {
		t.Errorf("got %v", err)
	}
	if err := Check("x.sh", strings.NewReader("echo (")); err == nil || !strings.Contains(err.Error(), "x.sh:1:") {
		t.Errorf("got %v", err)
	}
	if err := Check("x.sh", strings.NewReader("echo fine")); err != nil {
		t.Error(err)
	}
}

func TestRun_RelativeFolder(t *testing.T) {
	if _, _, _, err := run(t, "relative", "true", nil); err == nil {
		t.Error("a relative folder was accepted")
	}
}

func TestRun_Timeout(t *testing.T) {
	for _, source := range []string{
		`sleep 1000`,
		`while true; do true; done`,
		`SHELL_TEST_ROLE=stay "$SELF"`,
		`SHELL_TEST_ROLE=stay "$SELF" | cat`,
		`SHELL_TEST_ROLE=stay "$SELF" & wait`,
		`trap 'sleep 1000' EXIT; sleep 1000`,
	} {
		began := time.Now()
		_, _, _, err := run(t, t.TempDir(), source, func(s *Script) { s.Timeout = 200 * time.Millisecond })
		if !errors.Is(err, ErrTimeout) {
			t.Errorf("%s: %v", source, err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s: ended after %v", source, took)
		}
	}
}
