package keyring

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
)

// Bundle is an authority outside of a folder, in PEM: the root's certificate, its
// key if that is at hand, and the rest (see the package). Servers of one fleet
// give it to each other, sealed. One that a server of before wrote ends after the
// root's key.
type Bundle []byte

func (b Bundle) Material() (*Material, error) {
	m := &Material{}
	if err := m.parse(b); err != nil {
		return nil, fmt.Errorf("cannot use the certificate authority: %w", err)
	}
	return m, nil
}

// Read returns the authority in a folder; it is fs.ErrNotExist if there is none.
func Read(dir string) (Bundle, error) {
	m, err := Load(dir)
	if err != nil {
		return nil, err
	}
	if m == nil {
		return nil, &fs.PathError{Op: "open", Path: filepath.Join(dir, "ca.pem"), Err: fs.ErrNotExist}
	}
	return m.Bundle()
}

// Make makes an authority that is in no folder yet. It counts once it is kept.
func Make(name string, now func() time.Time) (Bundle, error) {
	m := &Material{}
	var err error
	if m.RootKey, err = NewKey(); err == nil {
		if m.Root, err = root(rootName+name, m.RootKey, now()); err == nil {
			m.Origin = Fingerprint(m.Root)
			_, err = m.Provide(now())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("cannot make the certificate authority: %w", err)
	}
	return m.Bundle()
}

// Settle is what the servers of a database have from now on: all is what they
// have, folder what one of them brings, nil without one. Of two states of one
// authority the later counts; what is missing is made. Another authority in the
// folder is refused: agents trust that one.
func Settle(all, folder Bundle, dir string, now func() time.Time) (Bundle, error) {
	m, err := all.Material()
	if err != nil {
		return nil, err
	}
	if folder != nil {
		own, err := folder.Material()
		if err != nil {
			return nil, err
		}
		if err := related(m, own, dir); err != nil {
			return nil, err
		}
		if own.Generation > m.Generation {
			m = own
		} else if m.RootKey == nil && !m.Away && own.RootKey != nil && own.Root.Equal(m.Root) {
			m.RootKey = own.RootKey
		}
	}
	if _, err := m.Provide(now()); err != nil {
		return nil, fmt.Errorf("cannot make an issuing key: %w", err)
	}
	return m.Bundle()
}

// related tells whether two are states of one authority.
func related(a, b *Material, dir string) error {
	if a.Origin == b.Origin {
		return nil
	}
	return fleet.WithHint(fleet.Errorf(fleet.Conflict, "cannot use the certificate authority in %s: the servers of this database have another one", dir),
		"a server that joins others starts with an empty folder and their cluster.key; or name another database")
}

// Write puts the authority into a folder. One that has another is refused.
func (b Bundle) Write(dir string) error {
	m, err := b.Material()
	if err != nil {
		return err
	}
	have, err := Load(dir)
	if err != nil {
		return fmt.Errorf("cannot read the certificate authority: %w", err)
	}
	if have != nil {
		if err := related(m, have, dir); err != nil {
			return err
		}
		// A key that somebody took elsewhere by hand is not brought back, nor one
		// that is only here taken away.
		if have.Generation == m.Generation {
			return nil
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("cannot keep the certificate authority: %w", err)
	}
	if err := atomicfile.SyncDir(filepath.Dir(dir)); err != nil {
		return fmt.Errorf("cannot keep the certificate authority: %w", err)
	}
	if err := m.Keep(dir); err != nil {
		return fmt.Errorf("cannot keep the certificate authority: %w", err)
	}
	return nil
}
