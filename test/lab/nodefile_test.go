package lab_test

import (
	"bytes"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/internal/agent/identity"
	"github.com/fernwerk/fernwerk/internal/ctl"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/fleet/nodefile"
	"github.com/fernwerk/fernwerk/test/lab"
)

// filed are nodes of two types, each with a root of its own.
type filed struct {
	*lab.Lab
	t         *testing.T
	me, group string
}

func newFiled(t *testing.T) *filed {
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	g, err := user.LookupGroupId(u.Gid)
	if err != nil {
		t.Fatal(err)
	}
	f := &filed{lab.New(t), t, u.Username, g.Name}
	for i, name := range []string{"vnode", "other"} {
		f.Call("nodeType_createObjects", fleet.Row{"type": "NodeType", "id": name, "addressRange": fmt.Sprintf("10.13%d.0.0/16", i), "domain": "grid.test"})
	}
	return f
}

// node is a machine that joined as a node, with the folder that its files are in.
func (f *filed) node(nodeType string, root *enrol.Root) (pc *lab.Host, at string) {
	f.t.Helper()
	policy := string(enrol.PlainOpsi)
	if root != nil {
		policy = string(enrol.Offline)
	}
	token := f.Call("token_create", nodeType, int64(1), int64(3600), []any{}, "", policy).(map[string]any)["token"].(string)
	pc = f.JoinedByToken(token)
	at = f.t.TempDir()
	for _, dir := range []string{"etc", "etc/ssh"} {
		if err := os.Mkdir(filepath.Join(at, dir), 0o755); err != nil {
			f.t.Fatal(err)
		}
	}
	f.put(at, "etc/ssh/ssh_host_ed25519_key.pub", firstKey+" root@"+pc.ID+"\n")
	pc.Configure("[event_timer]\nstart_interval = 86400\ninterval = 86400\n[files]\nroot = " + at + "\nrestart = /bin/sh -c exit\n")
	return pc, at
}

const (
	firstKey  = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDO9GgYnOfHgRKyMkoFMNIbXqOQCfWn5pOkMh3sVMJKV"
	secondKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDO9GgYnOfHgRKyMkoFMNIbXqOQCfWn5pOkMh3sVMJKW"
)

func (f *filed) put(dir, name, text string) string {
	f.t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		f.t.Fatal(err)
	}
	return path
}

// tool runs the administrator's program; its error is given back.
func (f *filed) tool(args ...string) (out, remarks string, err error) {
	f.t.Helper()
	var o, e bytes.Buffer
	user, password := f.Login()
	env := map[string]string{"FERNWERK_SERVER": f.Server.URL(), "FERNWERK_USER": user, "FERNWERK_PASSWORD": password,
		"FERNWERK_CA": f.put(f.t.TempDir(), "ca.pem", string(f.Server.Authority())), "HOME": f.t.TempDir()}
	err = ctl.Run(f.t.Context(), tool.System{In: strings.NewReader(""), Out: &o, Err: &e, Getenv: func(name string) string { return env[name] }, Version: "lab"}, args)
	return o.String(), e.String(), err
}

func (f *filed) ok(args ...string) string {
	f.t.Helper()
	out, remarks, err := f.tool(args...)
	if err != nil {
		f.t.Fatalf("%v: %v\n%s%s", args, err, out, remarks)
	}
	return out
}

func (f *filed) read(dir, name string) string {
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil && !os.IsNotExist(err) {
		f.t.Fatal(err)
	}
	return string(data)
}

// asks has the agent ask until something is so.
func (f *filed) asks(pc *lab.Host, what string, cond func() bool) {
	f.t.Helper()
	lab.Await(f.t, what, func() bool {
		pc.ControlCall("agent_filesNow")
		return cond()
	})
}

