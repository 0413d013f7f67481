package secureexec

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"
)

// The test binary is its own child: role names what it does.
const role = "SECUREEXEC_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "":
		os.Exit(m.Run())
	case "environment":
		fmt.Println(strings.Join(os.Environ(), "\n"))
	case "exit7":
		fmt.Fprintln(os.Stderr, "bad")
		os.Exit(7)
	case "flood":
		chunk := bytes.Repeat([]byte("x"), 1<<16)
		fmt.Print("first\n")
		for range 64 {
			os.Stdout.Write(chunk)
		}
		fmt.Print("\nlast\n")
	case "cat":
		io.Copy(os.Stdout, os.Stdin)
	case "leaver":
		// Its child leaves three: one by its side, one that knows nothing, one on its own.
		out, err := os.OpenFile(os.Args[1], os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err == nil {
			_, err = Run(context.Background(), Command{Argv: []string{"sh", "-c", `sleep 1000 & echo side $!; env -i /bin/sleep 1000 & echo bare $!; setsid sh -c 'echo own $$; exec sleep 1000' & wait`},
				Env: append(Inherit("PATH"), Mark(os.Args[2])...), Out: out, OutputLimit: -1})
		}
		fmt.Println(err)
		os.Exit(1)
	case "sleep":
		fmt.Println("ready")
		<-time.After(time.Hour)
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("ready")
		<-time.After(time.Hour)
	case "parent":
		// A grandchild that holds our output; its number is printed.
		p, err := os.StartProcess(os.Args[0], os.Args[:1], &os.ProcAttr{
			Env: []string{role + "=stubborn"}, Files: []*os.File{nil, os.Stdout, os.Stderr},
		})
		if err != nil {
			panic(err)
		}
		fmt.Printf("grandchild %d\n", p.Pid)
		if len(os.Args) > 1 {
			<-time.After(time.Hour)
		}
	case "agent":
		// Runs a child by this package and prints its number, then waits to be
		// killed outright.
		Run(context.Background(), Command{
			Argv: []string{os.Args[0]}, Env: []string{role + "=pid"}, Out: os.Stdout, OutputLimit: -1,
		})
	case "pid":
		fmt.Printf("child %d\n", os.Getpid())
		<-time.After(time.Hour)
	}
	os.Exit(0)
}

func self(t testing.TB, as string) Command {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Command{Argv: []string{exe}, Env: []string{role + "=" + as}}
}

// signalWriter closes seen once its text contains want.
type signalWriter struct {
	bytes.Buffer
	want string
	seen chan struct{}
}

func awaitOutput(want string) *signalWriter {
	return &signalWriter{want: want, seen: make(chan struct{})}
}

func (w *signalWriter) Write(p []byte) (int, error) {
	had := strings.Contains(w.String(), w.want)
	w.Buffer.Write(p)
	if !had && strings.Contains(w.String(), w.want) {
		close(w.seen)
	}
	return len(p), nil
}

func TestRun_GivesOnlyTheEnvironmentNamed(t *testing.T) {
	t.Setenv("SECUREEXEC_SECRET", "hidden")
	t.Setenv("SECUREEXEC_SHARED", "seen")
	c := self(t, "environment")
	var out bytes.Buffer
	c.Out = &out
	c.Env = append(c.Env, Inherit("SECUREEXEC_SHARED", "SECUREEXEC_UNSET")...)
	if _, err := Run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "hidden") {
		t.Error("the child saw a variable that it was not given")
	}
	if !strings.Contains(out.String(), "SECUREEXEC_SHARED=seen") || strings.Contains(out.String(), "UNSET") {
		t.Errorf("got\n%s", out.String())
	}
}

func TestRun_NoEnvironmentIsEmpty(t *testing.T) {
	t.Setenv(role, "environment")
	c := self(t, "")
	c.Env = nil
	// Without the variable the child runs as a test binary: no tests match.
	c.Argv = append(c.Argv, "-test.run=^$")
	var out bytes.Buffer
	c.Out = &out
	if r, err := Run(t.Context(), c); err != nil || r.ExitCode != 0 {
		t.Fatal(r, err)
	}
	if strings.Contains(out.String(), role) {
		t.Error("a nil environment was inherited")
	}
}

func TestRun_ExitCode(t *testing.T) {
	c := self(t, "exit7")
	var out, errOut bytes.Buffer
	c.Out, c.Err = &out, &errOut
	r, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if r.ExitCode != 7 || r.Failure() == nil || out.Len() != 0 || strings.TrimSpace(errOut.String()) != "bad" {
		t.Errorf("result %+v, out %q, err %q", r, out.String(), errOut.String())
	}
}

func TestRun_InputAndDirectory(t *testing.T) {
	c := self(t, "cat")
	var out bytes.Buffer
	c.In, c.Out, c.Dir = strings.NewReader("hello"), &out, t.TempDir()
	if r, err := Run(t.Context(), c); err != nil || r.Failure() != nil || out.String() != "hello" {
		t.Errorf("%v %v %q", r, err, out.String())
	}
	c.Dir = filepath.Join(c.Dir, "none")
	if _, err := Run(t.Context(), c); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing directory gave %v", err)
	}
}

