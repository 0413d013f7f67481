package e2e

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/ctl/offline"
	"github.com/fernwerk/fernwerk/internal/fleet/trust"
	"github.com/fernwerk/fernwerk/test/e2e/site"
)

// siege is a server with signed content, and in front of it the mirror: the same
// server as somebody runs who has taken it over. Victims join through the mirror,
// and each is lied to by rules of its own, so that many are attacked at once.
//
// Two states of the signed content are published one after the other: in the first
// there is the update 001, and others that nobody offers yet; the second has 002
// as well. A victim lives in the first until a test lets the second one come.
type siege struct {
	*site.Server
	dir, trust string
	root       string // SHA-256 of root 1
	mirror     string // its address
	first      state
	second     state
	keys       map[string]ed25519.PrivateKey
	http       *http.Client

	mu      sync.Mutex
	victims int
	forged  int64 // how far the last forgery was ahead
}

const passphrase = "words that nobody puts together"

// besieged makes one siege for all tests.
var besieged = sync.OnceValues(func() (*siege, error) {
	p, err := built()
	if err != nil {
		return nil, err
	}
	o, err := newSiege(context.Background(), p, filepath.Join(scratch, "siege"))
	if err == nil {
		atEnd(o.Kill)
	}
	return o, err
})

func siegeOf(t *testing.T) *siege {
	t.Helper()
	o, err := besieged()
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// ownSiege is one for a test that changes keys, which the others would notice.
func ownSiege(t *testing.T) *siege {
	t.Helper()
	p, err := built()
	must(t, err)
	o, err := newSiege(t.Context(), p, t.TempDir())
	must(t, err)
	t.Cleanup(o.Kill)
	return o
}

// The files of products. What is called evil leaves a witness.
func (o *siege) script(word string) string {
	return fmt.Sprintf("echo %s >>'%s'/$FERNWERK_HOST_ID\n", word, filepath.Join(o.dir, "marks"))
}

func (o *siege) evil() string {
	return fmt.Sprintf("echo evil >>'%s'/EVIL-$FERNWERK_HOST_ID\n", filepath.Join(o.dir, "marks"))
}

func newSiege(ctx context.Context, p site.Programs, dir string) (o *siege, err error) {
	o = &siege{dir: dir, trust: filepath.Join(dir, "trust"), keys: map[string]ed25519.PrivateKey{},
		Server: &site.Server{Programs: p, Data: filepath.Join(dir, "server"), Log: filepath.Join(dir, "server.log")},
		http:   &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}} // loopback, and it is the attacker's
	for _, sub := range []string{"marks", "hosts", "packages", "updates"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, err
		}
	}
	if err := o.Start(ctx); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			o.Kill()
		}
	}()
	run := func(args ...string) {
		if err == nil {
			_, err = o.command(ctx, args...)
		}
	}
	if err = o.makeKeys(ctx); err != nil {
		return nil, err
	}
	var signed []string
	for _, id := range []string{"good", "other", "fresh", "needy", "loose", "foreign"} {
		file, failed := o.build(ctx, id, "1.0", "")
		if failed != nil {
			return nil, failed
		}
		if id != "loose" && id != "foreign" {
			signed = append(signed, file)
		}
	}
	aged, failed := o.build(ctx, "aged", "0.5", "")
	if failed != nil {
		return nil, failed
	}
	run("package", "sign", aged)
	newer, failed := o.build(ctx, "aged", "1.0", "")
	if failed != nil {
		return nil, failed
	}
	run(append([]string{"package", "sign", newer}, signed...)...)
	run("package", "sign", o.file("foreign", "1.0"), "--platform", "windows")
	var updates []string
	for n, script := range map[int]string{1: "", 3: "", 4: "yes & (trap '' TERM; sleep 1004) & yes", 5: `[ "$FERNWERK_UPDATE_REBOOTS" = 1 ] || exit 194`, 6: "sleep 1", 8: "", 9: ""} {
		flags := []string{"--timeout", "2s", "--on-failure", "continue", "--on-interrupt", "retry"}
		if n != 4 {
			flags[1] = "1m"
		}
		if n == 9 {
			flags = append(flags, "--after", "008")
		}
		file, failed := o.update(ctx, n, script, flags...)
		if failed != nil {
			return nil, failed
		}
		updates = append(updates, file)
	}
	run(append([]string{"update", "sign"}, updates...)...)
	run("trust", "publish")
	for _, id := range []string{"good", "other", "fresh", "needy", "loose", "foreign"} {
		run("package", "install", o.file(id, "1.0"))
	}
	run("package", "install", aged) // by whoever has the server
	run("update", "publish", "001", "--ring", "100%", "--yes")
	if err != nil {
		return nil, err
	}
	root, err := os.ReadFile(filepath.Join(o.trust, "roots", "1.root.json"))
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(root)
	o.root = hex.EncodeToString(sum[:])
	if o.first, err = o.record(ctx); err != nil {
		return nil, err
	}
	second, err := o.update(ctx, 2, "")
	if err != nil {
		return nil, err
	}
	run("update", "sign", second)
	run("trust", "publish")
	if err == nil {
		o.second, err = o.record(ctx)
	}
	if err != nil {
		return nil, err
	}
	return o, o.attack(ctx)
}

