package feeds_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/internal/ctl/feeds"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
)

// folder is where an administrator makes a feed.
type folder struct {
	t    *testing.T
	dir  string
	pass string
}

func newFolder(t *testing.T) *folder {
	f := &folder{t: t, dir: filepath.Join(t.TempDir(), "feed"), pass: filepath.Join(t.TempDir(), "pass")}
	f.write(f.pass, "correct horse\n")
	return f
}

func (f *folder) write(path, text string) {
	f.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func (f *folder) update(number, audience, more, body string) {
	f.write(filepath.Join(f.dir, "updates", number+"-x.sh"), "#!/bin/sh\n# fernwerk-update: 1\n# number: "+number+"\n# id: u"+number+"\n# title: T\n"+
		strings.ReplaceAll("# audience: AUDIENCE\n"+more, "AUDIENCE", audience)+"# timeout: 10m\n# on-failure: stop\n# on-interrupt: ask\n\n"+body+"\n")
}

func (f *folder) run(args ...string) (string, error) {
	f.t.Helper()
	var out bytes.Buffer
	t := tool.New(tool.System{In: strings.NewReader(""), Out: &out, Err: &out, Getenv: func(string) string { return "" }})
	c := feeds.Commands(t)[0]
	t.AddFlags(c)
	c.SilenceErrors, c.SilenceUsage = true, true
	c.SetArgs(args)
	err := c.ExecuteContext(f.t.Context())
	return out.String(), err
}

func (f *folder) must(args ...string) string {
	f.t.Helper()
	out, err := f.run(args...)
	if err != nil {
		f.t.Fatalf("%v: %v", args, err)
	}
	return out
}

func (f *folder) refuses(want string, args ...string) {
	f.t.Helper()
	if out, err := f.run(args...); err == nil || !strings.Contains(err.Error(), want) {
		f.t.Errorf("%v: %v, want %q (%s)", args, err, want, out)
	}
}

func TestFeed_RenderAndSign(t *testing.T) {
	f := newFolder(t)
	f.refuses("not a site", "init", f.dir, "--passphrase-file", f.pass)
	f.refuses("no terminal", "init", f.dir, "--site", "idhal")
	if _, err := os.Stat(f.dir); err == nil {
		t.Error("a refused init leaves a folder")
	}
	f.must("init", f.dir, "--site", "idhal", "--passphrase-file", f.pass)
	f.refuses("there is one", "init", f.dir, "--site", "idhal", "--passphrase-file", f.pass)
	if info, err := os.Stat(filepath.Join(f.dir, "feed.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	f.refuses("cannot read the updates", "render", f.dir, "--updates", filepath.Join(f.dir, "none"))
	f.update("000", "both", "", "echo first")
	f.update("001", "hosts", "", "echo 'for agents'")
	f.update("002", "both", "# after: 000\n", "cat <<'EOF'\n-x\nEOF")
	if out := f.must("render", f.dir); !strings.Contains(out, "serial 1 with updates 000, 002") {
		t.Error(out)
	}
	text, err := os.ReadFile(filepath.Join(f.dir, "feed.sh"))
	if err != nil || strings.Contains(string(text), "for agents") {
		t.Errorf("%v: an update of hosts is in the feed", err)
	}
	f.refuses("nothing is signed", "publish", f.dir)
	wrong := filepath.Join(f.dir, "wrong")
	f.write(wrong, "battery staple\n")
	f.refuses("passphrase is wrong", "sign", f.dir, "--passphrase-file", wrong)
	f.must("sign", f.dir, "--passphrase-file", f.pass)
	f.refuses("signed already", "sign", f.dir, "--passphrase-file", f.pass)
	f.refuses("signed already", "render", f.dir, "--serial", "1")
	if out := f.must("render", f.dir); !strings.Contains(out, "serial 2") {
		t.Error(out)
	}
	if out := f.must("publish", f.dir, "--dry-run"); !strings.Contains(out, "would publish serial 1") {
		t.Error(out)
	}
}

func TestFeed_RenderRefuses(t *testing.T) {
	for want, put := range map[string]func(*folder){
		"groups or node types": func(f *folder) {
			f.write(filepath.Join(f.dir, "updates", "003-x.sh"), "#!/bin/sh\n# fernwerk-update: 1\n# number: 003\n# id: u003\n# title: T\n# groups: branch\n# audience: feed\n# timeout: 10m\n# on-failure: stop\n# on-interrupt: ask\n\nx\n")
		},
		"#!/bin/bash": func(f *folder) {
			f.write(filepath.Join(f.dir, "updates", "003-x.sh"), "#!/bin/bash\n# fernwerk-update: 1\n# number: 003\n# id: u003\n# title: T\n# audience: feed\n# timeout: 10m\n# on-failure: stop\n# on-interrupt: ask\n\nx\n")
		},
		"cannot parse":    func(f *folder) { f.update("003", "feed", "", "echo )") },
		"arrays":          func(f *folder) { f.update("003", "feed", "", "a=(1 2)") },
		"ends in blanks":  func(f *folder) { f.update("003", "feed", "", "echo \necho") },
		"carriage return": func(f *folder) { f.update("003", "feed", "", "echo\r\necho") },
	} {
		f := newFolder(t)
		f.must("init", f.dir, "--site", "idhal", "--passphrase-file", f.pass)
		put(f)
		f.refuses(want, "render", f.dir)
	}
}

func TestFeed_NodeFiles(t *testing.T) {
	f := newFolder(t)
	f.must("node-files", f.dir)
	for name, mode := range map[string]os.FileMode{"fernwerk-feed": 0o755, "gen_certif": 0o755, "install.sh": 0o755, "feed.conf": 0o644, "fernwerk-feed.service": 0o644, "fernwerk-feed.cron": 0o644, "000-tunnel": 0o644} {
		if info, err := os.Stat(filepath.Join(f.dir, name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v %v", name, info, err)
		}
	}
	// The example is one that can be rendered.
	f.must("init", f.dir+"/mine", "--site", "idhal", "--passphrase-file", f.pass)
	text, err := os.ReadFile(filepath.Join(f.dir, "000-tunnel"))
	if err != nil {
		t.Fatal(err)
	}
	f.write(filepath.Join(f.dir, "mine", "updates", "000-tunnel"), string(text))
	if out := f.must("render", f.dir+"/mine"); !strings.Contains(out, "updates 000") {
		t.Error(out)
	}
}
