package nodefile

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/catalog"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/nodefile"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/postgres"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
	"github.com/fernwerk/fernwerk/test/require"
)

type site struct {
	*testing.T
	f       *Files
	svc     *methods.Service
	types   map[string]string // by host
	revoked map[string]bool
	claimed map[string]bool
	signed  map[string][]byte
	vault   map[string][]byte
}

func (x *site) Keep(_ *store.Tx, name string, plain []byte) error { x.vault[name] = plain; return nil }
func (x *site) Find(_ *store.Tx, name string) ([]byte, error)     { return x.vault[name], nil }
func (x *site) Forget(_ *store.Tx, name string) error             { delete(x.vault, name); return nil }

var admin = methods.Actor{Role: methods.Administrator, ID: "admin"}

const pc = "pc1.grid.test"

// both runs a test over both kinds of database.
func both(t *testing.T, test func(x *site)) {
	t.Run("sqlite", func(t *testing.T) {
		db, err := sqlite.Open(filepath.Join(t.TempDir(), "fleet.db"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		test(newSite(t, db))
	})
	t.Run("postgres", func(t *testing.T) {
		db, err := postgres.Open(t.Context(), require.Postgres(t))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		test(newSite(t, db))
	})
}

func newSite(t *testing.T, db *sqldb.DB) *site {
	t.Helper()
	s, err := store.Open(t.Context(), db, time.Now, append(Classes(), catalog.Classes()...)...)
	if err != nil {
		t.Fatal(err)
	}
	x := &site{T: t, types: map[string]string{pc: "vnode", "pc2.grid.test": "other"}, revoked: map[string]bool{}, claimed: map[string]bool{}, signed: map[string][]byte{}, vault: map[string][]byte{}}
	x.f = New(Config{Store: s, Vault: x, Every: time.Minute, Log: slog.New(slog.DiscardHandler),
		Identity: func(_ *store.Tx, id string) (string, bool, error) { return x.types[id], !x.revoked[id], nil },
		Claimed:  func(_ *store.Tx, id string) (bool, error) { return x.claimed[id], nil },
		Signed: func(_ *store.Tx, name string) ([]byte, error) {
			if text := x.signed[name]; text != nil {
				return text, nil
			}
			return nil, fleet.Errorf(fleet.NotFound, "not signed")
		}})
	x.svc = catalog.New(s, methods.Ports{NodeFiles: x.f})
	for id := range x.types {
		x.call("host_createOpsiClient", id)
	}
	x.call("nodeType_createObjects", fleet.Row{"type": "NodeType", "id": "vnode"})
	return x
}

func (x *site) call(method string, args ...any) any {
	x.Helper()
	v, err := x.svc.Call(x.Context(), admin, method, methods.Pos(args...))
	if err != nil {
		x.Fatalf("%s: %v", method, err)
	}
	return v
}

// give is node-file set.
func (x *site) give(path, content string) nodefile.File {
	x.Helper()
	f := nodefile.File{Path: path, Mode: 0o600, Owner: "root", Group: "root", Secret: true, Restart: []string{}}
	blob, err := f.Seal([]byte(content), bytes.Repeat([]byte{1}, nodefile.SaltSize))
	if err != nil {
		x.Fatal(err)
	}
	plain, err := methods.Plain(f, nil)
	if err != nil {
		x.Fatal(err)
	}
	x.call("nodeFile_set", "vnode", plain, base64.StdEncoding.EncodeToString(blob))
	return f
}

func (x *site) ask(host string, req nodefile.Request) nodefile.Answer {
	x.Helper()
	a, err := x.f.Ask(x.Context(), host, req)
	if err != nil {
		x.Fatal(err)
	}
	return a
}

func (x *site) has(host, sum string) bool {
	x.Helper()
	_, err := x.f.Blob(x.Context(), host, sum)
	if code := fleet.CodeOf(err); err != nil && code != fleet.Denied {
		x.Fatal(err)
	}
	return err == nil
}

// A content is kept, and given out, as long as a list of the type names it: the
// server's own, or the one that was signed.
func TestContents_LiveAsLongAsTheyAreNamed(t *testing.T) {
	both(t, func(x *site) {
		first := x.give("/etc/key", "one")
		if !x.has(pc, first.SHA256) || x.has("pc2.grid.test", first.SHA256) || x.has("pc3.grid.test", first.SHA256) {
			x.Error("who gets the first content")
		}
		x.signed[nodefile.Target("vnode")] = []byte(x.call("nodeFile_getList", "vnode").(string))
		second := x.give("/etc/key", "two")
		if !x.has(pc, first.SHA256) || !x.has(pc, second.SHA256) {
			x.Error("what is signed is not kept")
		}
		x.signed[nodefile.Target("vnode")] = []byte(x.call("nodeFile_getList", "vnode").(string))
		third := x.give("/etc/key", "three")
		if x.has(pc, first.SHA256) || !x.has(pc, second.SHA256) || len(x.vault) != 2 {
			x.Errorf("what no list names is kept: %d contents", len(x.vault))
		}
		x.signed = nil
		x.call("nodeFile_remove", "vnode", "/etc/key")
		if x.has(pc, second.SHA256) || x.has(pc, third.SHA256) || len(x.vault) != 0 {
			x.Errorf("%d contents are left", len(x.vault))
		}
		x.give("/etc/key", "four")
		x.revoked[pc] = true
		if x.has(pc, x.give("/etc/key", "five").SHA256) {
			x.Error("a revoked host was given a content")
		}
	})
}

func TestAsk_WhatIsNew(t *testing.T) {
	both(t, func(x *site) {
		if a := x.ask(pc, nodefile.Request{}); a.List != nil || !a.Tell || a.NodeType != "vnode" || a.Every != 60 {
			x.Errorf("before there is a list: %+v", a)
		}
		x.give("/etc/a", "a")
		a := x.ask(pc, nodefile.Request{Report: &nodefile.Report{Files: []nodefile.Status{}}})
		l, err := nodefile.Parse(a.List)
		if err != nil || len(l.Files) != 1 || a.Tell {
			x.Fatalf("%+v, %v", a, err)
		}
		holds := nodefile.Sum(a.List)
		if a := x.ask(pc, nodefile.Request{Holds: holds}); a.List != nil || a.Tell {
			x.Errorf("nothing is new: %+v", a)
		}
		if a := x.ask(pc, nodefile.Request{Signed: true}); a.List != nil {
			x.Errorf("one that believes signed lists only: %+v", a)
		}
		x.call("nodeFile_remove", "vnode", "/etc/a")
		if l, err := nodefile.Parse(x.ask(pc, nodefile.Request{Holds: holds}).List); err != nil || len(l.Files) != 0 {
			x.Errorf("what was taken away: %v, %v", l, err)
		}
		x.revoked[pc] = true
		if _, err := x.f.Ask(x.Context(), pc, nodefile.Request{}); fleet.CodeOf(err) != fleet.Denied {
			x.Error(err)
		}
	})
}

func TestReport_IsKeptAndNotedOnce(t *testing.T) {
	both(t, func(x *site) {
		f := x.give("/etc/a", "a")
		since := time.Date(2026, 11, 29, 20, 0, 0, 0, time.UTC)
		report := func(list, state, problem string) nodefile.Request {
			return nodefile.Request{Holds: list, Report: &nodefile.Report{List: list, Files: []nodefile.Status{{Path: "/etc/a", SHA256: f.SHA256, State: state, Problem: problem, Since: since}}}}
		}
		list := nodefile.Sum([]byte(x.call("nodeFile_getList", "vnode").(string)))
		for range 3 {
			x.ask(pc, report(list, nodefile.Waits, "there is no user munge here yet"))
		}
		x.ask(pc, report(list, nodefile.InPlace, ""))
		if n := strings.Count(fmt.Sprint(x.call("journal_getEntries", pc)), "/etc/a: "); n != 2 {
			x.Errorf("%d notes in the host's history, want 2", n)
		}
		status := x.call("nodeFile_getStatus").([]any)
		if len(status) != 1 || status[0].(map[string]any)["current"] != true || !strings.Contains(fmt.Sprint(status), nodefile.InPlace) {
			x.Errorf("%v", status)
		}
		x.give("/etc/b", "b")
		if status := x.call("nodeFile_getStatus", "vnode").([]any); status[0].(map[string]any)["current"] != false {
			x.Errorf("one that follows an older list: %v", status)
		}
		for name, bad := range map[string]nodefile.Report{
			"state": {Files: []nodefile.Status{{Path: "/etc/a", SHA256: f.SHA256, State: "splendid"}}},
			"path":  {Files: []nodefile.Status{{Path: "/etc/../a", SHA256: f.SHA256, State: nodefile.Left}}},
			"list":  {List: "zz"},
			"long":  {Problem: strings.Repeat("x", 10_000)},
			"lines": {Files: []nodefile.Status{{Path: "/etc/a", SHA256: f.SHA256, State: nodefile.Failed, Problem: "x\n/etc/b: in place"}}},
			"zero":  {Problem: "x\x00"},
			"many":  {Files: make([]nodefile.Status, 1000)},
		} {
			if _, err := x.f.Ask(x.Context(), pc, nodefile.Request{Report: &bad}); fleet.CodeOf(err) != fleet.Invalid {
				x.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestHostKeys_ChangesAreSaid(t *testing.T) {
	both(t, func(x *site) {
		const one, two = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDO9GgYnOfHgRKyMkoFMNIbXqOQCfWn5pOkMh3sVMJKV", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDO9GgYnOfHgRKyMkoFMNIbXqOQCfWn5pOkMh3sVMJKW"
		keys := func() map[string]any {
			all := x.call("nodeFile_getHostKeys").([]any)
			if len(all) == 0 {
				return nil
			}
			return all[0].(map[string]any)
		}
		x.ask(pc, nodefile.Request{HostKeys: []string{one}})
		x.ask(pc, nodefile.Request{HostKeys: []string{one}})
		if k := keys(); k["changed"] != "" || fmt.Sprint(k["keys"]) != "["+one+"]" {
			x.Errorf("%v", k)
		}
		x.ask(pc, nodefile.Request{HostKeys: []string{two}})
		if k := keys(); k["changed"] == "" || fmt.Sprint(k["keys"]) != "["+two+"]" {
			x.Errorf("%v", k)
		}
		if text := fmt.Sprint(x.call("journal_getEntries", pc)); strings.Count(text, "ssh key changed") != 1 {
			x.Error(text)
		}
		for _, bad := range [][]string{{"nonsense"}, {one, two}, {one + "\nevil " + one}, make([]string, nodefile.MaxHostKeys+1)} {
			if _, err := x.f.Ask(x.Context(), pc, nodefile.Request{HostKeys: bad}); err == nil {
				x.Errorf("%.50q was taken", bad)
			}
		}
		x.revoked[pc] = true
		if k := keys(); k != nil {
			x.Errorf("a revoked host: %v", k)
		}
	})
}

func TestSet_Refuses(t *testing.T) {
	both(t, func(x *site) {
		f := nodefile.File{Path: "/etc/a", Mode: 0o600, Owner: "root", Group: "root"}
		blob, err := f.Seal([]byte("x"), nil)
		if err != nil {
			x.Fatal(err)
		}
		try := func(kind string, change func(m map[string]any), blob []byte) error {
			plain, err := methods.Plain(f, nil)
			if err != nil {
				x.Fatal(err)
			}
			change(plain.(map[string]any))
			_, err = x.svc.Call(x.Context(), admin, "nodeFile_set", methods.Pos(kind, plain, base64.StdEncoding.EncodeToString(blob)))
			return err
		}
		none := func(map[string]any) {}
		for name, err := range map[string]error{
			"no type":       try("nothing", none, blob),
			"other content": try("vnode", none, []byte("y")),
			"forbidden":     try("vnode", func(m map[string]any) { m["path"] = "/etc/shadow" }, blob),
			"setuid":        try("vnode", func(m map[string]any) { m["mode"] = "4755" }, blob),
			"unknown key":   try("vnode", func(m map[string]any) { m["run"] = "sh" }, blob),
			"oversize":      try("vnode", none, make([]byte, nodefile.MaxBlob+1)),
		} {
			if err == nil {
				x.Errorf("%s was taken", name)
			}
		}
		if l := x.call("nodeFile_getObjects").([]any); len(l) != 0 || len(x.vault) != 0 {
			x.Errorf("something stays: %v", l)
		}
		if err := try("vnode", none, blob); err != nil {
			x.Error(err)
		}
	})
}

// A host whose id is another node's name does not get its keys among those of that name:
// ssh would take either.
func TestHostKeys_AnothersName(t *testing.T) {
	both(t, func(x *site) {
		const one, two = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDO9GgYnOfHgRKyMkoFMNIbXqOQCfWn5pOkMh3sVMJKV", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDO9GgYnOfHgRKyMkoFMNIbXqOQCfWn5pOkMh3sVMJKW"
		const liar = "vnode-0-2.grid.test"
		x.types[liar] = "vnode"
		x.call("host_createOpsiClient", liar)
		x.f.Names = func(*store.Tx) (map[string][]string, error) {
			return map[string][]string{pc: {liar, "10.134.0.2"}, liar: {"vnode-0-3.grid.test", "10.134.0.3"}}, nil
		}
		x.ask(pc, nodefile.Request{HostKeys: []string{one}})
		x.ask(liar, nodefile.Request{HostKeys: []string{two}})
		want := map[string]string{pc: "[" + liar + " 10.134.0.2 " + pc + "]", liar: "[vnode-0-3.grid.test 10.134.0.3]"}
		for _, one := range x.call("nodeFile_getHostKeys").([]any) {
			h := one.(map[string]any)
			if got := fmt.Sprint(h["names"]); got != want[h["hostId"].(string)] {
				x.Errorf("%v has the names %s", h["hostId"], got)
			}
		}
	})
}