// makeKeys is "trust init", but that a guess at the passphrase is cheap.
func (o *siege) makeKeys(ctx context.Context) error {
	pass := func() (string, error) { return passphrase, nil }
	ring := &offline.Ring{New: pass, Ask: func(string) (string, error) { return pass() }}
	ring.Keeper.Work = 10
	online, err := offline.MakeKeys(ctx, o)
	if err != nil {
		return err
	}
	return offline.Init(o.trust, offline.Plan{RootKeys: 1, RootThreshold: 1, TargetsKeys: 2, TargetsThreshold: 2, Online: online}, ring, time.Now())
}

// attack takes the server over: its keys, and its address.
func (o *siege) attack(ctx context.Context) error {
	program := filepath.Join(o.dir, "mirror")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", program, "github.com/fernwerk/fernwerk/test/mirror").CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build the mirror: %w\n%s", err, out)
	}
	loot, err := exec.CommandContext(ctx, program, "steal", "--data", o.Data).Output()
	var rings map[string][][]byte
	if err == nil {
		err = json.Unmarshal(loot, &rings)
	}
	if err != nil {
		return fmt.Errorf("cannot steal the keys: %w", err)
	}
	for role, seeds := range rings {
		o.keys[role] = ed25519.NewKeyFromSeed(seeds[len(seeds)-1])
	}
	o.mirror, err = site.Begin(ctx, filepath.Join(o.dir, "mirror.log"), program, "serve", "--server", o.URL(), "--data", o.Data, "--hosts", filepath.Join(o.dir, "hosts"))
	return err
}

// command runs the administrator's command line.
func (o *siege) command(ctx context.Context, args ...string) (string, error) {
	env := append(o.Env(), "FERNWERK_TRUST_PASSPHRASE="+passphrase, "FERNWERK_TRUST="+o.trust)
	out, errOut, code, err := o.Programs.Run(ctx, env, "fernwerk", args...)
	if err == nil && code != 0 {
		err = fmt.Errorf("fernwerk %s: status %d: %s", strings.Join(args, " "), code, errOut)
	}
	return out + errOut, err
}

func (o *siege) file(id, version string) string {
	return filepath.Join(o.dir, "packages", fmt.Sprintf("%s_%s-1.opsi", id, version))
}

