// Package trusttest makes repositories of signed content for tests: the files that
// a server would hand out, and the keys to sign others, good and bad.
package trusttest

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet/trust"
)

// Key is the key of a name; the same each time.
func Key(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

// Public is a key's other half.
func Public(k ed25519.PrivateKey) trust.Key { return k.Public().(ed25519.PublicKey) }

// Repository is what a server hands out, and how to change it. A test changes the
// fields and calls [Repository.Publish].
type Repository struct {
	// Keys are the private keys in use, by role.
	Keys      map[string][]ed25519.PrivateKey
	Threshold map[string]int64 // 1 where it is not said
	Targets   map[string]trust.Target
	Depot     map[string]trust.Target
	Expires   time.Time
	Issued    time.Time

	// What was published last.
	Root, Timestamp []byte
	Files           map[string][]byte // by the name on the server
	Versions        map[string]int64
}

// Start is when the repositories of tests begin.
var Start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// New is a repository with one key a role, and its first documents published.
func New(t testing.TB) *Repository {
	r := &Repository{Keys: map[string][]ed25519.PrivateKey{}, Threshold: map[string]int64{}, Targets: map[string]trust.Target{}, Depot: map[string]trust.Target{},
		Files: map[string][]byte{}, Versions: map[string]int64{}, Expires: Start.AddDate(1, 0, 0), Issued: Start}
	for _, role := range []string{trust.RoleRoot, trust.RoleTargets, trust.RoleSnapshot, trust.RoleTimestamp, trust.Depot} {
		r.Keys[role] = []ed25519.PrivateKey{Key(role)}
	}
	r.PublishRoot(t)
	r.Publish(t)
	return r
}

func (r *Repository) role(keys trust.Keys, role string) trust.Role {
	var list []trust.Key
	for _, k := range r.Keys[role] {
		list = append(list, Public(k))
	}
	return keys.RoleOf(max(r.Threshold[role], 1), list...)
}

// RootDoc is the next root, unsigned, with the keys in use.
func (r *Repository) RootDoc() *trust.Root {
	doc := &trust.Root{Header: trust.Header{Version: r.Versions[trust.RoleRoot] + 1, Expires: r.Expires}, Keys: trust.Keys{}, Roles: map[string]trust.Role{}}
	for _, role := range []string{trust.RoleRoot, trust.RoleTargets, trust.RoleSnapshot, trust.RoleTimestamp} {
		doc.Roles[role] = r.role(doc.Keys, role)
	}
	return doc
}

// PublishRoot publishes a next root with the keys in use, signed by them and by
// others: those of the root before.
func (r *Repository) PublishRoot(t testing.TB, others ...ed25519.PrivateKey) {
	t.Helper()
	r.Root = Sign(t, r.RootDoc(), append(others, r.Keys[trust.RoleRoot]...)...)
	r.keep(trust.RoleRoot, r.Root)
}

func (r *Repository) keep(role string, data []byte) {
	r.Versions[role]++
	r.Files[trust.FileName(role, r.Versions[role])] = data
}

// Publish publishes the next of everything but the root.
func (r *Repository) Publish(t testing.TB) {
	t.Helper()
	list := &trust.Targets{Header: trust.Header{Version: r.Versions[trust.RoleTargets] + 1, Expires: r.Expires}, Targets: r.Targets, Keys: trust.Keys{}}
	list.Delegations = []trust.Delegation{{Name: trust.Depot, Role: r.role(list.Keys, trust.Depot), Paths: trust.DepotPaths, Terminating: true}}
	targets := Sign(t, list, r.Keys[trust.RoleTargets]...)
	r.keep(trust.RoleTargets, targets)
	depot := Sign(t, &trust.Targets{Header: trust.Header{Version: r.Versions[trust.Depot] + 1, Expires: r.Expires}, Targets: r.Depot}, r.Keys[trust.Depot]...)
	r.keep(trust.Depot, depot)
	r.PublishSnapshot(t, map[string]trust.Meta{
		trust.RoleTargets: trust.MetaOf(r.Versions[trust.RoleTargets], targets), trust.Depot: trust.MetaOf(r.Versions[trust.Depot], depot)})
}

// PublishSnapshot publishes a snapshot of some lists, and its timestamp.
func (r *Repository) PublishSnapshot(t testing.TB, meta map[string]trust.Meta) {
	t.Helper()
	snapshot := Sign(t, &trust.Snapshot{Header: trust.Header{Version: r.Versions[trust.RoleSnapshot] + 1, Expires: r.Expires}, Meta: meta}, r.Keys[trust.RoleSnapshot]...)
	r.keep(trust.RoleSnapshot, snapshot)
	r.PublishTimestamp(t, trust.MetaOf(r.Versions[trust.RoleSnapshot], snapshot))
}

// PublishTimestamp publishes a timestamp that names a snapshot.
func (r *Repository) PublishTimestamp(t testing.TB, snapshot trust.Meta) {
	t.Helper()
	r.Timestamp = Sign(t, &trust.Timestamp{Header: trust.Header{Version: r.Versions[trust.RoleTimestamp] + 1, Expires: r.Expires}, Snapshot: snapshot, Issued: r.Issued}, r.Keys[trust.RoleTimestamp]...)
	r.keep(trust.RoleTimestamp, r.Timestamp)
}

// Add signs content offline under a name, from the next Publish on.
func (r *Repository) Add(name string, content []byte) {
	target := trust.TargetOf(content)
	r.Targets[name] = target
	r.Files[target.ContentPath()] = content
}

// Sign signs a document, which must succeed.
func Sign(t testing.TB, doc trust.Document, keys ...ed25519.PrivateKey) []byte {
	t.Helper()
	data, err := trust.Sign(doc, keys...)
	if err != nil {
		t.Fatalf("cannot sign %T: %v", doc, err)
	}
	return data
}

// Follow brings a machine's trust to what is published, as an agent does.
func (r *Repository) Follow(t *trust.Trusted) error {
	for {
		next, ok := r.Files[trust.FileName(trust.RoleRoot, t.Root().Version+1)]
		if !ok {
			break
		}
		if err := t.UpdateRoot(next); err != nil {
			return err
		}
	}
	if _, err := t.UpdateTimestamp(r.Timestamp); err != nil {
		return err
	}
	for {
		wants := t.Wants()
		if len(wants) == 0 {
			return nil
		}
		for _, w := range wants {
			data, ok := r.Files[trust.FileName(w.Role, w.Version)]
			if !ok {
				return fmt.Errorf("no %s", trust.FileName(w.Role, w.Version))
			}
			var err error
			if w.Role == trust.RoleSnapshot {
				err = t.UpdateSnapshot(data)
			} else {
				err = t.UpdateTargets(w.Role, data)
			}
			if err != nil {
				return err
			}
		}
	}
}
