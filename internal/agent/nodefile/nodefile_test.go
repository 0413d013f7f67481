package nodefile

import (
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/fleet/nodefile"
)

// bench is a machine, with a server that does as it is told.
type bench struct {
	t      *testing.T
	root   string
	s      *Service
	me, us string // owner and group

	list    *nodefile.List
	blobs   map[string][]byte
	away    bool // the server
	refuses error
	asked   []nodefile.Request

	signed  []byte // the list that was signed; nil for none
	believe bool
	policy  enrol.Policy

	restarted []string
	unit      error
}

func newBench(t *testing.T) *bench {
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	g, err := user.LookupGroupId(u.Gid)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, root: t.TempDir(), me: u.Username, us: g.Name, list: &nodefile.List{NodeType: "vnode"}, blobs: map[string][]byte{}, policy: enrol.PlainOpsi, believe: true}
	b.folder("etc")
	b.folder("etc/ssh")
	b.start()
	return b
}

// start makes the service, as after a restart of the agent.
func (b *bench) start() {
	b.t.Helper()
	s, err := New(Config{State: filepath.Join(b.t.TempDir(), "files.json"), Root: b.root, Own: []string{"/etc/agent.conf", "/srv/agent"}, Ask: b.ask, Trust: b,
		Who:     func() (string, enrol.Policy, error) { return "vnode", b.policy, nil },
		Restart: func(_ context.Context, unit string) error { b.restarted = append(b.restarted, unit); return b.unit },
		Log:     slog.New(slog.DiscardHandler), Now: time.Now, Addresses: func() ([]net.Addr, error) { return nil, nil }})
	if err != nil {
		b.t.Fatal(err)
	}
	if b.s != nil {
		s.State = b.s.State
		if err := s.load(); err != nil {
			b.t.Fatal(err)
		}
	}
	b.s = s
}

func (b *bench) ask(_ context.Context, path string, in, out any) error {
	if b.away {
		return fleet.Errorf(fleet.Unavailable, "the server does not answer")
	}
	if path == nodefile.BlobPath {
		blob, ok := b.blobs[in.(nodefile.BlobRequest).SHA256]
		if b.refuses != nil || !ok {
			return errors.Join(b.refuses, fleet.Errorf(fleet.NotFound, "no such content"))
		}
		out.(*nodefile.BlobAnswer).Blob = blob
		return nil
	}
	req := in.(nodefile.Request)
	if req.Report != nil {
		if err := req.Report.Check(); err != nil {
			return err
		}
	}
	b.asked = append(b.asked, req)
	text, err := b.list.Bytes()
	if err != nil {
		return err
	}
	a := out.(*nodefile.Answer)
	a.NodeType, a.Every = "vnode", 300
	if nodefile.Sum(text) != req.Holds { // whatever it believes
		a.List = text
	}
	return nil
}

// Refresh implements [Trust].
func (b *bench) Refresh(context.Context) error { return nil }

// Digest implements [Trust].
func (b *bench) Digest(string) (sum [32]byte, ok bool) {
	if b.signed == nil || !b.believe {
		return sum, false
	}
	return sha256.Sum256(b.signed), true
}

// Content implements [Trust].
func (b *bench) Content(context.Context, string) ([]byte, error) {
	switch {
	case !b.believe:
		return nil, fleet.Errorf(fleet.Denied, "no trust root")
	case b.signed == nil:
		return nil, fleet.Errorf(fleet.NotFound, "not in the list")
	}
	return b.signed, nil
}

// give has the server give a file.
func (b *bench) give(path, content string, change ...func(*nodefile.File)) nodefile.File {
	b.t.Helper()
	f := nodefile.File{Path: path, Mode: 0o600, Owner: b.me, Group: b.us}
	for _, c := range change {
		c(&f)
	}
	blob, err := f.Seal([]byte(content), []byte(strings.Repeat("s", nodefile.SaltSize)))
	if err != nil {
		b.t.Fatal(err)
	}
	b.list, b.blobs[f.SHA256] = b.list.With(f), blob
	return f
}

func block(f *nodefile.File)  { f.Block = true }
func secret(f *nodefile.File) { f.Secret = true }
func restart(units ...string) func(*nodefile.File) {
	return func(f *nodefile.File) { f.Restart = units }
}

