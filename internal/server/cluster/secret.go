package cluster

import (
	"context"
	"crypto/subtle"
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Secret is a sealed secret in the database.
type Secret struct {
	Name   string `col:"name,ident"`
	Sealed string `col:"sealed,secret"`
	Made   string `col:"made,time,stamp=create"`
}

// Secrets is the class of Secret: bookkeeping of the servers.
var Secrets = fleet.LocalClass[Secret]("secret")

// proof is the secret by which a replica sees that it has the right key.
const proof = "proof"

// Cluster is the fleet's key with its secrets.
type Cluster struct {
	*Key
	store *store.Store
}

// Open reads the key of a data folder and proves it by the database: the first
// server of a database makes the proof, and the key if there is none.
func Open(ctx context.Context, dir string, s *store.Store) (*Cluster, error) {
	path := filepath.Join(dir, KeyFile)
	k, err := ReadKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		used, err := used(ctx, s)
		if err != nil {
			return nil, err
		}
		if used {
			return nil, fleet.WithHint(fleet.Errorf(fleet.Denied, "cannot join the servers of this database: %s is missing", path),
				"copy %s from the data folder of a server that uses this database, or from a backup", KeyFile)
		}
		if k, _, err = OpenKey(dir); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	c := &Cluster{Key: k, store: s}
	if _, err := c.Agree(ctx, proof, []byte("fernwerk")); err != nil {
		return nil, fleet.WithHint(fleet.Errorf(fleet.Denied, "cannot join the servers of this database with %s: %w", path, err),
			"replace it by the %s of a server that uses this database", KeyFile)
	}
	return c, nil
}

func used(ctx context.Context, s *store.Store) (used bool, err error) {
	err = s.View(ctx, func(tx *store.Tx) error {
		rows, err := tx.Select(Secrets, nil)
		used = len(rows) > 0
		return err
	})
	return used, err
}

// Get returns a secret, nil if there is none.
func (c *Cluster) Get(ctx context.Context, name string) (plain []byte, err error) {
	err = c.store.View(ctx, func(tx *store.Tx) error {
		plain, err = c.Find(tx, name)
		return err
	})
	return plain, err
}

// Agree puts a secret if there is none, and returns what all have: of several
// servers that start at once the first one's counts.
func (c *Cluster) Agree(ctx context.Context, name string, mine []byte) (all []byte, err error) {
	if all, err = c.Get(ctx, name); all != nil || err != nil {
		return all, err
	}
	err = c.store.Update(ctx, store.Origin{Actor: "server"}, func(tx *store.Tx) error {
		if all, err = c.Find(tx, name); all != nil || err != nil {
			return err
		}
		all = mine
		return c.Keep(tx, name, mine)
	})
	return all, err
}

// Replace puts a secret over what there is.
func (c *Cluster) Replace(ctx context.Context, name string, mine []byte) error {
	return c.store.Update(ctx, store.Origin{Actor: "server"}, func(tx *store.Tx) error {
		return c.Keep(tx, name, mine)
	})
}

// Keep is Replace within a transaction.
func (k *Key) Keep(tx *store.Tx, name string, mine []byte) error {
	return tx.Put(Secrets, Secrets.Encode(Secret{Name: name, Sealed: k.seal(name, mine)}))
}

// Exchange puts a secret over one that must still be there as it was; else the
// error is Conflict.
func (c *Cluster) Exchange(ctx context.Context, name string, was, mine []byte) error {
	return c.store.Update(ctx, store.Origin{Actor: "server"}, func(tx *store.Tx) error {
		have, err := c.Find(tx, name)
		if err != nil {
			return err
		}
		if subtle.ConstantTimeCompare(have, was) != 1 {
			return fleet.Errorf(fleet.Conflict, "cannot replace the secret %q: somebody else did meanwhile", name)
		}
		return c.Keep(tx, name, mine)
	})
}

// Remove removes a secret, if there is one.
func (c *Cluster) Remove(ctx context.Context, name string) error {
	return c.store.Update(ctx, store.Origin{Actor: "server"}, func(tx *store.Tx) error {
		return tx.Remove(Secrets, fleet.Row{"name": name})
	})
}

// Forget is Remove within a transaction.
func (k *Key) Forget(tx *store.Tx, name string) error {
	return tx.Remove(Secrets, fleet.Row{"name": name})
}

// Find is Get within a transaction.
func (k *Key) Find(tx *store.Tx, name string) ([]byte, error) {
	row, err := tx.Get(Secrets, fleet.Row{"name": name})
	if fleet.CodeOf(err) == fleet.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return k.unseal(name, row.Str("sealed"))
}
