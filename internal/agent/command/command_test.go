package command

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/fernwerk/fernwerk/internal/agent"
	"github.com/fernwerk/fernwerk/internal/agent/control"
	"github.com/fernwerk/fernwerk/internal/agent/identity"
	"github.com/fernwerk/fernwerk/internal/kit/run"
)

// result is what a person at the terminal gets.
type result struct {
	out, err string
	code     int
}

func call(ctx context.Context, args ...string) result {
	var out, errOut bytes.Buffer
	c := New("1.2.3")
	c.SetArgs(args)
	c.SetOut(&out)
	c.SetErr(io.Discard)
	err := c.ExecuteContext(ctx)
	code := run.Report(&errOut, err)
	return result{out.String(), errOut.String(), code}
}

// joined is the data folder of a host whose server is away.
func joined(t *testing.T) string {
	t.Helper()
	away := httptest.NewTLSServer(http.NotFoundHandler())
	away.Close()
	id := identity.Identity{HostID: "pc1.example.org", HostKey: "0123456789abcdef0123456789abcdef", Server: away.URL,
		CA: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: away.Certificate().Raw}))}
	data, err := json.Marshal(id)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "agent")
	if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(identity.Path(dir), data, 0o600)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// ready is a writer that tells of its first line.
type ready struct {
	sync.Once
	line chan string
}

func (r *ready) Write(p []byte) (int, error) {
	r.Do(func() { r.line <- string(p) })
	return len(p), nil
}

// start runs the agent until stop is called or the test ends.
func start(t *testing.T, dir string) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &ready{line: make(chan string, 1)}
	c := New("1.2.3")
	c.SetArgs([]string{"run", "--data", dir, "--control", "127.0.0.1:0"})
	c.SetOut(r)
	c.SetErr(io.Discard)
	ended := make(chan error, 1)
	go func() { ended <- c.ExecuteContext(ctx) }()
	stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() { stop() })
	select {
	case line := <-r.line:
		if !strings.HasPrefix(line, "ready https://127.0.0.1:") {
			t.Fatalf("it says %q", line)
		}
	case err := <-ended:
		t.Fatal(err)
	}
	return stop
}

func TestMisuse(t *testing.T) {
	for _, args := range [][]string{
		{"dance"}, {"run", "now"}, {"run", "--fast"}, {"run", "--log-level", "loud"}, {"fire"}, {"fire", "a", "b"}, {"fire", "timer", "--json"}, {"status", "all"},
		{"tunel"}, {"tunnel", "nothing"}, {"tunnel", "up"}, {"tunnel", "status", "vpns"}, {"mesh", "upp"}, {"updates", "new"}, {"service", "start"}, {"service", "print", "x"}, {"mesh", "up", "--wiat"},
		{"join"}, {"join", "--server", "https://x", "--host-id", "pc1.example.org", "--ca-fingerprint", "ab"},
	} {
		r := call(t.Context(), append(args, "--data", filepath.Join(t.TempDir(), "none"))...)
		lines := strings.Split(strings.TrimSpace(r.err), "\n")
		if r.code != 2 || len(lines) != 2 || !strings.HasPrefix(lines[0], "error: ") || !strings.HasPrefix(lines[1], "hint: try: fernwerk-agent") || r.out != "" {
			t.Errorf("%v: code %d, %q, %q", args, r.code, r.out, r.err)
		}
	}
	if r := call(t.Context(), "tunel"); !strings.Contains(r.err, `(did you mean "tunnel"?)`) {
		t.Errorf("%q", r.err)
	}
	for _, args := range [][]string{{}, {"--help"}, {"help", "join"}, {"--version"}, {"mesh"}, {"service"}} {
		if r := call(t.Context(), args...); r.code != 0 || r.out == "" || r.err != "" {
			t.Errorf("%v: code %d, %q, %q", args, r.code, r.out, r.err)
		}
	}
}