func (b *bench) round() {
	b.t.Helper()
	if err := b.s.Round(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) folder(path string) {
	b.t.Helper()
	if err := os.Mkdir(filepath.Join(b.root, path), 0o755); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) write(path, text string) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.root, path), []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) read(path string) string {
	data, err := os.ReadFile(filepath.Join(b.root, path))
	if errors.Is(err, fs.ErrNotExist) {
		return "-"
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return string(data)
}

// wants checks a file's state.
func (b *bench) wants(path, state, problem string) nodefile.Status {
	b.t.Helper()
	st, err := b.s.Status()
	if err != nil {
		b.t.Fatal(err)
	}
	for _, f := range st.Files {
		if f.Path != path {
			continue
		}
		if f.State != state || !strings.Contains(f.Problem, problem) || problem == "" && f.Problem != "" {
			b.t.Errorf("%s is %q (%s), want %q (%s)", path, f.State, f.Problem, state, problem)
		}
		return f
	}
	b.t.Errorf("nothing is said of %s, want %q", path, state)
	return nodefile.Status{}
}

func TestRound_FilesComeAreKeptRightAndGo(t *testing.T) {
	b := newBench(t)
	b.give("/etc/munge/munge.key", "key", secret, restart("munge"))
	b.give("/etc/slurm.conf", "ClusterName=lab\n", restart("munge", "slurmd"), func(f *nodefile.File) { f.Mode = 0o644 })
	b.round()
	if b.read("etc/munge/munge.key") != "key" || b.read("etc/slurm.conf") != "ClusterName=lab\n" {
		t.Fatal("the files are not there")
	}
	for path, mode := range map[string]fs.FileMode{"etc/munge": 0o700, "etc/munge/munge.key": 0o600, "etc/slurm.conf": 0o644} {
		if info, err := os.Stat(filepath.Join(b.root, path)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v, want %v", path, info.Mode(), err, mode)
		}
	}
	if !slices.Equal(b.restarted, []string{"munge", "slurmd"}) {
		t.Errorf("restarted %v", b.restarted)
	}
	if last := b.asked[len(b.asked)-1]; last.Report == nil || len(last.Report.Files) != 2 {
		t.Errorf("told %+v", last)
	}

	// Nothing new: one question, nothing told, nothing fetched.
	b.asked, b.restarted, b.refuses = nil, nil, errors.New("nothing is to be fetched")
	b.round()
	if len(b.asked) != 1 || b.asked[0].Report != nil || b.asked[0].HostKeys != nil || b.restarted != nil {
		t.Errorf("asked %+v, restarted %v", b.asked, b.restarted)
	}
	b.start() // an agent that starts again tells once
	b.asked = nil
	b.round()
	if len(b.asked) != 1 || b.asked[0].Report == nil {
		t.Errorf("asked %+v", b.asked)
	}

	// A change that is made here is put right, and told.
	b.refuses = nil
	b.write("etc/slurm.conf", "ClusterName=mine\n")
	os.Chmod(filepath.Join(b.root, "etc/munge/munge.key"), 0o640)
	b.round()
	if b.read("etc/slurm.conf") != "ClusterName=lab\n" || b.wants("/etc/slurm.conf", nodefile.InPlace, "").Repaired.IsZero() {
		t.Error("a local change stays, or is not told")
	}
	if info, _ := os.Stat(filepath.Join(b.root, "etc/munge/munge.key")); info.Mode().Perm() != 0o600 || b.wants("/etc/munge/munge.key", nodefile.InPlace, "").Repaired.IsZero() {
		t.Error("a changed mode stays, or is not told")
	}

	// Removed: what was written goes, what was changed stays.
	b.list = b.list.Without("/etc/munge/munge.key").Without("/etc/slurm.conf")
	b.write("etc/slurm.conf", "ClusterName=mine\n")
	b.restarted = nil
	b.round()
	if b.read("etc/munge/munge.key") != "-" || b.read("etc/slurm.conf") != "ClusterName=mine\n" {
		t.Error("removal")
	}
	b.wants("/etc/munge/munge.key", nodefile.Removed, "")
	b.wants("/etc/slurm.conf", nodefile.Left, "changed here")
	if !slices.Equal(b.restarted, []string{"munge"}) {
		t.Errorf("restarted %v", b.restarted)
	}
	b.round()
	if st, _ := b.s.Status(); len(st.Files) != 1 {
		t.Errorf("what was removed and told is still known: %+v", st.Files)
	}
}

// A machine that joined as no node has no files, and asks for none.
func TestRound_NoNodeAsksNobody(t *testing.T) {
	b := newBench(t)
	b.s.Who = func() (string, enrol.Policy, error) { return "", enrol.PlainOpsi, nil }
	b.round()
	if len(b.asked) > 0 {
		t.Errorf("asked %+v", b.asked)
	}
	b.s.Who = func() (string, enrol.Policy, error) { return "vnode", enrol.PlainOpsi, nil }
	if b.round(); len(b.asked) == 0 {
		t.Error("a node asks nobody")
	}
}

func TestRound_FileOfSomebodyElseIsNotRemoved(t *testing.T) {
	b := newBench(t)
	b.write("etc/motd", "hello\n")
	b.give("/etc/motd", "hello\n")
	b.round()
	b.wants("/etc/motd", nodefile.InPlace, "")
	b.list = b.list.Without("/etc/motd")
	b.round()
	if b.read("etc/motd") != "hello\n" {
		t.Error("a file that the agent did not write was removed")
	}
}

func TestRound_BlockKeepsTheRest(t *testing.T) {
	b := newBench(t)
	b.folder("root")
	os.Mkdir(filepath.Join(b.root, "root/.ssh"), 0o700)
	b.write("root/.ssh/authorized_keys", "ssh-rsa mine\nno end")
	b.give("/root/.ssh/authorized_keys", "ssh-rsa hub\n", block)
	b.round()
	text := b.read("root/.ssh/authorized_keys")
	if !strings.HasPrefix(text, "ssh-rsa mine\nno end\n") || !strings.Contains(text, "\nssh-rsa hub\n") {
		t.Fatalf("%q", text)
	}
	b.write("root/.ssh/authorized_keys", text+"ssh-rsa later\n")
	b.give("/root/.ssh/authorized_keys", "ssh-rsa hub2\n", block)
	b.round()
	if now := b.read("root/.ssh/authorized_keys"); now != strings.Replace(text, "hub", "hub2", 1)+"ssh-rsa later\n" {
		t.Fatalf("%q", now)
	}
	if !b.wants("/root/.ssh/authorized_keys", nodefile.InPlace, "").Repaired.IsZero() {
		t.Error("what others wrote beside the block was taken for a change of it")
	}
	b.list = b.list.Without("/root/.ssh/authorized_keys")
	b.round()
	if now := b.read("root/.ssh/authorized_keys"); now != "ssh-rsa mine\nno end\nssh-rsa later\n" {
		t.Fatalf("%q", now)
	}

	// Marks that are no pair are a person's to put right.
	b.write("root/.ssh/authorized_keys", "# fernwerk end\nx\n")
	b.give("/root/.ssh/authorized_keys", "ssh-rsa hub\n", block)
	b.round()
	b.wants("/root/.ssh/authorized_keys", nodefile.Refused, "marks")
	if now := b.read("root/.ssh/authorized_keys"); now != "# fernwerk end\nx\n" {
		t.Errorf("%q", now)
	}
	// A file that was made for the block goes with it.
	b.give("/etc/keys", "k\n", block)
	b.round()
	b.list = b.list.Without("/etc/keys")
	b.round()
	if b.read("etc/keys") != "-" {
		t.Error("an empty file stays")
	}
}

// Links and folders that others write in are no way to another place.
func TestRound_PlantedPlacesAreRefused(t *testing.T) {
	b := newBench(t)
	outside := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(outside, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	at := func(p string) string { return filepath.Join(b.root, p) }
	b.folder("real")
	os.Symlink(outside, at("etc/file"))
	os.Symlink("real", at("etc/inside"))
	os.Symlink("../real", at("etc/folder"))
	b.folder("open")
	os.Chmod(at("open"), 0o777)
	os.Mkdir(at("etc/adir"), 0o755)
	os.Link(outside, at("etc/hard"))
	b.give("/etc/file", "x\n")
	b.give("/etc/inside", "x\n", block)
	b.give("/etc/folder/x", "x\n")
	b.give("/open/x", "x\n")
	b.give("/etc/adir", "x\n")
	b.give("/etc/hard", "x\n", block)
	b.give("/srv/agent/identity.json", "x\n")
	b.give("/etc/agent.conf", "x\n")
	b.round()
	b.wants("/etc/file", nodefile.Refused, "link")
	b.wants("/etc/inside", nodefile.Refused, "link")
	b.wants("/etc/folder/x", nodefile.Refused, "link")
	b.wants("/open/x", nodefile.Refused, "others may write")
	b.wants("/etc/adir", nodefile.Refused, "no file")
	b.wants("/etc/hard", nodefile.Refused, "several names")
	b.wants("/srv/agent/identity.json", nodefile.Refused, "the agent's")
	b.wants("/etc/agent.conf", nodefile.Refused, "the agent's")
	if data, _ := os.ReadFile(outside); string(data) != "precious" {
		t.Errorf("%q", data)
	}
	if left, _ := os.ReadDir(at("real")); len(left) > 0 {
		t.Error("something was written through a link")
	}

	// A link in the place of what was written is not followed when it is to go.
	b.give("/etc/gone", "x\n")
	b.round()
	os.Remove(at("etc/gone"))
	os.Symlink(outside, at("etc/gone"))
	b.list = &nodefile.List{NodeType: "vnode"}
	b.round()
	b.wants("/etc/gone", nodefile.Left, "link")
	if data, _ := os.ReadFile(outside); string(data) != "precious" {
		t.Errorf("%q", data)
	}
}

func TestRound_WaitsForOwnerAndContent(t *testing.T) {
	b := newBench(t)
	b.give("/etc/a", "x\n", func(f *nodefile.File) { f.Owner = "nobody-has-this" })
	f := b.give("/etc/b", "x\n", secret)
	blob := b.blobs[f.SHA256]
	delete(b.blobs, f.SHA256)
	b.round()
	b.wants("/etc/a", nodefile.Waits, "no user nobody-has-this")
	b.wants("/etc/b", nodefile.Waits, "no such content")
	if !b.s.state.waits() {
		t.Error("nothing is tried again soon")
	}
	b.blobs[f.SHA256] = append([]byte("other"), blob[5:]...)
	b.round()
	b.wants("/etc/b", nodefile.Refused, "not what the list names")
	b.blobs[f.SHA256] = blob
	b.round()
	b.wants("/etc/b", nodefile.InPlace, "")
	if data, err := os.ReadFile(b.s.State); err != nil || strings.Contains(string(data), string(blob)) {
		t.Error("a secret is in the agent's notes", err)
	}
}

func TestRound_RestartThatFailsIsToldAndTriedAgain(t *testing.T) {
	b := newBench(t)
	b.unit = errors.New("exit code 1: job failed")
	b.give("/etc/a", "x\n", restart("munge"))
	b.round()
	b.wants("/etc/a", nodefile.InPlace, "munge could not be restarted: exit code 1")
	since := b.wants("/etc/a", nodefile.InPlace, "munge").Since
	b.round()
	if again := b.wants("/etc/a", nodefile.InPlace, "munge"); !again.Since.Equal(since) || len(b.restarted) != 2 {
		t.Errorf("%v since %v, restarted %v", again, since, b.restarted)
	}
	b.unit = nil
	b.start() // what is owed is remembered
	b.round()
	b.wants("/etc/a", nodefile.InPlace, "")
	b.round()
	if len(b.restarted) != 3 {
		t.Errorf("restarted %v", b.restarted)
	}
}

// Whoever has the server, and not the keys that sign, changes nothing on a host that
// wants signatures.
func TestRound_OfflineHostBelievesSignedListsOnly(t *testing.T) {
	b := newBench(t)
	b.policy = enrol.Offline
	f := b.give("/etc/a", "signed\n")
	signed, err := b.list.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	b.round()
	if b.read("etc/a") != "-" {
		t.Fatal("the server's own list was followed")
	}
	b.signed = signed
	b.round()
	b.wants("/etc/a", nodefile.InPlace, "")

	b.give("/etc/a", "evil\n")
	b.give("/etc/cron", "evil\n")
	b.blobs[f.SHA256] = []byte("evil\n")
	b.round()
	if b.read("etc/a") != "signed\n" || b.read("etc/cron") != "-" {
		t.Fatal("the server's list changed a file")
	}
	b.write("etc/a", "mine\n") // and its content does not come either when one is needed
	b.round()
	b.wants("/etc/a", nodefile.Refused, "not what the list names")
	if b.read("etc/a") != "mine\n" {
		t.Error(b.read("etc/a"))
	}
	b.blobs[f.SHA256] = []byte("signed\n")
	b.round()
	b.wants("/etc/a", nodefile.InPlace, "")

	// A list that was signed for others is none for this host.
	other, err := (&nodefile.List{NodeType: "other"}).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	b.signed = other
	if err := b.s.Round(t.Context()); fleet.CodeOf(err) != fleet.Denied {
		t.Error(err)
	}
	if st, _ := b.s.Status(); !strings.Contains(st.Problem, "nodes of type") || b.read("etc/a") != "signed\n" {
		t.Error(st.Problem)
	}
	// A root that counts no more leaves the files as they are.
	b.believe = false
	if err := b.s.Round(t.Context()); err == nil || b.read("etc/a") != "signed\n" {
		t.Error(err)
	}
	// Nothing is signed any more: it goes.
	b.believe, b.signed = true, nil
	b.round()
	if b.read("etc/a") != "-" {
		t.Error("a file that is signed no more stays")
	}
}

// A machine that begins to ask for signatures no longer follows the server's word.
func TestRound_PolicyCountsFromWhenItIsSet(t *testing.T) {
	b := newBench(t)
	b.give("/etc/a", "one\n")
	b.round()
	b.policy, b.believe = enrol.Offline, false
	b.write("etc/a", "two\n")
	if err := b.s.Round(t.Context()); err == nil {
		t.Error("no list, and no problem")
	}
	if b.read("etc/a") != "two\n" {
		t.Error("the server's list was followed")
	}
}

func TestRound_ServerAway(t *testing.T) {
	b := newBench(t)
	b.give("/etc/a", "x\n")
	b.round()
	b.away = true
	if err := b.s.Round(t.Context()); fleet.CodeOf(err) != fleet.Unavailable {
		t.Error(err)
	}
	b.wants("/etc/a", nodefile.InPlace, "")
	os.Chmod(filepath.Join(b.root, "etc/a"), 0o644) // what needs no content is put right all the same
	b.s.Round(t.Context())
	if info, _ := os.Stat(filepath.Join(b.root, "etc/a")); info.Mode().Perm() != 0o600 {
		t.Error(info.Mode())
	}
}

func TestHostKeys_TellsWhatIsOne(t *testing.T) {
	b := newBench(t)
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDO9GgYnOfHgRKyMkoFMNIbXqOQCfWn5pOkMh3sVMJKV"
	b.write("etc/ssh/ssh_host_ed25519_key.pub", key+" root@node\n")
	b.write("etc/ssh/ssh_host_ed25519_key", "-----BEGIN OPENSSH PRIVATE KEY-----\n")
	b.write("etc/ssh/ssh_host_rsa_key.pub", "-----BEGIN OPENSSH PRIVATE KEY-----\n")
	b.round()
	if got := b.asked[0].HostKeys; !slices.Equal(got, []string{key}) {
		t.Errorf("told %q", got)
	}
}

// Serve asks again as soon as the machine has another address.
func TestServe_AsksWhenAnAddressAppears(t *testing.T) {
	b := newBench(t)
	addresses := make(chan []net.Addr, 1)
	addresses <- nil
	b.s.Addresses = func() ([]net.Addr, error) {
		a := <-addresses
		addresses <- a
		return a, nil
	}
	asked := make(chan bool, 10)
	b.s.Ask = func(context.Context, string, any, any) error { asked <- true; return nil }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- b.s.Serve(ctx) }()
	select {
	case <-asked:
	case <-time.After(20 * time.Second):
		t.Fatal("asked not even once")
	}
	<-addresses
	addresses <- []net.Addr{&net.IPNet{IP: net.IPv4(10, 134, 7, 38), Mask: net.CIDRMask(16, 32)}}
	b.s.Moved()
	select {
	case <-asked:
	case <-time.After(20 * time.Second):
		t.Fatal("a new address changed nothing")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestRestarter_ArgumentsOnly(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	script := filepath.Join(t.TempDir(), "run")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho \"$#:$1:$2\" >"+out+"\nexit $3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Restarter(script+" %u x%ux 0")(t.Context(), "munge"); err != nil {
		t.Fatal(err)
	}
	if data, _ := os.ReadFile(out); string(data) != "3:munge:xmungex\n" {
		t.Errorf("%q", data)
	}
	if err := Restarter(script+" %u x 3")(t.Context(), "munge"); err == nil || !strings.Contains(err.Error(), "exit code 3") {
		t.Error(err)
	}
}