// build packs a product, signed or not yet.
func (o *siege) build(ctx context.Context, id, version, extra string) (file string, err error) {
	source := filepath.Join(o.dir, "source", id+version)
	data := bytes.Repeat([]byte(id+" is what it says.\n"), 40_000)
	for name, text := range map[string][]byte{
		"OPSI/control.toml":     fmt.Appendf(nil, controlFile, id, version),
		"CLIENT_DATA/setup.sh":  []byte(o.script(id+version) + extra),
		"CLIENT_DATA/evil.sh":   []byte(o.evil()),
		"CLIENT_DATA/data/file": data,
	} {
		path := filepath.Join(source, filepath.FromSlash(name))
		if err = os.MkdirAll(filepath.Dir(path), 0o755); err == nil {
			err = os.WriteFile(path, text, 0o644)
		}
		if err != nil {
			return "", err
		}
	}
	_, err = o.command(ctx, "package", "build", source, "-o", filepath.Join(o.dir, "packages"))
	return o.file(id, version), err
}

// update writes one.
func (o *siege) update(ctx context.Context, n int, script string, flags ...string) (file string, err error) {
	id, number := fmt.Sprintf("u%d", n), fmt.Sprintf("%03d", n)
	if _, err = o.command(ctx, append([]string{"update", "new", id, "--in", filepath.Join(o.dir, "updates"), "--number", number}, flags...)...); err != nil {
		return "", err
	}
	file = filepath.Join(o.dir, "updates", number+"-"+id+".sh")
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return "", err
	}
	fmt.Fprint(f, o.script("update"+number)+script+"\n")
	return file, f.Close()
}

// document is one of the true server's signed documents.
func (o *siege) document(ctx context.Context, name string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, o.URL()+"/v1/trust/"+name, nil)
	if err != nil {
		return nil, err
	}
	req.SetBasicAuth("admin", site.Password)
	resp, err := o.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", name, resp.Status)
	}
	return data, err
}

// state is what a server had published at a time.
type state struct{ stamp, snapshot, targets, depot []byte }

// record keeps what the true server has now.
func (o *siege) record(ctx context.Context) (s state, err error) {
	get := func(name string) (data []byte) {
		if err == nil {
			data, err = o.document(ctx, name)
		}
		return data
	}
	s.stamp = get("timestamp.json")
	stamp, failed := trust.ParseTimestamp(s.stamp)
	if err != nil || failed != nil {
		return s, errors.Join(err, failed)
	}
	s.snapshot = get(trust.FileName(trust.RoleSnapshot, stamp.Snapshot.Version))
	snapshot, failed := trust.ParseSnapshot(s.snapshot)
	if err != nil || failed != nil {
		return s, errors.Join(err, failed)
	}
	s.targets = get(trust.FileName(trust.RoleTargets, snapshot.Meta[trust.RoleTargets].Version))
	s.depot = get(trust.FileName(trust.Depot, snapshot.Meta[trust.Depot].Version))
	return s, err
}

// parsed are the documents of a state.
func (s state) parsed(t *testing.T) (stamp *trust.Timestamp, snapshot *trust.Snapshot, targets, depot *trust.Targets) {
	t.Helper()
	var err error
	stamp, err = trust.ParseTimestamp(s.stamp)
	must(t, err)
	snapshot, err = trust.ParseSnapshot(s.snapshot)
	must(t, err)
	targets, err = trust.ParseTargets(trust.RoleTargets, s.targets)
	must(t, err)
	depot, err = trust.ParseTargets(trust.Depot, s.depot)
	must(t, err)
	return stamp, snapshot, targets, depot
}

// shown are the lies by which the mirror shows a state, behind others.
func (s state) shown(t *testing.T, first ...lie) []lie {
	t.Helper()
	stamp, _, targets, depot := s.parsed(t)
	return append(first, serves(timestamp, s.stamp), serves(named(trust.RoleSnapshot, stamp.Snapshot.Version), s.snapshot),
		serves(named(trust.RoleTargets, targets.Version), s.targets), serves(named(trust.Depot, depot.Version), s.depot))
}

// soon is when what the attacker signs ends.
func soon() time.Time { return time.Now().Add(48 * time.Hour).UTC().Truncate(time.Second) }
