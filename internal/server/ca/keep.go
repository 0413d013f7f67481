package ca

import (
	"bytes"
	"context"
	"log/slog"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/filelock"
	"github.com/fernwerk/fernwerk/internal/server/ca/keyring"
)

// lookEvery is how soon a running server has what a command changed.
const lookEvery = 10 * time.Second

// Keeper keeps an authority up to date while a server runs: it signs the list of
// revocations once a day, takes over what a command or another server changed,
// and says in time when the issuing key ends.
type Keeper struct {
	Authority *Authority
	Store     *store.Store
	// Shared is what the servers of the database have, nil where there is one.
	Shared func(context.Context) (keyring.Bundle, error)
	Log    *slog.Logger
	// Changed is told of a change; nil is nobody.
	Changed func()

	warned time.Time
}

// Begin signs the first list of revocations. It is called before anybody asks.
func (k *Keeper) Begin(ctx context.Context) error { return k.sign(ctx) }

// Serve works until ctx ends. What fails is logged and tried again.
func (k *Keeper) Serve(ctx context.Context) error {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if err := k.look(ctx); err != nil && ctx.Err() == nil {
			k.Log.Error("Certificate authority is not kept up", "error", err)
		}
	}
}

func (k *Keeper) look(ctx context.Context) error {
	var all keyring.Bundle
	if k.Shared != nil {
		var err error
		if all, err = k.Shared(ctx); err != nil {
			return err
		}
	}
	changed, err := k.Authority.reload(all)
	if err != nil {
		return err
	}
	if changed {
		k.Log.Info("Certificate authority changed", "fingerprint", k.Authority.Fingerprint())
		if k.Changed != nil {
			k.Changed()
		}
	}
	k.warn()
	return k.sign(ctx)
}

// sign signs the list if it is a day old, or the issuing key is a new one.
func (k *Keeper) sign(ctx context.Context) error {
	due := false
	err := k.Store.View(ctx, func(tx *store.Tx) (err error) {
		due, err = k.Authority.listDue(tx)
		return err
	})
	if err != nil || !due {
		return err
	}
	return k.Store.Update(ctx, store.Origin{Actor: "server"}, func(tx *store.Tx) error {
		due, err := k.Authority.listDue(tx) // of several servers the first does it
		if err != nil || !due {
			return err
		}
		if err := k.Authority.tidy(tx); err != nil {
			return err
		}
		return k.Authority.signList(tx)
	})
}

func (a *Authority) listDue(tx *store.Tx) (bool, error) {
	_, by, err := a.issuing()
	if err != nil {
		return false, nil // said elsewhere
	}
	l, err := readList(tx)
	return err == nil && (l.Issuer != keyring.Fingerprint(by.Cert) || tx.Now().Sub(time.Unix(l.Signed, 0)) >= listEvery), err
}

// tidy forgets the certificates of tunnels that have ended: they are many, short,
// and renewed by the host's own.
func (a *Authority) tidy(tx *store.Tx) error {
	var gone []fleet.Row
	for row, err := range tx.Each(issuedClass, fleet.Filter{"purpose": "tunnel"}) {
		if err != nil {
			return err
		}
		var c issued
		if issuedClass.Decode(row, &c); outlived(c, tx.Now()) {
			gone = append(gone, fleet.Row{"serial": c.Serial})
		}
	}
	for _, ident := range gone {
		if err := tx.Remove(issuedClass, ident); err != nil {
			return err
		}
	}
	return nil
}

// reload brings the folder to what all servers have, nil where there is one, and
// takes over what is new there. A change that is under way counts the next time.
func (a *Authority) reload(all keyring.Bundle) (changed bool, err error) {
	lock, err := filelock.Acquire(a.path("lock"))
	if err != nil {
		if _, held := err.(*filelock.HeldError); held {
			return false, nil
		}
		return false, err
	}
	defer lock.Release()
	if all != nil {
		if err := all.Write(a.dir); err != nil {
			return false, err
		}
	}
	m, err := keyring.Load(a.dir)
	if err != nil || m == nil {
		return false, err
	}
	was, err := a.mat.Load().Bundle()
	if err != nil {
		return false, err
	}
	is, err := m.Bundle()
	if err != nil || bytes.Equal(was, is) {
		return false, err
	}
	a.mat.Store(m)
	return true, nil
}

// warn says once a day that the issuing key or the root ends within a year.
func (k *Keeper) warn() {
	now := k.Authority.now()
	if now.Sub(k.warned) < 24*time.Hour {
		return
	}
	k.warned = now
	m := k.Authority.mat.Load()
	if _, by, err := k.Authority.issuing(); err != nil {
		k.Log.Warn("No certificates can be made", "error", err, "hint", fleet.HintOf(err))
	} else if left := by.Cert.NotAfter.Sub(now); left < serverLife {
		k.Log.Warn("The issuing key ends within a year: certificates get shorter", "until", by.Cert.NotAfter.Format(time.DateOnly), "hint", "run: fernwerkd ca rotate")
	}
	if m.Root.NotAfter.Sub(now) < 2*serverLife {
		k.Log.Warn("The root ends within two years", "until", m.Root.NotAfter.Format(time.DateOnly), "hint", "run: fernwerkd ca rotate --root, in time for hosts that sleep long")
	}
}
