package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fernwerk/fernwerk/internal/fleet/feed"
	"github.com/fernwerk/fernwerk/test/e2e/site"
	"github.com/fernwerk/fernwerk/test/require"
)

// bareNode is a root of its own with wget, gpg, sh, openssl and coreutils, and
// what `fernwerk feed node-files` ships.
type bareNode struct {
	t    *testing.T
	root string
}

// tools are all programs of a bare node.
var tools = []string{"wget", "gpg", "openssl", "cat", "chmod", "cp", "cut", "date", "dirname", "env", "head", "ln", "mkdir", "mktemp", "mv", "od", "rm",
	"sha256sum", "sleep", "sync", "timeout", "touch", "tr", "uname", "wc"}

// newNode makes a node. withFlock is whether it has flock, which is in Debian's
// base but is not asked for.
func newNode(t *testing.T, p site.Programs, withFlock bool) *bareNode {
	t.Helper()
	require.Root(t)
	n := &bareNode{t, t.TempDir()}
	paths := []string{require.Tool(t, "dash")}
	for _, name := range tools {
		paths = append(paths, require.Tool(t, name))
	}
	if withFlock {
		paths = append(paths, require.Tool(t, "flock"))
	}
	for _, path := range paths {
		real, err := filepath.EvalSymlinks(path)
		must(t, err)
		name := filepath.Base(path)
		if name == "dash" {
			name = "sh"
		}
		n.copy(real, "/bin/"+name, 0o755)
		libs, err := exec.Command("ldd", real).Output()
		must(t, err)
		for _, word := range strings.Fields(string(libs)) {
			if strings.HasPrefix(word, "/") {
				n.copy(word, word, 0o755)
			}
		}
	}
	for _, dir := range []string{"dev", "tmp", "run", "etc/systemd/system", "var/lib", "root"} {
		must(t, os.MkdirAll(filepath.Join(n.root, dir), 0o755))
	}
	for name, minor := range map[string]uint32{"null": 3, "zero": 5, "random": 8, "urandom": 9} {
		if err := unix.Mknod(filepath.Join(n.root, "dev", name), unix.S_IFCHR|0o666, int(unix.Mkdev(1, minor))); err != nil {
			require.Skip(t, "devices", err.Error())
		}
	}
	if f, err := os.OpenFile(filepath.Join(n.root, "dev/null"), os.O_WRONLY, 0); err != nil {
		require.Skip(t, "devices", err.Error())
	} else {
		f.Close()
	}
	for _, name := range []string{"/etc/ssl/openssl.cnf", "/usr/lib/ssl/openssl.cnf"} {
		if _, err := os.Stat(name); err == nil {
			n.copy(name, name, 0o644)
		}
	}
	n.write("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n", 0o644)
	files := filepath.Join(n.root, "root", "files")
	_, errOut, code, err := p.Run(t.Context(), nil, "fernwerk", "feed", "node-files", files)
	if err != nil || code != 0 {
		t.Fatalf("node-files: %v %s", err, errOut)
	}
	if out, code := n.run("/root/files/install.sh"); code != 0 {
		t.Fatal(out)
	}
	return n
}

func (n *bareNode) copy(from, to string, mode fs.FileMode) {
	n.t.Helper()
	to = filepath.Join(n.root, to)
	if _, err := os.Stat(to); err == nil {
		return
	}
	must(n.t, os.MkdirAll(filepath.Dir(to), 0o755))
	data, err := os.ReadFile(from)
	must(n.t, err)
	must(n.t, os.WriteFile(to, data, mode))
}

func (n *bareNode) write(path, text string, mode fs.FileMode) {
	n.t.Helper()
	must(n.t, os.MkdirAll(filepath.Dir(filepath.Join(n.root, path)), 0o755))
	must(n.t, os.WriteFile(filepath.Join(n.root, path), []byte(text), mode))
}

// read is a file of the node, "" if it is not there.
func (n *bareNode) read(path string) string {
	data, _ := os.ReadFile(filepath.Join(n.root, path))
	return string(data)
}