func TestNodeFiles(t *testing.T) {
	t.Parallel()
	f := newFiled(t)
	const secret = "the munge key of the lab, which nobody else reads"
	here := t.TempDir()
	f.ok("node-file", "set", "vnode", "/etc/munge.key", "--from", f.put(here, "munge.key", secret), "--secret", "--owner", f.me, "--group", f.group, "--restart", "munge.service")
	f.ok("node-file", "add", "vnode", "/etc/slurm/slurm.conf", "--from", f.put(here, "slurm.conf", "ClusterName=lab\n"), "--owner", f.me, "--group", f.group)
	pc, at := f.node("vnode", nil)
	pc.Start()
	foreign, foreignAt := f.node("other", nil)
	foreign.Start()

	f.Run("files_come_a_moment_after_the_start", func(t *testing.T) {
		lab.Await(t, "the files are there", func() bool {
			return f.read(at, "etc/munge.key") == secret && f.read(at, "etc/slurm/slurm.conf") == "ClusterName=lab\n"
		})
		lab.Await(t, "the server hears of it", func() bool {
			out := f.ok("node-file", "status", "vnode")
			return strings.Count(out, "in place") == 2
		})
		if out := f.ok("node-file", "list", "vnode"); !strings.Contains(out, "secret") || !strings.Contains(out, "munge") || strings.Contains(out, secret) {
			t.Error(out)
		}
		equal(t, "status of the other", f.ok("node-file", "status", "other"), "")
		if entries, err := os.ReadDir(filepath.Join(foreignAt, "etc")); err != nil || len(entries) != 1 {
			t.Errorf("a node of another type got files: %v, %v", entries, err)
		}
	})
	f.Run("a_secret_is_for_nodes_of_the_type", func(t *testing.T) {
		l, err := nodefile.Parse([]byte(f.Call("nodeFile_getList", "vnode").(string)))
		if err != nil {
			t.Fatal(err)
		}
		key, _ := l.Find("/etc/munge.key")
		ask := func(pc *lab.Host, sum string) (nodefile.BlobAnswer, error) {
			var got nodefile.BlobAnswer
			err := identity.Machine{DataDir: pc.Dir}.Ask(t.Context(), nodefile.BlobPath, nodefile.BlobRequest{SHA256: sum}, &got)
			return got, err
		}
		if got, err := ask(foreign, key.SHA256); fleet.CodeOf(err) != fleet.Denied || got.Blob != nil {
			t.Errorf("a host of another type: %q, %v", got.Blob, err)
		}
		if got, err := ask(pc, strings.Repeat("0", 64)); fleet.CodeOf(err) != fleet.Denied {
			t.Errorf("a digest that no list has: %q, %v", got.Blob, err)
		}
		if got, err := ask(pc, key.SHA256); err != nil || !bytes.HasSuffix(got.Blob, []byte(secret)) {
			t.Errorf("its own: %q, %v", got.Blob, err)
		}
		filepath.WalkDir(f.Server.Dir, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				if data, err := os.ReadFile(path); err == nil && bytes.Contains(data, []byte(secret)) {
					t.Errorf("the secret lies open in %s", path)
				}
			}
			return nil
		})
		if strings.Contains(f.Log.String(), secret) {
			t.Error("the secret is in a log")
		}
		if entries := fmt.Sprint(f.Call("journal_getEntries", pc.ID)); strings.Contains(entries, secret) || !strings.Contains(entries, "/etc/munge.key: in place") {
			t.Errorf("the host's history: %s", entries)
		}
	})
	f.Run("host_keys_come_back", func(t *testing.T) {
		line := pc.ID + " " + firstKey + "\n"
		lab.Await(t, "the keys are there", func() bool { return strings.Contains(f.ok("known-hosts", "--node-type", "vnode"), line) })
		f.put(at, "etc/ssh/ssh_host_ed25519_key.pub", secondKey+"\n")
		f.asks(pc, "another key is there", func() bool { return strings.Contains(f.ok("known-hosts"), pc.ID+" "+secondKey) })
		if _, remarks, err := f.tool("known-hosts"); err != nil || !strings.Contains(remarks, "took the place of another") {
			t.Error(remarks, err)
		}
		if entries := fmt.Sprint(f.Call("journal_getEntries", pc.ID)); !strings.Contains(entries, "ssh key changed") {
			t.Error(entries)
		}
	})
	f.Run("what_is_taken_back_goes", func(t *testing.T) {
		f.ok("node-file", "remove", "vnode", "/etc/munge.key", "--yes")
		f.asks(pc, "the file is gone", func() bool { return f.read(at, "etc/munge.key") == "" })
		if _, _, err := f.tool("node-file", "show", "vnode", "/etc/munge.key"); fleet.CodeOf(err) != fleet.NotFound {
			t.Error(err)
		}
	})
	f.Run("who_is_revoked_gets_nothing_and_is_not_listed", func(t *testing.T) {
		f.Call("host_revoke", pc.ID, "lost")
		if out := f.ok("known-hosts", "--node-type", "vnode"); strings.Contains(out, pc.ID) {
			t.Error(out)
		}
		var got nodefile.Answer
		if err := (identity.Machine{DataDir: pc.Dir}).Ask(t.Context(), nodefile.AskPath, nodefile.Request{}, &got); err == nil {
			t.Errorf("a revoked host was answered: %+v", got)
		}
	})
}

