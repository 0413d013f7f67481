package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
	"github.com/fernwerk/fernwerk/internal/server/cluster"
)

// steal opens a copy of the server's database, which may run meanwhile, and gives
// the seeds of its keys by role, the newest last.
func steal(ctx context.Context, dir string) (keys map[string][][]byte, err error) {
	key, err := cluster.ReadKey(filepath.Join(dir, cluster.KeyFile))
	if err != nil {
		return nil, err
	}
	loot, err := os.MkdirTemp("", "fernwerk-mirror-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(loot)
	for _, ext := range []string{"", "-wal"} {
		data, err := os.ReadFile(filepath.Join(dir, "fernwerk.db"+ext))
		if err == nil {
			err = os.WriteFile(filepath.Join(loot, "fernwerk.db"+ext), data, 0o600)
		}
		if err != nil && !os.IsNotExist(err) {
			return nil, err
		}
	}
	db, err := sqlite.Open(filepath.Join(loot, "fernwerk.db"))
	if err != nil {
		return nil, err
	}
	defer db.Close()
	st, err := store.Open(ctx, db, time.Now, cluster.Secrets)
	if err != nil {
		return nil, err
	}
	var ring []byte
	if err := st.View(ctx, func(tx *store.Tx) error { ring, err = key.Find(tx, "trust keys"); return err }); err != nil {
		return nil, err
	}
	if ring == nil {
		return nil, fmt.Errorf("the server in %s has no keys of content trust", dir)
	}
	return keys, json.Unmarshal(ring, &keys)
}