func (n *bareNode) start(argv ...string) (*exec.Cmd, *bytes.Buffer) {
	cmd := exec.Command(argv[0], argv[1:]...)
	var out bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", &out, &out
	cmd.Env = []string{"PATH=/bin", "HOME=/root", "OPENSSL_CONF=/etc/ssl/openssl.cnf"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: n.root, Pdeathsig: syscall.SIGKILL, Setpgid: true}
	return cmd, &out
}

func (n *bareNode) run(argv ...string) (string, int) {
	cmd, out := n.start(argv...)
	if err := cmd.Run(); cmd.ProcessState == nil {
		n.t.Fatalf("%v: %v", argv, err)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

func (n *bareNode) feed(command string) (string, int) {
	return n.run("/usr/local/sbin/fernwerk-feed", command)
}

// does fails the test unless the command ends so and says so.
func (n *bareNode) does(command string, want int, says string) {
	n.t.Helper()
	if out, code := n.feed(command); code != want || !strings.Contains(out, says) {
		n.t.Errorf("%s ended with %d, want %d with %q:\n%s", command, code, want, says, out)
	}
}

// starts runs what the line of a file says that begins with a word, as who reads
// that file does.
func (n *bareNode) starts(file, begins string, want int) {
	n.t.Helper()
	for line := range strings.Lines(n.read(file)) {
		if command, ok := strings.CutPrefix(line, begins); ok {
			command = strings.NewReplacer(`\%`, "%", " 300)", " 1)").Replace(command) // cron's percent sign; nobody waits here
			if out, code := n.run("/bin/sh", "-c", command); code != want {
				n.t.Errorf("%s ended with %d, want %d:\n%s", command, code, want, out)
			}
			return
		}
	}
	n.t.Errorf("%s has no line %s", file, begins)
}

func (n *bareNode) conf(lines ...string) {
	n.write("/etc/fernwerk/feed.conf", strings.Join(lines, "\n")+"\n", 0o644)
}

// forger serves whatever a test wants at the paths of a feed.
type forger struct {
	*httptest.Server
	mu    sync.Mutex
	files map[string]string
	asked map[string]int
}

func newForger(t *testing.T) *forger {
	f := &forger{files: map[string]string{}, asked: map[string]int{}}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.asked[r.URL.Path]++
		text, ok := f.files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		io.WriteString(w, text)
	}))
	t.Cleanup(f.Close)
	return f
}

func (f *forger) shows(name, text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.files["/feed/"+name] = text
}

func (f *forger) count(name string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked["/feed/"+name]
}

// signer is somebody with a key.
type signer struct {
	*feed.PrivateKey
	t      *testing.T
	public string
}

func newSigner(t *testing.T) signer {
	t.Helper()
	k, err := feed.NewKey("idhal", time.Now())
	must(t, err)
	public, err := k.Public().Print()
	must(t, err)
	return signer{k, t, string(public)}
}

func feedText(t *testing.T, serial int64, days int, updates ...feed.Update) []byte {
	t.Helper()
	text, err := feed.Script{Header: feed.Header{Site: "idhal", Serial: serial, Expires: time.Now().AddDate(0, 0, days)}, Updates: updates}.Render()
	must(t, err)
	return text
}

func (s signer) script(serial int64, days int, updates ...feed.Update) string {
	s.t.Helper()
	file, err := s.Sign(feedText(s.t, serial, days, updates...), time.Now())
	must(s.t, err)
	return string(file)
}

