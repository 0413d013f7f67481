package keyring

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"time"
)

// Secrets are what servers on one database have in common, sealed.
type Secrets interface {
	Get(ctx context.Context, name string) ([]byte, error) // nil if there is none
	// Agree keeps the first that is handed in, and returns what is kept.
	Agree(ctx context.Context, name string, mine []byte) ([]byte, error)
	Replace(ctx context.Context, name string, next []byte) error
}

// Agree makes the authority in a folder that of all servers of a database. It is
// agreed on before it is kept, and kept before it is shown. id stands in the
// subject of one that has to be made.
func Agree(ctx context.Context, shared Secrets, name, dir, id string, now func() time.Time) error {
	mine, err := Read(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	all, err := shared.Get(ctx, name)
	if err != nil {
		return err
	}
	if all == nil {
		if all = mine; mine == nil {
			if all, err = Make(id, now); err != nil {
				return err
			}
		}
		if all, err = shared.Agree(ctx, name, all); err != nil {
			return err
		}
	}
	settled, err := Settle(all, mine, dir, now)
	if err != nil {
		return err
	}
	if !bytes.Equal(settled, all) {
		if err := shared.Replace(ctx, name, settled); err != nil {
			return err
		}
	}
	return settled.Write(dir)
}