func TestRun_OutputIsBounded(t *testing.T) {
	c := self(t, "flood")
	var out bytes.Buffer
	c.Out, c.Err, c.OutputLimit = &out, &out, 1000
	r, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	total := int64(len("first\n") + 64<<16 + len("\nlast\n"))
	if r.LeftOut != total-1000 {
		t.Errorf("left out %d of %d", r.LeftOut, total)
	}
	marker := fmt.Sprintf("\n[%d bytes left out]\n", r.LeftOut)
	s := out.String()
	if !strings.HasPrefix(s, "first\n") || !strings.HasSuffix(s, "\nlast\n") || !strings.Contains(s, marker) || len(s) != 1000+len(marker) {
		t.Errorf("kept %d bytes: %.40q ... %q", len(s), s, s[len(s)-20:])
	}
}

func TestRun_Timeout(t *testing.T) {
	for _, as := range []string{"sleep", "stubborn"} {
		t.Run(as, func(t *testing.T) {
			c := self(t, as)
			c.Timeout, c.KillGrace = 300*time.Millisecond, 200*time.Millisecond
			r, err := Run(t.Context(), c)
			if err != nil || !r.TimedOut || r.Failure() == nil {
				t.Fatalf("%+v, %v", r, err)
			}
			if runtime.GOOS != "windows" {
				want := syscall.SIGTERM
				if as == "stubborn" {
					want = syscall.SIGKILL
				}
				if r.Signal != want || r.ExitCode != -1 {
					t.Errorf("ended by %v, code %d", r.Signal, r.ExitCode)
				}
			}
		})
	}
}

func TestRun_ContextEnds(t *testing.T) {
	c := self(t, "stubborn")
	out := awaitOutput("ready")
	c.Out = out
	why := errors.New("the user said so")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() { <-out.seen; cancel(why) }()
	if _, err := Run(ctx, c); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
	if _, err := Run(ctx, c); err == nil {
		t.Error("ran with an ended context")
	}
}

func TestRun_CannotStart(t *testing.T) {
	for _, argv := range [][]string{nil, {""}, {"no-such-program-here"}, {filepath.Join(t.TempDir(), "none")}} {
		if _, err := Run(t.Context(), Command{Argv: argv}); err == nil {
			t.Errorf("%q ran", argv)
		}
	}
}

func TestRun_WriterFails(t *testing.T) {
	c := self(t, "flood")
	full := errors.New("disk full")
	c.Out = writerFunc(func([]byte) (int, error) { return 0, full })
	if _, err := Run(t.Context(), c); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestClip_KeepsHeadAndTail(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(0, 20).Draw(t, "limit")
		pieces := rapid.SliceOf(rapid.SliceOfN(rapid.Byte(), 0, 30)).Draw(t, "pieces")
		var all []byte
		var out bytes.Buffer
		clip := NewClip(&out, limit)
		for _, p := range pieces {
			if n, err := clip.Write(p); n != len(p) || err != nil {
				t.Fatal(n, err)
			}
			all = append(all, p...)
		}
		if err := clip.Close(); err != nil {
			t.Fatal(err)
		}
		want := string(all)
		if len(all) > limit {
			head := limit - limit/2
			want = fmt.Sprintf("%s\n[%d bytes left out]\n%s", all[:head], len(all)-limit, all[len(all)-limit/2:])
		}
		if out.String() != want {
			t.Fatalf("limit %d: got %q, want %q", limit, out.String(), want)
		}
	})
}

func TestCopyVerified(t *testing.T) {
	content := []byte("#!/bin/sh\necho verified\n")
	sum := sha256.Sum256(content)
	dir := filepath.Join(t.TempDir(), "private")
	path, err := CopyVerified(dir, "000.sh", bytes.NewReader(content), 100, sum)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" {
		var out bytes.Buffer
		if r, err := Run(t.Context(), Command{Argv: []string{path}, Out: &out, Env: Inherit("PATH")}); err != nil || r.Failure() != nil || out.String() != "verified\n" {
			t.Errorf("%v %v %q", r, err, out.String())
		}
	}
	if _, err := CopyVerified(dir, "000.sh", bytes.NewReader(content), 100, sum); !errors.Is(err, os.ErrExist) {
		t.Errorf("an existing file was used: %v", err)
	}
	broken := errors.New("line cut")
	for name, test := range map[string]struct {
		file string
		r    io.Reader
		is   error
	}{
		"one byte changed": {"1", strings.NewReader("#!/bin/sh\necho Verified\n"), ErrMismatch},
		"too long":         {"2", strings.NewReader(strings.Repeat("x", 101)), ErrMismatch},
		"cut":              {"3", io.MultiReader(bytes.NewReader(content[:5]), iotest.ErrReader(broken)), broken},
		"climbs out":       {"../4", bytes.NewReader(content), nil},
		"no name":          {"", bytes.NewReader(content), nil},
	} {
		if _, err := CopyVerified(dir, test.file, test.r, 100, sum); err == nil || (test.is != nil && !errors.Is(err, test.is)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