// counts is an update that leaves a line each time it runs.
func counts(id string) feed.Update {
	return feed.Update{ID: id, Title: "Count", Stop: true, Retry: true, Program: "echo ran >> /root/ran." + id + "\ncat > /root/doc." + id + " <<'EOF'\n-dash\n- dash\nFrom here\n-----BEGIN PGP SIGNATURE-----\nEOF"}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

// The whole way with the real programs: a folder with a key, updates, render,
// sign, publish; a bare node that boots and is called by cron.
func TestBareNode_FollowsTheFeed(t *testing.T) {
	n := newNode(t, programs(t), true)
	plain, dir := freePort(t), t.TempDir()
	conf := filepath.Join(dir, "fernwerkd.toml")
	must(t, os.WriteFile(conf, []byte(fmt.Sprintf("[feed]\nlisten = %q\n", plain)), 0o600))
	s := &site.Server{Programs: programs(t), Data: filepath.Join(dir, "server"), Log: filepath.Join(dir, "server.log"), Config: conf}
	must(t, s.Start(t.Context()))
	t.Cleanup(s.Kill)

	at := filepath.Join(dir, "feed")
	pass := filepath.Join(dir, "pass")
	must(t, os.WriteFile(pass, []byte("correct horse\n"), 0o600))
	ctl := func(args ...string) string {
		t.Helper()
		out, err := s.Command(t.Context(), args...)
		must(t, err)
		return out
	}
	update := func(number, title, body string) {
		must(t, os.MkdirAll(filepath.Join(at, "updates"), 0o700))
		text := "#!/bin/sh\n# fernwerk-update: 1\n# number: " + number + "\n# id: u" + number + "\n# title: " + title + "\n# audience: feed\n# timeout: 10m\n# on-failure: stop\n# on-interrupt: retry\n\n" + body + "\n"
		must(t, os.WriteFile(filepath.Join(at, "updates", number+"-u.sh"), []byte(text), 0o600))
	}
	ctl("feed", "init", at, "--site", "idhal", "--passphrase-file", pass)
	update("000", "First", "echo first >> /root/order")
	update("001", "Second", "[ -f /root/allowed ] || exit 7\necho second >> /root/order")
	update("002", "Third", "echo third >> /root/order")
	publish := func() {
		t.Helper()
		ctl("feed", "render", at)
		ctl("feed", "sign", at, "--passphrase-file", pass)
		ctl("feed", "publish", at, "--yes")
	}
	publish()
	status := ctl("feed", "status")
	if !strings.Contains(status, "idhal") {
		t.Error(status)
	}
	_, after, _ := strings.Cut(status, "ingerprint")
	fingerprint := strings.Fields(after)[0]
	if len(fingerprint) != 40 {
		fingerprint = strings.Fields(after)[1]
	}

	n.conf("URL=http://"+plain+"/feed", "FINGERPRINT=0123456789012345678901234567890123456789")
	n.does("boot", 5, "the server's key is")
	n.conf("URL=http://"+plain+"/feed", "FINGERPRINT='"+fingerprint[:20]+" "+strings.ToLower(fingerprint[20:])+"'", "SITE=idhal")
	n.does("run", 2, "no key is pinned")
	n.starts("/etc/systemd/system/fernwerk-feed.service", "ExecStart=", 1)
	if got := n.read("/root/order"); got != "first\n" {
		t.Errorf("after the boot: %q", got)
	}
	if n.read("/var/lib/idhal-updates/000") == "" || n.read("/var/lib/idhal-updates/001") != "" {
		t.Error("markers are not those of what succeeded")
	}
	n.does("run", 1, "update 001: failed")
	n.write("/root/allowed", "", 0o644)
	n.does("run", 0, "update 002: done")
	n.does("run", 0, "")
	n.does("run", 0, "")
	if got := n.read("/root/order"); got != "first\nsecond\nthird\n" {
		t.Errorf("each ran once, in order? %q", got)
	}
	update("003", "Fourth", "echo fourth >> /root/order")
	publish()
	for range 2 { // cron calls, and calls again
		n.starts("/etc/cron.d/fernwerk-feed", "*/15 * * * * root ", 0)
	}
	if got := n.read("/root/order"); got != "first\nsecond\nthird\nfourth\n" {
		t.Errorf("after cron: %q", got)
	}
	n.does("check", 0, "serial 2")
	n.does("status", 0, fingerprint)
	for _, path := range []string{"/var/lib/fernwerk-feed", "/var/lib/fernwerk-feed/gnupg", "/var/lib/idhal-updates"} {
		if info, err := os.Stat(filepath.Join(n.root, path)); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v %v", path, info.Mode(), err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(n.root, "var/lib/fernwerk-feed/run.*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	// The key at the server is another one now: the node never asks again.
	other := newSigner(t)
	_, err := s.Call(t.Context(), "feed_publish", other.script(9, 10, counts("009")), other.public, true)
	must(t, err)
	n.does("boot", 5, "refused")
	if n.read("/root/ran.009") != "" {
		t.Error("a stranger's update ran")
	}
	// The server is gone.
	s.Kill()
	n.does("run", 3, "cannot fetch")
}

// Everything that is refused, by a server that lies.
func TestBareNode_Refuses(t *testing.T) {
	n := newNode(t, programs(t), true)
	f, k, stranger := newForger(t), newSigner(t), newSigner(t)
	n.conf("URL="+f.URL+"/feed", "SITE=idhal")
	f.shows("key.asc", k.public)
	good := k.script(17, 10, counts("000"))
	f.shows("script.asc", good)
	n.does("boot", 0, "trusted because it came first")
	n.does("boot", 0, "")
	if f.count("key.asc") != 1 {
		t.Errorf("the key was fetched %d times", f.count("key.asc"))
	}
	evil := k.script(18, 10, counts("000"), counts("666"))
	gpg := oldKey(t)
	for name, c := range map[string]struct{ script, says string }{
		"text before":           {"touch /root/pwned\n" + evil, "before the signed block"},
		"text after":            {evil + "touch /root/pwned\n", "after the signed block"},
		"line before":           {"\n" + evil, "before the signed block"},
		"line after":            {evil + "\n", "after"},
		"half a line after":     {evil + "x", "after"},
		"carriage returns":      {strings.ReplaceAll(evil, "\n", "\r\n"), "carriage returns"},
		"trailing blanks":       {strings.Replace(evil, "\numask 022\n", "\numask 022 \n", 1), "ends in blanks"},
		"trailing tab":          {strings.Replace(evil, "\numask 022\n", "\numask 022\t\n", 1), "ends in blanks"},
		"a zero byte":           {strings.Replace(evil, "\numask 022\n", "\numask 022\x00\n", 1), "control characters"},
		"another text":          {strings.Replace(evil, "RC=0", "RC=9", 1), "not good: BADSIG"},
		"no Hash line":          {strings.Replace(evil, "Hash: SHA512\n", "", 1), "refused"},
		"two Hash lines":        {strings.Replace(evil, "Hash: SHA512\n", "Hash: SHA512\nHash: SHA256\n", 1), "more than one Hash"},
		"a header":              {strings.Replace(evil, "Hash: SHA512\n", "Comment: x\n", 1), "not known"},
		"text in the signature": {strings.Replace(evil, "SIGNATURE-----\n\n", "SIGNATURE-----\n\n$(touch /root/pwned)\n", 1), "refused"},
		"two blocks":            {good + evil, "after the signed block"},
		"another key":           {stranger.script(18, 10, counts("666")), "not good"},
		"lower serial":          {k.script(16, 10, counts("666")), "serial 16 is lower than 17"},
		"same serial":           {k.script(17, 10, counts("666")), "another script of serial 17"},
		"expired":               {k.script(18, -1, counts("666")), "expired"},
		"another site":          {strings.ReplaceAll(resite(t, k), "\x00", ""), "this machine follows idhal"},
		"not signed":            {string(feedText(t, 18, 10, counts("666"))), "before the signed block"},
		"DSA and SHA-1":         {gpg.clearSign(t, feedText(t, 18, 10, counts("666"))), "too weak"},
		"too large":             {evil + strings.Repeat("x", feed.MaxFile), "cannot fetch"},
		"nothing":               {"", "refused"},
	} {
		f.shows("script.asc", c.script)
		want := 5
		if strings.Contains(c.says, "cannot fetch") {
			want = 3
		}
		if out, code := n.feed("run"); code != want || !strings.Contains(out, c.says) {
			t.Errorf("%s: ended with %d, want %d with %q:\n%s", name, code, want, c.says, out)
		}
		for _, path := range []string{"/root/pwned", "/root/ran.666"} {
			if _, err := os.Stat(filepath.Join(n.root, path)); err == nil {
				t.Fatalf("%s: it ran", name)
			}
		}
	}
	f.shows("script.asc", evil)
	n.does("run", 0, "update 666: done")
	f.shows("script.asc", good)
	n.does("run", 5, "lower than 18")
	if got := n.read("/root/ran.000"); got != "ran\n" {
		t.Errorf("update 000 ran %q", got)
	}
	if got := n.read("/root/doc.000"); got != "-dash\n- dash\nFrom here\n-----BEGIN PGP SIGNATURE-----\n" {
		t.Errorf("a here-document came as %q", got)
	}
	if f.count("key.asc") != 1 {
		t.Errorf("the key was fetched %d times", f.count("key.asc"))
	}
	// A clock that fell back to 1970 makes no expired script good.
	must(t, os.Rename(filepath.Join(n.root, "bin/date"), filepath.Join(n.root, "bin/date.real")))
	n.write("/bin/date", "#!/bin/sh\n[ \"$1\" != +%s ] || { echo 60; exit; }\nexec date.real \"$@\"\n", 0o755)
	f.shows("script.asc", k.script(19, -1, counts("777")))
	n.does("run", 5, "expired")
	f.shows("script.asc", evil)
	n.does("run", 0, "")
	// A pinned key that is gone is not fetched again.
	must(t, os.RemoveAll(filepath.Join(n.root, "var/lib/fernwerk-feed/gnupg")))
	n.does("boot", 5, "pinned key is gone")

	for name, key := range map[string]string{"a DSA key": gpg.public, "two keys": k.public + stranger.public, "nothing": "x\n"} {
		fresh := newNode(t, programs(t), false)
		fresh.conf("URL=" + f.URL + "/feed")
		f.shows("key.asc", key)
		if out, code := fresh.feed("boot"); code != 5 {
			t.Errorf("%s: ended with %d:\n%s", name, code, out)
		}
		if fresh.read("/var/lib/fernwerk-feed/fingerprint") != "" {
			t.Errorf("%s is pinned", name)
		}
	}
}

// resite is a good script of another site.
func resite(t *testing.T, k signer) string {
	t.Helper()
	text, err := feed.Script{Header: feed.Header{Site: "elsewhere", Serial: 18, Expires: time.Now().AddDate(0, 0, 10)}}.Render()
	must(t, err)
	file, err := k.Sign(text, time.Now())
	must(t, err)
	return string(file)
}

// gpgKey is a key as GnuPG 1.4 made them: DSA with 1024 bits, and SHA-1.
type gpgKey struct{ home, public string }

func oldKey(t *testing.T) gpgKey {
	t.Helper()
	gpg := require.Tool(t, "gpg")
	home, err := os.MkdirTemp("", "gpg") // a short path: its agent has a socket there
	must(t, err)
	t.Cleanup(func() {
		exec.Command("gpgconf", "--homedir", home, "--kill", "all").Run()
		os.RemoveAll(home)
	})
	cmd := exec.Command(gpg, "--homedir", home, "--batch", "--pinentry-mode", "loopback", "--passphrase", "", "--gen-key")
	cmd.Stdin = strings.NewReader("Key-Type: DSA\nKey-Length: 1024\nName-Real: Old\n%no-protection\n%commit\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		require.Skip(t, "a DSA key", string(out))
	}
	public, err := exec.Command(gpg, "--homedir", home, "--armor", "--export").Output()
	must(t, err)
	return gpgKey{home, string(public)}
}

func (k gpgKey) clearSign(t *testing.T, text []byte) string {
	t.Helper()
	cmd := exec.Command("gpg", "--homedir", k.home, "--batch", "--digest-algo", "SHA1", "--clear-sign")
	cmd.Stdin = bytes.NewReader(text)
	out, err := cmd.Output()
	must(t, err)
	return string(out)
}

// Two at once: one runs, and what runs is not run twice. Killed, its lock is free.
func TestBareNode_OneAtATime(t *testing.T) {
	for name, flock := range map[string]bool{"flock": true, "mkdir": false} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, programs(t), flock)
			f, k := newForger(t), newSigner(t)
			n.conf("URL=" + f.URL + "/feed")
			f.shows("key.asc", k.public)
			f.shows("script.asc", k.script(1, 10))
			n.does("boot", 0, "")
			waits := feed.Update{ID: "000", Stop: true, Program: "echo begun >> /root/ran.000; while [ ! -f /root/go ]; do sleep 0.05; done"}
			f.shows("script.asc", k.script(2, 10, waits, counts("001")))
			cmd, out := n.start("/usr/local/sbin/fernwerk-feed", "run")
			must(t, cmd.Start())
			begun := func(times int) {
				await(t, "the update to begin", func() (bool, error) { return strings.Count(n.read("/root/ran.000"), "begun") == times, nil })
			}
			begun(1)
			n.does("run", 4, "another one is running")
			must(t, syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL))
			cmd.Wait()
			killScript(t, n)
			if flock {
				await(t, "the lock", func() (bool, error) { _, code := n.feed("run"); return code != 4, nil })
			}
			n.does("run", 1, "was interrupted, and may have done its work")
			must(t, os.Remove(filepath.Join(n.root, "var/lib/idhal-updates/000.begun")))
			n.write("/root/go", "", 0o644)
			n.does("run", 0, "update 001: done")
			begun(2)
			if n.read("/root/ran.001") != "ran\n" {
				t.Error(n.read("/root/ran.001"), out)
			}
		})
	}
}

