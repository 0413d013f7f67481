package offline

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/trust"
	"github.com/fernwerk/fernwerk/internal/kit/agefile"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
)

// MinPassphrase is the fewest characters of a new passphrase.
const MinPassphrase = 10

// attempts are how often somebody is asked for the passphrase of one file.
const attempts = 3

// idLength is how much of a key's id is in its file's name.
const idLength = 16

// A Ring opens key files. A passphrase that opened one is tried on the others
// before anybody is asked again.
type Ring struct {
	// Ask asks for the passphrase of a file. Where the answer is always the same
	// (a file, the environment), it is asked again for nothing.
	Ask func(file string) (string, error)
	// New is the passphrase of keys that are made.
	New func() (string, error)
	// Keeper seals new keys.
	Keeper agefile.Keeper

	known []string
}

// keyFile is the name of a key's file.
func keyFile(role string, key trust.Key) string {
	return role + "-" + trust.KeyID(key)[:idLength] + ".age"
}

// open opens one key file.
func (r *Ring) open(path string, want trust.Key) (ed25519.PrivateKey, error) {
	text, err := readFile(path, 2*agefile.MaxSecret)
	if err != nil {
		return nil, err
	}
	for _, passphrase := range r.known {
		if key, err := unseal(text, passphrase, want); !errors.Is(err, agefile.ErrPassphrase) {
			return key, err
		}
	}
	last := ""
	for range attempts {
		passphrase, err := r.Ask(filepath.Base(path))
		if err != nil {
			return nil, err
		}
		if passphrase == last {
			break
		}
		last = passphrase
		key, err := unseal(text, passphrase, want)
		if errors.Is(err, agefile.ErrPassphrase) {
			continue
		}
		if err == nil {
			r.known = append(r.known, passphrase)
		}
		return key, err
	}
	return nil, fleet.WithHint(fleet.Errorf(fleet.Unauthenticated, "cannot open the key %s: %w", filepath.Base(path), agefile.ErrPassphrase),
		"it is the one that was set when the key was made, by trust init or trust rotate; nothing was signed, so try again")
}

func unseal(text []byte, passphrase string, want trust.Key) (ed25519.PrivateKey, error) {
	secret, err := agefile.Open(text, passphrase)
	if err != nil {
		return nil, err
	}
	seed, err := hex.DecodeString(string(bytes.TrimSpace(secret)))
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, errors.New("it holds no key")
	}
	key := ed25519.NewKeyFromSeed(seed)
	if !want.Equal(key.Public()) {
		return nil, errors.New("it holds another key than its name says")
	}
	return key, nil
}

// make makes a key and its file in a folder.
func (r *Ring) make(dir, role string) (ed25519.PrivateKey, error) {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	passphrase, err := r.New()
	if err != nil {
		return nil, err
	}
	if len([]rune(passphrase)) < MinPassphrase {
		return nil, fleet.WithHint(fleet.Errorf(fleet.Invalid, "cannot take the passphrase: it is shorter than %d characters", MinPassphrase), "some words that nobody puts together are best")
	}
	text, err := r.Keeper.Seal([]byte(hex.EncodeToString(key.Seed())+"\n"), passphrase)
	if err != nil {
		return nil, err
	}
	if err := makeDir(dir, 0o700); err != nil {
		return nil, err
	}
	return key, atomicfile.WriteFile(filepath.Join(dir, keyFile(role, public)), text, 0o600)
}

// find is where a key's file is.
func (d *Dir) find(role string, key trust.Key) (string, bool) {
	for _, dir := range append([]string{d.at(keysDir)}, d.Keys...) {
		path := filepath.Join(dir, keyFile(role, key))
		if _, err := os.Stat(path); err == nil {
			return path, true
		}
	}
	return "", false
}

// signers opens as many keys of a role as it needs. With the error that they are
// not here come those that are.
func (d *Dir) signers(ring *Ring, root *trust.Root, role string) ([]ed25519.PrivateKey, error) {
	need := root.Roles[role]
	var out []ed25519.PrivateKey
	for _, id := range need.KeyIDs {
		if int64(len(out)) == need.Threshold {
			break
		}
		path, ok := d.find(role, root.Keys[id])
		if !ok {
			continue
		}
		key, err := ring.open(path, root.Keys[id])
		if err != nil {
			return nil, err
		}
		out = append(out, key)
	}
	if int64(len(out)) < need.Threshold {
		return out, fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot sign for the role %s: %d of the %d keys that it needs are here", role, len(out), need.Threshold),
			"bring the folder with the others and name it with --keys; their files are named %s", fileNames(root, role))
	}
	return out, nil
}

func fileNames(root *trust.Root, role string) string {
	var b bytes.Buffer
	for i, id := range root.Roles[role].KeyIDs {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(keyFile(role, root.Keys[id]))
	}
	return b.String()
}

// retire puts a replaced key's file aside, if it is in our folder.
func (d *Dir) retire(role string, key trust.Key) error {
	path := d.at(keysDir, keyFile(role, key))
	err := os.Rename(path, path+".old")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot put the old key aside: %w", err)
	}
	return atomicfile.SyncDir(d.at(keysDir))
}