// What is refused before anything is changed.
func TestNodeFiles_Refusals(t *testing.T) {
	t.Parallel()
	f := newFiled(t)
	here := t.TempDir()
	content := f.put(here, "content", "x\n")
	for name, try := range map[string]struct {
		args []string
		says string
	}{
		"traversal":      {[]string{"node-file", "set", "vnode", "/etc/../shadow", "--from", content}, "no absolute path"},
		"accounts":       {[]string{"node-file", "set", "vnode", "/etc/shadow", "--from", content}, "no file of a node"},
		"setuid":         {[]string{"node-file", "set", "vnode", "/usr/bin/x", "--from", content, "--mode", "4755"}, "4755"},
		"open secret":    {[]string{"node-file", "set", "vnode", "/etc/x", "--from", content, "--secret", "--mode", "0644"}, "everybody"},
		"an option":      {[]string{"node-file", "set", "vnode", "/etc/x", "--from", content, "--restart=--now"}, "no name of a service"},
		"no type":        {[]string{"node-file", "set", "nothing", "/etc/x", "--from", content}, "no such node type"},
		"no content":     {[]string{"node-file", "set", "vnode", "/etc/x"}, "--from"},
		"oversize":       {[]string{"node-file", "set", "vnode", "/etc/x", "--from", f.put(here, "big", strings.Repeat("x", nodefile.MaxSize+1))}, "at most"},
		"no key":         {[]string{"root-key", "set", "vnode", "--from", content}, "line 1"},
		"a command":      {[]string{"root-key", "set", "vnode", "--from", f.put(here, "command", `command="sh" `+firstKey+"\n")}, "stands before a key"},
		"nothing signed": {[]string{"node-file", "sign", "vnode", "--trust", filepath.Join(here, "none"), "--yes"}, "trust"},
		"no type, dry":   {[]string{"node-file", "set", "nothing", "/etc/x", "--from", content, "--dry-run"}, "no such node type"},
		"unknown, dry":   {[]string{"node-file", "remove", "vnode", "/etc/x", "--dry-run"}, "not in the list"},
		"unknown file":   {[]string{"node-file", "remove", "vnode", "/etc/x", "--yes"}, "not in the list"},
	} {
		if out, remarks, err := f.tool(try.args...); err == nil || !strings.Contains(err.Error()+out+remarks, try.says) {
			t.Errorf("%s: %v, %s%s", name, err, out, remarks)
		}
	}
	if out := f.ok("node-file", "list"); out != "" {
		t.Error(out)
	}
	f.ok("root-key", "set", "vnode", "--from", f.put(here, "key", firstKey+" me"), "--dry-run")
	equal(t, "after a dry run", f.ok("node-file", "list"), "")
}

