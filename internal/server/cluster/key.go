// Package cluster is what all fernwerkd on one database have in common: a key,
// and secrets that lie in the database sealed with it.
//
// The key is one file, DIR/cluster.key, made at the first start of a fleet's
// first server. Whoever adds a replica copies that file into its data folder,
// once, on a way that he trusts; everything else that a replica needs, the
// certificate authority above all, it then finds in the database. The database
// alone, or a copy of it, gives none of that away.
//
// A server whose key is missing or another does not start: it would make a
// second authority, and sessions that its neighbours refuse.
//
// The file holds 32 random bytes in base64, so `openssl rand -base64 32` makes
// one. From them every use derives a key of its own (HKDF, RFC 5869). Secrets are
// sealed with XChaCha20-Poly1305, bound to their name.
package cluster

import (
	"bytes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
)

// KeyFile is the key's name in the data folder.
const KeyFile = "cluster.key"

// keySize is in bytes; maxFile bounds what is read.
const (
	keySize = 32
	maxFile = 4 << 10
)

// Key is what all replicas share.
type Key struct{ root [keySize]byte }

// NewKey makes a key.
func NewKey() *Key {
	k := &Key{}
	rand.Read(k.root[:])
	return k
}

// ReadKey reads a key file; it is fs.ErrNotExist if there is none.
func ReadKey(path string) (*Key, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the cluster key: %w", err)
	}
	defer f.Close()
	text := make([]byte, maxFile)
	n, err := f.Read(text)
	if err != nil && n == 0 {
		return nil, fmt.Errorf("cannot read the cluster key %s: %w", path, err)
	}
	raw, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(text[:n])))
	if err != nil || len(raw) != keySize {
		return nil, fleet.WithHint(fleet.Errorf(fleet.Invalid, "cannot use the cluster key %s: it is not %d bytes in base64", path, keySize),
			"copy the file %s of the fleet's first server there, whole", KeyFile)
	}
	return &Key{root: [keySize]byte(raw)}, nil
}

// Text is the content of a key file.
func (k *Key) Text() string { return base64.StdEncoding.EncodeToString(k.root[:]) + "\n" }

// Write puts the key into a file that only its owner may read.
func (k *Key) Write(path string) error {
	if err := atomicfile.WriteFile(path, []byte(k.Text()), 0o600); err != nil {
		return fmt.Errorf("cannot keep the cluster key: %w", err)
	}
	return nil
}

// OpenKey reads the key in a folder, or makes one there. made says which.
func OpenKey(dir string) (k *Key, made bool, err error) {
	path := filepath.Join(dir, KeyFile)
	k, err = ReadKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		k = NewKey()
		return k, true, k.Write(path)
	}
	return k, false, err
}

// Derive is the key for one purpose.
func (k *Key) Derive(purpose string) [32]byte {
	out, err := hkdf.Key(sha256.New, k.root[:], nil, "fernwerk "+purpose, 32)
	if err != nil {
		panic(err) // only for impossible lengths
	}
	return [32]byte(out)
}

func (k *Key) cipher() cipher.AEAD {
	key := k.Derive("secrets")
	c, err := chacha20poly1305.NewX(key[:])
	if err != nil {
		panic(err) // only for a key of another size
	}
	return c
}

// seal encrypts a secret for the database.
func (k *Key) seal(name string, plain []byte) string {
	c := k.cipher()
	nonce := make([]byte, c.NonceSize(), c.NonceSize()+len(plain)+c.Overhead())
	rand.Read(nonce)
	return base64.StdEncoding.EncodeToString(c.Seal(nonce, nonce, plain, []byte(name)))
}

var errSealed = errors.New("it was sealed with another key")

func (k *Key) unseal(name, sealed string) ([]byte, error) {
	c := k.cipher()
	raw, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil || len(raw) < c.NonceSize() {
		return nil, errSealed
	}
	plain, err := c.Open(nil, raw[:c.NonceSize()], raw[c.NonceSize():], []byte(name))
	if err != nil {
		return nil, errSealed
	}
	return plain, nil
}
