package identity

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
)

// restored says that the rows are from a backup, and of when: a host may hold a
// certificate that was issued since.
type restored struct {
	Name string `col:"name,ident"`
	At   int64  `col:"at"` // Unix seconds, of the backup
}

var restoredClass = fleet.LocalClass[restored]("identityRestored")

const lastRestore = "last"

// backdated is how far before its making a certificate of a host begins.
const backdated = time.Hour

// Restored notes that the rows are those of a backup made at a time. Certificates
// that hosts were given since count when they show them.
func Restored(ctx context.Context, st *store.Store, made time.Time) error {
	return st.Update(ctx, store.Origin{Actor: "restore"}, func(tx *store.Tx) error {
		return tx.Put(restoredClass, restoredClass.Encode(restored{Name: lastRestore, At: made.Unix()}))
	})
}

// adopt takes a certificate of ours, of a host that is there and not revoked, that
// was issued after the backup from which the server was restored.
func (i *Identities) adopt(ctx context.Context, h Holder, certs []*x509.Certificate) error {
	leaf, no := certs[0], fleet.Errorf(fleet.Denied, "the certificate is not one since a backup")
	check := func(tx *store.Tx) (Row, error) {
		var last restored
		r, err := tx.ByKey(restoredClass, lastRestore)
		if err != nil || r == nil {
			return Row{}, no
		}
		restoredClass.Decode(r, &last)
		row, err := Get(tx, h.HostID)
		if err != nil {
			return row, err
		}
		if row.HostID == "" { // it may have got its first certificate since
			if row, err = first(tx, h.HostID, last.At, leaf); err != nil {
				return row, err
			}
		}
		if row.HostID == "" || row.Revoked != "" || leaf.NotBefore.Add(backdated).Unix() < last.At || leaf.NotAfter.Unix() < row.NotAfter {
			return row, no
		}
		return row, nil
	}
	err := i.store.View(ctx, func(tx *store.Tx) error { _, err := check(tx); return err })
	if err != nil {
		return err // mostly: nothing is written for it
	}
	return i.store.Update(ctx, store.Origin{Actor: "host " + h.HostID}, func(tx *store.Tx) error {
		row, err := check(tx)
		if err != nil {
			return err
		}
		if err := i.authority.Adopt(tx, leaf); err != nil {
			return err
		}
		if err := i.authority.Good(tx, serial(leaf)); err != nil {
			return err
		}
		row.FormerID, row.KeyID, row.Serial, row.NotAfter, row.Chain = row.KeyID, h.KeyID, serial(leaf), leaf.NotAfter.Unix(), ""
		for _, c := range certs {
			row.Chain += string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
		}
		if err := tx.Put(Keys, Keys.Encode(Key{KeyID: h.KeyID, HostID: h.HostID})); err != nil {
			return err
		}
		if err := tx.Put(certifiedHosts, certifiedHosts.Encode(certified{h.HostID})); err != nil {
			return err
		}
		return tx.Put(Rows, Rows.Encode(row))
	})
}

// first is the identity of a host that is in the backup and had no certificate
// yet; the zero Row if there is no such host, or it was made after the backup.
func first(tx *store.Tx, hostID string, backup int64, leaf *x509.Certificate) (Row, error) {
	host, err := tx.ByKey(fleet.Hosts, hostID)
	if err != nil || host == nil || host.Str("type") != fleet.OpsiClient {
		return Row{}, err
	}
	if made, err := time.Parse(time.DateTime, host.Str("created")); err != nil || made.Unix() > backup {
		return Row{}, nil
	}
	row := Row{HostID: hostID, Policy: string(enrol.PlainOpsi), Joined: leaf.NotBefore.Add(backdated).Unix()}
	if units := leaf.Subject.OrganizationalUnit; len(units) == 1 {
		row.NodeType, row.TypeSaid = units[0], true // a certificate does not tell who said it
	}
	return row, nil
}

// serial is a certificate's number as it stands in rows.
func serial(c *x509.Certificate) string { return fmt.Sprintf("%x", c.SerialNumber) }

// RevokeListed ends the identities whose certificate was revoked without them: the
// list came from a host, after the server was restored, and the rows are older.
func (i *Identities) RevokeListed(tx *store.Tx) error {
	rows, err := store.All[Row](tx, Rows, nil)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if row.Serial == "" || row.Revoked != "" {
			continue
		}
		err := i.authority.Good(tx, row.Serial)
		if fleet.CodeOf(err) == fleet.Denied {
			err = i.Revoke(tx, row.HostID, "on a list of revocations that is newer than the backup")
		}
		if err != nil {
			return err
		}
	}
	return nil
}
