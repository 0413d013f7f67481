package ca

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/server/ca/keyring"
)

// One list of revocations holds all that is revoked, whichever issuing key signed
// it: serials are unique among all of them. It is signed by the newest issuing
// key. Software that wants a list of the very issuer finds the same content,
// signed by each, in [Authority.Lists].
//
// A list's number is larger than all before it, by a random step. So a server
// that was restored from a backup makes numbers that nobody had before: a host
// that shows a number which is not on record ([Authority.Signed]) has a list from
// the time that the backup lacks, and [Authority.TakeCRL] reads it.

const (
	listLife  = 7 * 24 * time.Hour
	listEvery = 24 * time.Hour
	// keepRevoked is how long a host's revocation is listed after the certificate's
	// end: an expired one may be renewed, by a server that was restored.
	keepRevoked = 400 * 24 * time.Hour
	// maxList bounds a list from a host: about 100,000 entries.
	maxList = 4 << 20
)

// list is the newest list: one row.
type list struct {
	Name   string `col:"name,ident"` // always listName
	Number int64  `col:"number"`
	Signed int64  `col:"signed"` // Unix seconds
	Issuer string `col:"issuer"` // fingerprint of the newest issuing key's certificate
	DER    string `col:"der"`    // base64
	Lists  string `col:"lists"`  // PEM, one by each issuing key
}

// number is the number of a list that this database knows.
type number struct {
	Number int64 `col:"number,ident"`
	Signed int64 `col:"signed"`
}

const listName = "revocations"

var (
	listClass   = fleet.LocalClass[list]("revocationList")
	numberClass = fleet.LocalClass[number]("revocationNumber")
)

// Revoke revokes every certificate of a host, tunnels' too, and its keys, and
// signs the list anew. It says how many counted until now.
func (a *Authority) Revoke(tx *store.Tx, hostID, reason string) (int, error) {
	if err := fleet.ValidHostID(hostID); err != nil {
		return 0, err
	}
	rows, err := store.All[issued](tx, issuedClass, fleet.Filter{"hostId": hostID, "good": true})
	if err != nil {
		return 0, err
	}
	for _, c := range rows {
		if err := revoke(tx, c, reason); err != nil {
			return 0, err
		}
	}
	if len(rows) == 0 {
		return 0, nil
	}
	return len(rows), a.signList(tx)
}

func revoke(tx *store.Tx, c issued, reason string) error {
	c.Good, c.Revoked, c.Reason = false, tx.Now().Unix(), reason
	if err := tx.Put(issuedClass, issuedClass.Encode(c)); err != nil || c.Key == "" {
		return err
	}
	return tx.Put(certifiedClass, certifiedClass.Encode(certified{Key: c.Key, HostID: c.HostID, Revoked: true}))
}

func readList(tx *store.Tx) (list, error) {
	l, _, err := get[list](tx, listClass, fleet.Row{"name": listName})
	l.Name = listName
	return l, err
}

// CRL is the newest list of revocations in DER, and its number.
func (a *Authority) CRL(tx *store.Tx) (der []byte, number int64, err error) {
	l, err := readList(tx)
	if err != nil {
		return nil, 0, err
	}
	if l.DER == "" {
		return nil, 0, fleet.Errorf(fleet.Unavailable, "there is no list of revocations yet: the authority has no issuing key")
	}
	der, err = base64.StdEncoding.DecodeString(l.DER)
	return der, l.Number, err
}

// Lists is the newest list signed by each issuing key that still counts, in PEM:
// for software that takes a list of the certificate's own issuer only.
func (a *Authority) Lists(tx *store.Tx) ([]byte, error) {
	l, err := readList(tx)
	return []byte(l.Lists), err
}

// Signed tells whether a list's number is on record.
func (a *Authority) Signed(tx *store.Tx, n int64) (bool, error) {
	_, found, err := get[number](tx, numberClass, fleet.Row{"number": n})
	return found, err
}

// signList signs the list anew. Without an issuing key the revocations count all
// the same, here; the list follows.
func (a *Authority) signList(tx *store.Tx) error {
	l, err := readList(tx)
	if err != nil {
		return err
	}
	l.Number += 1 + step()
	m, by, err := a.issuing()
	if err != nil {
		l.Signed = 0
		return tx.Put(listClass, listClass.Encode(l))
	}
	entries, err := revocations(tx)
	if err != nil {
		return err
	}
	l.Signed, l.Issuer, l.Lists = tx.Now().Unix(), keyring.Fingerprint(by.Cert), ""
	template := &x509.RevocationList{
		Number: big.NewInt(l.Number), RevokedCertificateEntries: entries,
		ThisUpdate: tx.Now().Add(-leafBackdate), NextUpdate: tx.Now().Add(listLife),
	}
	for _, i := range m.Issuing {
		if i.Key == nil || tx.Now().After(i.Cert.NotAfter) {
			continue
		}
		der, err := x509.CreateRevocationList(rand.Reader, template, i.Cert, keyring.Lowered(i.Key))
		if err != nil {
			return fmt.Errorf("cannot sign the list of revocations: %w", err)
		}
		if i == by {
			l.DER = base64.StdEncoding.EncodeToString(der)
		}
		l.Lists += string(keyring.EncodePEM("X509 CRL", der))
	}
	if err := tx.Put(numberClass, numberClass.Encode(number{Number: l.Number, Signed: l.Signed})); err != nil {
		return err
	}
	return tx.Put(listClass, listClass.Encode(l))
}