// killScript ends what a killed runner left: timeout has made a group of its own.
func killScript(t *testing.T, n *bareNode) {
	t.Helper()
	procs, err := filepath.Glob("/proc/[0-9]*/root")
	must(t, err)
	for _, p := range procs {
		if at, err := os.Readlink(p); err == nil && at == n.root {
			var pid int
			fmt.Sscanf(p, "/proc/%d/root", &pid)
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// Update 000 sets up the tunnel: it gets the machine's identity by gen_certif. While
// that fails, it is tried again.
func TestBareNode_Update000(t *testing.T) {
	n := newNode(t, programs(t), true)
	s := serve(t)
	made, err := s.Call(t.Context(), "token_create", "vnode", 1, 3600, []any{}, "", "plain-opsi")
	must(t, err)
	ca, err := os.ReadFile(s.CAFile())
	must(t, err)
	n.write("/etc/fernwerk/ca.pem", string(ca), 0o644)
	n.write("/etc/fernwerk/token", fmt.Sprint(made.(map[string]any)["token"]), 0o600)
	f, k := newForger(t), newSigner(t)
	n.conf("URL="+f.URL+"/feed", "FINGERPRINT="+k.Public().Fingerprint(), "GEN_CERTIF="+s.URL()+"/v1/gen_certif", "TUNNEL=192.0.2.1")
	f.shows("key.asc", k.public)
	f.shows("script.asc", k.script(1, 10, feed.Update{ID: "000", Title: "Set up the tunnel", Stop: true, Retry: true, Program: "/usr/local/sbin/gen_certif vnode || exit 1\necho ran >> /root/ran.000"}))
	n.does("boot", 1, "OpenVPN is not here")
	if n.read("/var/lib/idhal-updates/000") != "" {
		t.Error("update 000 is marked, and has failed")
	}
	must(t, os.MkdirAll(filepath.Join(n.root, "etc/openvpn"), 0o755))
	n.write("/usr/sbin/openvpn", "#!/bin/sh\n", 0o755)
	n.does("run", 0, "update 000: done")
	n.does("run", 0, "")
	if n.read("/root/ran.000") != "ran\n" || n.read("/etc/openvpn/client.crt") == "" {
		t.Errorf("ran %q", n.read("/root/ran.000"))
	}
}

// gen_certif: key and request by openssl on the node, certificate back.
func TestBareNode_GenCertif(t *testing.T) {
	n := newNode(t, programs(t), true)
	s := serve(t)
	made, err := s.Call(context.Background(), "token_create", "vnode", 1, 3600, []any{}, "", "plain-opsi")
	must(t, err)
	token := fmt.Sprint(made.(map[string]any)["token"])
	ca, err := os.ReadFile(s.CAFile())
	must(t, err)
	n.write("/etc/fernwerk/ca.pem", string(ca), 0o644)
	conf := []string{"URL=http://127.0.0.1:1/feed", "GEN_CERTIF=" + s.URL() + "/v1/gen_certif", "TUNNEL=192.0.2.1"}
	n.conf(conf...)
	gen := func(want int, says string, args ...string) {
		t.Helper()
		if out, code := n.run(append([]string{"/usr/local/sbin/gen_certif"}, args...)...); code != want || !strings.Contains(out, says) {
			t.Errorf("gen_certif %v ended with %d, want %d with %q:\n%s", args, code, want, says, out)
		}
	}
	exists := func(path string) bool { _, err := os.Stat(filepath.Join(n.root, path)); return err == nil }
	gen(1, "OpenVPN is not here", "vnode")
	if exists("/etc/openvpn") || exists("/var/lib/fernwerk-identity") {
		t.Error("something was written without the tunnel program")
	}
	must(t, os.MkdirAll(filepath.Join(n.root, "etc/openvpn"), 0o755))
	n.write("/usr/sbin/openvpn", "#!/bin/sh\n", 0o755)
	gen(2, "not a node type", "vnode;reboot")
	gen(1, "without a good token", "vnode")
	if exists("/etc/openvpn/client.key") {
		t.Error("a key was put in place without a certificate")
	}
	n.write("/etc/fernwerk/token", token+"\n", 0o600)
	gen(1, "the token is for vnode", "gpu")
	gen(0, "subject", "vnode")
	first := n.read("/etc/openvpn/client.crt")
	verify := func() string {
		t.Helper()
		out, code := n.run("/bin/openssl", "verify", "-CAfile", "/etc/openvpn/ca.crt", "-untrusted", "/etc/openvpn/client.crt", "/etc/openvpn/client.crt")
		if code != 0 {
			t.Error(out)
		}
		key, _ := n.run("/bin/openssl", "pkey", "-in", "/etc/openvpn/client.key", "-pubout")
		cert, _ := n.run("/bin/openssl", "x509", "-in", "/etc/openvpn/client.crt", "-noout", "-pubkey")
		if key != cert || !strings.Contains(key, "PUBLIC KEY") {
			t.Error("the certificate is not for the key")
		}
		subject, _ := n.run("/bin/openssl", "x509", "-in", "/etc/openvpn/client.crt", "-noout", "-subject")
		return subject
	}
	subject := verify()
	if !strings.Contains(subject, "client1.") || !strings.Contains(subject, "vnode") {
		t.Errorf("subject %s", subject)
	}
	if info, err := os.Stat(filepath.Join(n.root, "etc/openvpn/client.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	for _, line := range []string{"client", "dev tun", "proto tcp", "remote 192.0.2.1 4242", "data-ciphers AES-256-GCM:AES-128-GCM:CHACHA20-POLY1305", "ca ca.crt", "cert client.crt", "key client.key", "keepalive 10 60"} {
		if !strings.Contains("\n"+n.read("/etc/openvpn/vpns.conf"), "\n"+line+"\n") {
			t.Errorf("vpns.conf has no line %q", line)
		}
	}
	gen(0, "subject") // the token is used up: it asks nobody
	if n.read("/etc/openvpn/client.crt") != first {
		t.Error("called again, it has another certificate")
	}
	// A lost answer: the key is there, the certificate never came.
	identity := n.read("/var/lib/fernwerk-identity/identity.pem")
	key, _, _ := strings.Cut(identity, "-----BEGIN CERTIFICATE")
	must(t, os.Remove(filepath.Join(n.root, "var/lib/fernwerk-identity/identity.pem")))
	n.write("/var/lib/fernwerk-identity/next.key", key, 0o600)
	gen(0, "subject")
	if got := verify(); got != subject {
		t.Errorf("after a lost answer it is %s, not %s", got, subject)
	}
	// Renewal: the certificate has less than the wanted time.
	n.conf(append(conf, "GOOD_FOR=99999999")...)
	n.write("/etc/fernwerk/token", "", 0o600)
	gen(0, "subject")
	if t.Failed() {
		t.Log(site.Tail(s.Log, 30))
	}
	if got := verify(); got != subject || n.read("/etc/openvpn/client.crt") == first {
		t.Errorf("renewed, it is %s, not %s", got, subject)
	}
	rows, err := s.Rows(t.Context(), "host_getObjects", []any{}, map[string]any{"type": "OpsiClient"})
	if err != nil || len(rows) != 1 {
		t.Errorf("%d hosts, %v", len(rows), err)
	}
}
