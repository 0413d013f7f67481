package e2e

import (
	"crypto/ed25519"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/internal/fleet/trust"
	"github.com/fernwerk/fernwerk/internal/kit/agefile"
)

// forgery is a next state of the signed documents, as a thief of the server's keys
// makes it: nil lists are the true ones.
type forgery struct {
	targets, depot               []byte
	targetsVersion, depotVersion int64
	edit                         func(*trust.Timestamp, *trust.Snapshot)
}

// step is how far a forgery is ahead of the true server, which goes on meanwhile.
const step = 1000

// forge signs the snapshot and the timestamp of a forgery with the stolen keys.
func (o *siege) forge(t *testing.T, f forgery) []lie {
	t.Helper()
	stamp, snapshot, was, wasDepot := o.second.parsed(t)
	o.mu.Lock()
	o.forged += step
	ahead := o.forged
	o.mu.Unlock()
	var rules []lie
	list := func(role string, data []byte, version int64) {
		if data == nil {
			return
		}
		if version == 0 {
			doc, err := trust.ParseTargets(role, data)
			must(t, err)
			version = doc.Version
		}
		snapshot.Meta[role] = trust.MetaOf(version, data)
		rules = append(rules, serves(named(role, version), data))
	}
	list(trust.RoleTargets, f.targets, f.targetsVersion)
	list(trust.Depot, f.depot, f.depotVersion)
	snapshot.Version, stamp.Version = snapshot.Version+ahead, stamp.Version+ahead
	snapshot.Expires, stamp.Expires = soon(), soon()
	if f.edit != nil {
		f.edit(stamp, snapshot)
	}
	data := sign(t, snapshot, o.keys[trust.RoleSnapshot])
	stamp.Snapshot = trust.MetaOf(snapshot.Version, data)
	// What is not forged is the true state's.
	rules = append(rules, serves(named(trust.RoleTargets, was.Version), o.second.targets), serves(named(trust.Depot, wasDepot.Version), o.second.depot))
	return append(rules, serves(named(trust.RoleSnapshot, snapshot.Version), data), serves(timestamp, sign(t, stamp, o.keys[trust.RoleTimestamp])))
}

func sign(t *testing.T, doc trust.Document, keys ...ed25519.PrivateKey) []byte {
	t.Helper()
	data, err := trust.Sign(doc, keys...)
	must(t, err)
	return data
}

// targetsKeys are the files of the offline keys that sign the list.
func (o *siege) targetsKeys(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(o.trust, "keys", "targets-*.age"))
	must(t, err)
	return files
}

// targetsKey is one of the offline keys, which somebody lost.
func (o *siege) targetsKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	text, err := os.ReadFile(o.targetsKeys(t)[0])
	must(t, err)
	secret, err := agefile.Open(text, passphrase)
	must(t, err)
	seed, err := hex.DecodeString(strings.TrimSpace(string(secret)))
	must(t, err)
	return ed25519.NewKeyFromSeed(seed)
}

// targetsKeyIDs are the ids of the keys that may sign the list.
func (o *siege) targetsKeyIDs(t *testing.T) []string {
	t.Helper()
	data, err := o.document(t.Context(), "1.root.json")
	must(t, err)
	root, err := trust.ParseRoot(data)
	must(t, err)
	return root.Roles[trust.RoleTargets].KeyIDs
}
