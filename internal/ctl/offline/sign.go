package offline

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/trust"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
)

// The roles whose keys are a server's, as [Online] names them.
var onlineRoles = []string{trust.RoleSnapshot, trust.RoleTimestamp, trust.Depot}

// Online are a server's public keys in hexadecimal, by role.
type Online map[string]string

// keys reads the keys.
func (o Online) keys() (map[string]trust.Key, error) {
	out := map[string]trust.Key{}
	for _, role := range onlineRoles {
		key, err := hex.DecodeString(o[role])
		if err != nil || len(key) != ed25519.PublicKeySize {
			return nil, fleet.Errorf(fleet.Invalid, "cannot use the server's keys: %q is no Ed25519 key for the role %s", o[role], role)
		}
		out[role] = key
	}
	if len(o) != len(onlineRoles) {
		return nil, fleet.Errorf(fleet.Invalid, "cannot use the server's keys: they are not those of %s", strings.Join(onlineRoles, ", "))
	}
	return out, nil
}

// Plan says which keys a folder begins with.
type Plan struct {
	RootKeys, RootThreshold       int
	TargetsKeys, TargetsThreshold int
	Online                        Online
}

func (p Plan) check() error {
	for _, n := range [][2]int{{p.RootKeys, p.RootThreshold}, {p.TargetsKeys, p.TargetsThreshold}} {
		if n[1] < 1 || n[1] > n[0] || n[0] > 16 {
			return fleet.Errorf(fleet.Invalid, "cannot ask for %d of %d keys: at least 1 of at most 16", n[1], n[0])
		}
	}
	return nil
}

// Init makes a folder with its keys, root 1 and an empty list. Nothing is there
// before all is.
func Init(path string, p Plan, ring *Ring, now time.Time) error {
	if err := p.check(); err != nil {
		return err
	}
	online, err := p.Online.keys()
	if err != nil {
		return err
	}
	if entries, err := os.ReadDir(path); err == nil && len(entries) > 0 {
		return fleet.WithHint(fleet.Errorf(fleet.Exists, "cannot make a folder of content trust in %s: it is not empty", path), "name one that is not there yet")
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(filepath.Clean(path))
	temp, err := os.MkdirTemp(parent, ".fernwerk-trust-*")
	if err != nil {
		return fmt.Errorf("cannot make a folder of content trust: %w", err)
	}
	defer os.RemoveAll(temp) // it has another name when all went well
	d := &Dir{path: temp}
	if err := d.begin(p, online, ring, now); err != nil {
		return err
	}
	if err := atomicfile.SyncTree(temp); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil { // over an empty one, if it is there
		return fmt.Errorf("cannot make a folder of content trust: %w", err)
	}
	return atomicfile.SyncDir(parent)
}

func (d *Dir) begin(p Plan, online map[string]trust.Key, ring *Ring, now time.Time) error {
	root := &trust.Root{Header: header(1, now, RootLife), Keys: trust.Keys{}, Roles: map[string]trust.Role{}}
	made := map[string][]ed25519.PrivateKey{}
	for role, n := range map[string][2]int{trust.RoleRoot: {p.RootKeys, p.RootThreshold}, trust.RoleTargets: {p.TargetsKeys, p.TargetsThreshold}} {
		var public []trust.Key
		for range n[0] {
			key, err := ring.make(d.at(keysDir), role)
			if err != nil {
				return err
			}
			made[role] = append(made[role], key)
			public = append(public, publicOf(key))
		}
		root.Roles[role] = root.Keys.RoleOf(int64(n[1]), public...)
	}
	root.Roles[trust.RoleSnapshot] = root.Keys.RoleOf(1, online[trust.RoleSnapshot])
	root.Roles[trust.RoleTimestamp] = root.Keys.RoleOf(1, online[trust.RoleTimestamp])
	list := &trust.Targets{Header: header(1, now, ListLife), Targets: map[string]trust.Target{}}
	list.Keys, list.Delegations = delegate(online[trust.Depot])
	if err := d.putList(list, made[trust.RoleTargets]...); err != nil {
		return err
	}
	return d.putRoot(root, made[trust.RoleRoot]...)
}

// delegate gives the trees that depots changed away to a server's key.
func delegate(key trust.Key) (trust.Keys, []trust.Delegation) {
	keys := trust.Keys{}
	role := keys.RoleOf(1, key)
	return keys, []trust.Delegation{{Name: trust.Depot, Role: role, Paths: trust.DepotPaths, Terminating: true}}
}

func publicOf(key ed25519.PrivateKey) trust.Key { return key.Public().(ed25519.PublicKey) }

func header(version int64, now time.Time, life time.Duration) trust.Header {
	return trust.Header{Version: version, Expires: now.UTC().Truncate(time.Second).Add(life)}
}

func (d *Dir) putRoot(doc *trust.Root, keys ...ed25519.PrivateKey) error {
	data, err := trust.Sign(doc, keys...)
	if err != nil {
		return err
	}
	r, err := trust.ParseRoot(data)
	if err == nil {
		err = r.Verify(d.Root())
	}
	if err != nil {
		return err
	}
	return d.keepRoot(r)
}

func (d *Dir) keepRoot(r *trust.Root) error {
	if err := makeDir(d.at(rootsDir), 0o755); err != nil {
		return err
	}
	if err := atomicfile.WriteFile(d.at(rootsDir, trust.FileName(trust.RoleRoot, r.Version)), r.Raw(), 0o644); err != nil {
		return err
	}
	d.roots = append(d.roots, r)
	return nil
}

func (d *Dir) putList(doc *trust.Targets, keys ...ed25519.PrivateKey) error {
	data, err := trust.Sign(doc, keys...)
	if err != nil {
		return err
	}
	return d.keepList(data)
}

func (d *Dir) keepList(data []byte) error {
	list, err := trust.ParseTargets(trust.RoleTargets, data)
	if err != nil {
		return err
	}
	if err := atomicfile.WriteFile(d.at(listFile), data, 0o644); err != nil {
		return err
	}
	d.list, d.draft, d.void = list, maps.Clone(list.Targets), nil
	return nil
}

// next is the next list, of the draft.
func (d *Dir) next(now time.Time) *trust.Targets {
	return &trust.Targets{Header: header(d.list.Version+1, now, ListLife), Targets: d.draft, Keys: d.list.Keys, Delegations: d.list.Delegations}
}

// Sign makes the next version of the list, of what was added and removed; the
// same things signed again count longer.
func (d *Dir) Sign(ring *Ring, now time.Time) (version int64, err error) {
	if d.void != nil && !d.former {
		return 0, d.voided()
	}
	keys, err := d.signers(ring, d.Root(), trust.RoleTargets)
	if err != nil {
		return 0, err
	}
	if err := d.putList(d.next(now), keys...); err != nil {
		return 0, err
	}
	return d.list.Version, d.sweep()
}

// sweep removes contents that the list does not name.
func (d *Dir) sweep() error {
	entries, err := os.ReadDir(d.at(contentDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	wanted := map[string]bool{}
	for _, t := range d.list.Targets {
		wanted[hex.EncodeToString(t.SHA256[:])] = true
	}
	for _, e := range entries {
		if !wanted[e.Name()] {
			err = errors.Join(err, os.Remove(d.at(contentDir, e.Name())))
		}
	}
	return err
}

func names(targets map[string]trust.Target, prefix string) []string {
	var out []string
	for name := range targets {
		if strings.HasPrefix(name, prefix) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}