// step is up to a million: two servers that go on from one backup make the same
// number once in a million times.
func step() int64 {
	n, err := rand.Int(rand.Reader, big.NewInt(1<<20))
	if err != nil {
		panic(err) // crypto/rand does not fail
	}
	return n.Int64()
}

// revocations are the entries of a list.
func revocations(tx *store.Tx) ([]x509.RevocationListEntry, error) {
	rows, err := store.All[issued](tx, issuedClass, fleet.Filter{"good": false})
	if err != nil {
		return nil, err
	}
	var entries []x509.RevocationListEntry
	for _, c := range rows {
		if outlived(c, tx.Now()) {
			continue
		}
		n, ok := new(big.Int).SetString(c.Serial, 16)
		if !ok {
			return nil, fmt.Errorf("the serial %q is not hexadecimal", c.Serial)
		}
		entries = append(entries, x509.RevocationListEntry{SerialNumber: n, RevocationTime: time.Unix(c.Revoked, 0)})
	}
	return entries, nil
}

// outlived tells whether nobody asks for a certificate's revocation any more.
func outlived(c issued, now time.Time) bool {
	end := time.Unix(c.NotAfter, 0)
	if c.Purpose != string(enrol.Tunnel) {
		end = end.Add(keepRevoked)
	}
	return now.After(end.Add(24 * time.Hour))
}

// TakeCRL reads a list that a host has, after this server was restored: its
// revocations count again, and further lists have larger numbers. One that no
// issuing key of ours signed is Denied. What it lacks stays revoked: an older one
// does no harm.
func (a *Authority) TakeCRL(tx *store.Tx, der []byte) error {
	_, err := a.TakeList(tx, der)
	return err
}

// TakeList is TakeCRL, and says how many revocations were new.
func (a *Authority) TakeList(tx *store.Tx, der []byte) (fresh int, err error) {
	if fresh, err = a.takeList(tx, der); err != nil {
		return 0, fmt.Errorf("cannot take the list of revocations: %w", err)
	}
	return fresh, nil
}

func (a *Authority) takeList(tx *store.Tx, der []byte) (fresh int, err error) {
	if len(der) > maxList {
		return 0, fleet.Errorf(fleet.TooLarge, "it has more than %d bytes", maxList)
	}
	theirs, err := x509.ParseRevocationList(der)
	if err == nil && len(theirs.Raw) != len(der) {
		err = errors.New("there is something behind it")
	}
	if err != nil {
		return 0, fleet.Errorf(fleet.Invalid, "%w", err)
	}
	if err := a.ours(theirs); err != nil {
		return 0, fleet.Errorf(fleet.Denied, "%w", err)
	}
	if theirs.Number == nil || !theirs.Number.IsInt64() || theirs.Number.Int64() > 1<<62 {
		return 0, fleet.Errorf(fleet.Invalid, "its number is none of ours")
	}
	n := theirs.Number.Int64()
	if known, err := a.Signed(tx, n); err != nil || known {
		return 0, err
	}
	if err := tx.Put(numberClass, numberClass.Encode(number{Number: n, Signed: theirs.ThisUpdate.Unix()})); err != nil {
		return 0, err
	}
	if fresh, err = takeEntries(tx, theirs); err != nil {
		return 0, err
	}
	l, err := readList(tx)
	if err != nil {
		return 0, err
	}
	if n <= l.Number && fresh == 0 {
		return 0, nil
	}
	l.Number = max(l.Number, n)
	if err := tx.Put(listClass, listClass.Encode(l)); err != nil {
		return 0, err
	}
	return fresh, a.signList(tx)
}

func (a *Authority) ours(l *x509.RevocationList) error {
	for _, i := range a.mat.Load().Issuing {
		if string(l.RawIssuer) == string(i.Cert.RawSubject) && l.CheckSignatureFrom(i.Cert) == nil {
			return nil
		}
	}
	return errors.New("no issuing key of ours signed it")
}

// takeEntries revokes what a list of ours says, and counts what is new.
func takeEntries(tx *store.Tx, l *x509.RevocationList) (fresh int, err error) {
	for _, e := range l.RevokedCertificateEntries {
		name := e.SerialNumber.Text(16)
		// Of a certificate that was issued after the backup nothing but the serial is
		// known; it may live as long as any.
		c := issued{Serial: name, Good: true, NotAfter: e.RevocationTime.Add(lives[enrol.Host]).Unix()}
		known, found, err := get[issued](tx, issuedClass, fleet.Row{"serial": name})
		if err != nil {
			return fresh, err
		}
		if found {
			c = known
		}
		if !c.Good {
			continue
		}
		if err := revoke(tx, c, "a host's list of revocations says so"); err != nil {
			return fresh, err
		}
		fresh++
	}
	return fresh, nil
}