func TestNotJoined(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{{"run"}, {"status"}, {"fire", "timer"}, {"mesh", "up"}} {
		if r := call(t.Context(), append(args, "--data", dir)...); r.code != 1 || !strings.Contains(r.err, "has not joined") || !strings.Contains(r.err, "hint: run: fernwerk-agent join") {
			t.Errorf("%v: code %d, %q", args, r.code, r.err)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("%v was made", left)
	}
}

func TestJoin_ServerAway(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	away := httptest.NewTLSServer(nil)
	away.Close()
	t.Setenv("FERNWERK_ONE_TIME_PASSWORD", "secret")
	r := call(t.Context(), "join", "--data", dir, "--server", away.URL, "--host-id", "pc1.example.org", "--ca-fingerprint", strings.Repeat("ab", 32))
	if r.code != 4 || !strings.Contains(r.err, "hint: ") || strings.Contains(r.err, "secret") {
		t.Errorf("code %d, %q", r.code, r.err)
	}
	if info, err := os.Stat(dir); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o700 {
		t.Errorf("data folder %v, error %v", info.Mode(), err)
	}
}

func TestSteer(t *testing.T) {
	dir := joined(t)
	for _, args := range [][]string{{"status"}, {"fire", "on_demand"}} {
		if r := call(t.Context(), append(args, "--data", dir)...); r.code != 4 || !strings.Contains(r.err, "hint: start it with: fernwerk-agent run") {
			t.Errorf("before the first start, %v: code %d, %q", args, r.code, r.err)
		}
	}
	stop := start(t, dir)

	r := call(t.Context(), "status", "--data", dir)
	if r.code != 0 || !strings.Contains(r.out, "pc1.example.org") || !strings.Contains(r.out, "1.2.3") {
		t.Errorf("status: code %d, %q, %q", r.code, r.out, r.err)
	}
	var st control.Status
	if r := call(t.Context(), "status", "--json", "--data", dir); json.Unmarshal([]byte(r.out), &st) != nil || st.HostID != "pc1.example.org" {
		t.Errorf("status --json: code %d, %q", r.code, r.out)
	}

	for event, text := range map[string]string{
		"on-demand":      "error: cannot fire event \"on-demand\": no event configuration has this name",
		"net_connection": "hint: set the host parameter opsiclientd.event_net_connection.active to true",
		"":               "error: cannot fire event",
	} {
		if r := call(t.Context(), "fire", event, "--data", dir); r.code != 1 || !strings.Contains(r.err, text) {
			t.Errorf("fire %q: code %d, %q", event, r.code, r.err)
		}
	}
	if r := call(t.Context(), "fire", "sync_completed", "--data", dir); r.code != 0 || r.out != "nothing to do\n" {
		t.Errorf("an event that asks for nothing: code %d, %q, %q", r.code, r.out, r.err)
	}

	// The server is away, so the event fails; the steps are told all the same.
	r = call(t.Context(), "fire", "on_demand", "--wait", "--data", dir)
	if r.code != 1 || !strings.Contains(r.err, "error: event on_demand failed: ") || !strings.Contains(r.out, "process_actions") {
		t.Errorf("fire --wait: code %d, %q, %q", r.code, r.out, r.err)
	}
	var d control.ChangeDetail
	r = call(t.Context(), "fire", "on_demand", "--wait", "--json", "--data", dir)
	if err := json.Unmarshal([]byte(r.out), &d); r.code != 1 || err != nil || d.Status != "failed" || len(d.Tasks) == 0 {
		t.Errorf("fire --wait --json: code %d, %q, %v", r.code, r.out, err)
	}

	if r := call(t.Context(), "run", "--data", dir, "--control", "127.0.0.1:0"); r.code != 4 || !strings.Contains(r.err, "only one agent") {
		t.Errorf("a second agent: code %d, %q", r.code, r.err)
	}

	private(t, dir)
	if err := stop(); err != nil {
		t.Errorf("the end: %v", err)
	}
	if r := call(t.Context(), "status", "--data", dir); r.code != 4 || !strings.Contains(r.err, "hint: ") {
		t.Errorf("after the end: code %d, %q", r.code, r.err)
	}
	start(t, dir) // and again
}

// private checks that nobody else gets at anything in the data folder.
func private(t *testing.T, dir string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		return
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the data folder: %v, error %v", info.Mode(), err)
	}
	for name, want := range map[string]os.FileMode{"agent.db": 0o600, "agent.db-wal": 0o600, "agent.lock": 0o600, "tmp": 0o700, "control": 0o700,
		"control/key.pem": 0o600, "cache/depot": 0o700} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		} else if info.Mode().Perm() != want {
			t.Errorf("%s: %v, not %v", name, info.Mode(), want)
		}
	}
}

// What is damaged is named, with the way out.
func TestRun_Damaged(t *testing.T) {
	for _, test := range []struct {
		file, content, text, hint string
	}{
		{"identity.json", "{", "identity.json", "join again"},
		{"agent.conf", "[event_timer]\nintervall = 5\n", "agent.conf", ""},
		{"agent.conf", "no section", "agent.conf", ""},
		{"agent.db", strings.Repeat("this is no database ", 500), "database", "agent.db is damaged"},
		{"control", "no folder", "local service", ""},
	} {
		dir := joined(t)
		if err := os.WriteFile(filepath.Join(dir, test.file), []byte(test.content), 0o600); err != nil {
			t.Fatal(err)
		}
		r := call(t.Context(), "run", "--data", dir, "--control", "127.0.0.1:0")
		if r.code != 1 || !strings.Contains(r.err, test.text) || !strings.Contains(r.err, test.hint) || test.hint != "" && !strings.Contains(r.err, "hint: ") {
			t.Errorf("%s: code %d, %q", test.file, r.code, r.err)
		}
	}
	dir := joined(t)
	if r := call(t.Context(), "run", "--data", dir, "--control", "0.0.0.0:0"); r.code != 1 || !strings.Contains(r.err, "this machine only") {
		t.Errorf("for everybody: code %d, %q", r.code, r.err)
	}
}

// A relative data folder counts from where the agent was started.
func TestRun_RelativeFolder(t *testing.T) {
	dir := joined(t)
	t.Chdir(filepath.Dir(dir))
	stop := start(t, "agent")
	t.Chdir(t.TempDir())
	if r := call(t.Context(), "status", "--data", dir); r.code != 0 {
		t.Errorf("code %d, %q", r.code, r.err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if _, err := agent.LoadConf(dir); err != nil {
		t.Error(err)
	}
}