// Somebody has the server and its keys. On a host of the policy offline no file
// changes that was not signed offline.
func TestNodeFiles_ServerTakenOver(t *testing.T) {
	t.Parallel()
	f := newFiled(t)
	signer := f.Signer()
	here := t.TempDir()
	set := func(path, text string) {
		t.Helper()
		f.ok("node-file", "set", "vnode", path, "--from", f.put(here, "content", text), "--owner", f.me, "--group", f.group, "--mode", "0600")
	}
	sign := func() {
		t.Helper()
		signer.Add(nodefile.Target("vnode"), []byte(f.Call("nodeFile_getList", "vnode").(string)))
		signer.Publish()
	}
	set("/etc/keys", "good\n")
	root := signer.Root()
	pc, at := f.node("vnode", &root)
	pc.Start()
	files := func() (s struct {
		Problem string
		Signed  bool
		List    string
	}) {
		m := pc.ControlCall("agent_files").(map[string]any)
		s.Problem, _ = m["problem"].(string)
		s.Signed, _ = m["signed"].(bool)
		s.List, _ = m["list"].(string)
		return s
	}
	lab.Await(t, "the agent asked", func() bool { return files().List != "" })
	if f.read(at, "etc/keys") != "" || !files().Signed {
		t.Fatal("a list that nobody signed was followed")
	}
	unsigned := files().List
	sign()
	f.asks(pc, "what was signed is there", func() bool { return f.read(at, "etc/keys") == "good\n" && files().List != unsigned })
	if out := f.ok("node-file", "list", "vnode"); !strings.Contains(out, "yes") {
		t.Error(out)
	}

	before := files().List
	set("/etc/keys", "evil\n")
	set("/etc/cron", "evil\n")
	if out := f.ok("node-file", "list", "vnode"); !strings.Contains(out, "other") || !strings.Contains(out, "no") {
		t.Error(out)
	}
	f.put(at, "etc/keys", "changed\n") // so that it is seen that it asked, and followed what was signed
	f.asks(pc, "what was signed is put right", func() bool { return f.read(at, "etc/keys") == "good\n" })
	if f.read(at, "etc/cron") != "" || files().List != before {
		t.Error("the server's list was followed")
	}
	if err := os.Remove(filepath.Join(at, "etc/keys")); err != nil {
		t.Fatal(err)
	}
	os.Symlink("cron", filepath.Join(at, "etc/keys")) // nor does a link lead elsewhere
	f.asks(pc, "the link is refused", func() bool {
		return strings.Contains(f.ok("node-file", "status", "vnode"), "refused") && f.read(at, "etc/cron") == ""
	})
	os.Remove(filepath.Join(at, "etc/keys"))
	sign()
	f.asks(pc, "what is signed now is there", func() bool { return f.read(at, "etc/keys") == "evil\n" })
}

// A machine that says itself of which type it is gets the files that anybody may read,
// and no secret: whoever may join at all could have it else.
func TestNodeFiles_AClaimedType(t *testing.T) {
	t.Parallel()
	f := newFiled(t)
	secret := f.put(t.TempDir(), "key", "the cluster's key")
	f.ok("node-file", "set", "vnode", "/etc/munge.key", "--from", secret, "--secret", "--owner", f.me, "--group", f.group)
	f.ok("node-file", "set", "vnode", "/etc/open", "--from", secret, "--owner", f.me, "--group", f.group)
	text := f.ok("node-file", "show", "vnode")
	l, err := nodefile.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	joined := func(approve bool) identity.Machine {
		token := f.Call("token_create", "", int64(1), int64(3600), []any{}, "", string(enrol.PlainOpsi), approve).(map[string]any)["token"].(string)
		dir := filepath.Join(t.TempDir(), "agent")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		_, err := identity.JoinByToken(t.Context(), dir, identity.TokenRequest{Token: token, NodeType: "vnode", Machine: enrol.Machine{Hostname: fmt.Sprint("m", approve)}, Waiting: func(number string) { f.Call("host_approve", number) }})
		if err != nil {
			t.Fatal(err)
		}
		return identity.Machine{DataDir: dir}
	}
	for _, approved := range []bool{false, true} {
		m := joined(approved)
		for _, file := range l.Files {
			var got nodefile.BlobAnswer
			err := m.Ask(t.Context(), nodefile.BlobPath, nodefile.BlobRequest{SHA256: file.SHA256}, &got)
			if want := approved || !file.Secret; (err == nil) != want || !want && fleet.CodeOf(err) != fleet.Denied {
				t.Errorf("approved %v, %s: %v", approved, file.Path, err)
			}
		}
	}
}
