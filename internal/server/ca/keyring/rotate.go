package keyring

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Changes of an authority are made of a [Bundle] and give the next one, which has
// a higher number. They happen once that is kept: in the database where several
// servers share one, else in the folder.

// Rotation says what is made anew.
type Rotation struct {
	// RootKey is what [Bundle.TakeRootKey] took away; nil: the key is in the bundle.
	RootKey Bundle
	// Root has a new root made as well, for which the present one vouches.
	Root bool
	// Apart gets the new root's certificate and key, which is not kept in the bundle
	// then. Nil leaves it there.
	Apart func(Bundle) error
}

// Rotate makes a new issuing key, and a new root if that is asked for. What was
// signed before counts until it expires: the issuing keys before stay, as does
// each root that clients may know.
func (b Bundle) Rotate(r Rotation, now time.Time) (Bundle, error) {
	m, err := b.Material()
	if err != nil {
		return nil, err
	}
	key, err := m.rootKeyFrom(r.RootKey)
	if err != nil {
		return nil, err
	}
	if r.Root {
		err = m.rotateRoot(key, now)
		key = m.RootKey
	}
	if err == nil {
		err = m.rotate(key, now)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot rotate the certificate authority: %w", err)
	}
	if r.Root && r.Apart != nil {
		alone := &Material{Root: m.Root, RootKey: key, Generation: m.Generation}
		m.RootKey, m.Away = nil, true
		text, err := alone.RootBundle()
		if err == nil {
			err = r.Apart(text)
		}
		if err != nil {
			return nil, err
		}
	}
	m.drop(now)
	return m.Bundle()
}

// rootKeyFrom is the present root's key, from outside or at hand.
func (m *Material) rootKeyFrom(outside Bundle) (crypto.Signer, error) {
	if outside == nil {
		if m.RootKey == nil {
			return nil, fleet.WithHint(fleet.Errorf(fleet.NotHere, "cannot rotate the certificate authority: the root's key is not here"),
				"give it with --root-key FILE, the file that fernwerkd ca take-offline wrote")
		}
		return m.RootKey, nil
	}
	from, err := outside.Material()
	if err != nil {
		return nil, err
	}
	if !from.Root.Equal(m.Root) || from.RootKey == nil {
		return nil, fleet.Errorf(fleet.Invalid, "cannot rotate the certificate authority: the file holds the key of %s (%s), not of the root that counts", from.Root.Subject.CommonName, Fingerprint(from.Root))
	}
	return from.RootKey, nil
}

var numbered = regexp.MustCompile(` \(\d+\)$`)

// rotateRoot makes a new root. The old root's key signs its name and key, and is
// needed no more.
func (m *Material) rotateRoot(old crypto.Signer, now time.Time) error {
	if now.After(m.Root.NotAfter) {
		return errors.New("the root has expired, nobody believes what it says of another")
	}
	key, err := NewKey()
	if err != nil {
		return err
	}
	name := numbered.ReplaceAllString(m.Root.Subject.CommonName, "") + fmt.Sprintf(" (%d)", m.Generation+1)
	cert, err := root(name, key, now)
	if err != nil {
		return err
	}
	cross, err := Sign(authority(name, now, Earlier(cert.NotAfter, m.Root.NotAfter)), m.Root, key.Public(), old)
	if err != nil {
		return err
	}
	m.Before = append([]*x509.Certificate{m.Root}, m.Before...)
	m.Cross = append([]*x509.Certificate{cross}, m.Cross...)
	m.Root, m.RootKey, m.Away = cert, key, false
	return nil
}

// drop forgets what has expired.
func (m *Material) drop(now time.Time) {
	ended := func(c *x509.Certificate) bool { return now.After(c.NotAfter) }
	m.Before = slices.DeleteFunc(m.Before, ended)
	m.Cross = slices.DeleteFunc(m.Cross, ended)
	m.Issuing = slices.DeleteFunc(m.Issuing, func(i Issuer) bool { return ended(i.Cert) })
}

// RootBundle is the root's certificate and key alone.
func (m *Material) RootBundle() (Bundle, error) {
	key, err := KeyPEM(m.RootKey)
	return append(CertificatePEM(m.Root), key...), err
}

// TakeRootKey takes the root's key out of the bundle: alone is the root with its
// key, without is the bundle that has it no more.
func (b Bundle) TakeRootKey() (alone, without Bundle, err error) {
	m, err := b.Material()
	if err != nil {
		return nil, nil, err
	}
	if m.RootKey == nil {
		return nil, nil, fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot take the root's key away: it is not here"), "it is in the file that was written when it was taken offline, as fernwerkd ca status says")
	}
	if len(m.Issuing) == 0 {
		return nil, nil, fleet.WithHint(fleet.Errorf(fleet.Conflict, "cannot take the root's key away: there is no issuing key yet"), "start the server once, it makes one")
	}
	if alone, err = m.RootBundle(); err != nil {
		return nil, nil, err
	}
	m.RootKey, m.Away = nil, true
	m.Generation++
	without, err = m.Bundle()
	return alone, without, err
}

// Forget forgets an earlier root or issuing key, by the SHA-256 of its
// certificate. Nobody is told to believe such a root any more; what its issuing
// keys signed of hosts counts here until they are forgotten, too. No certificate
// that a forgotten issuing key signed opens anything.
func (b Bundle) Forget(print string) (Bundle, error) {
	m, err := b.Material()
	if err != nil {
		return nil, err
	}
	print = strings.ToLower(strings.ReplaceAll(print, ":", ""))
	is := func(c *x509.Certificate) bool { return Fingerprint(c) == print }
	switch {
	case is(m.Root), len(m.Issuing) > 0 && is(m.Issuing[0].Cert):
		return nil, fleet.WithHint(fleet.Errorf(fleet.Conflict, "cannot forget %s: it signs now", print), "make another one first: fernwerkd ca rotate")
	case slices.ContainsFunc(m.Before, is):
		i := slices.IndexFunc(m.Before, is)
		gone := m.Before[i]
		m.Before = slices.Delete(m.Before, i, i+1)
		// What it says of the next root goes, too; a root before it has no word then.
		m.Cross = slices.DeleteFunc(m.Cross, func(c *x509.Certificate) bool {
			return c.CheckSignatureFrom(gone) == nil || string(c.RawSubject) == string(gone.RawSubject)
		})
	case slices.ContainsFunc(m.Issuing, func(i Issuer) bool { return is(i.Cert) }):
		m.Issuing = slices.DeleteFunc(m.Issuing, func(i Issuer) bool { return is(i.Cert) })
	default:
		return nil, fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot forget %s: there is no such root or issuing key", print), "fernwerkd ca status lists them; give the whole SHA-256")
	}
	m.Generation++
	return m.Bundle()
}
