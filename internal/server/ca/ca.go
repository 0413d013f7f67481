// Package ca is the server's certificate authority: a root that agents pin, an
// issuing key that it certifies, and what the issuing key signs: the certificates
// of servers, of hosts and of their tunnels, and the list of those that count no
// more.
//
// Agents pin the root (or its SHA-256 fingerprint), so the root must outlive
// every restart and every crash. Its key signs nothing but issuing keys and the
// next root: it may be kept away from the server (`fernwerkd ca take-offline`)
// for years. In the folder stand
//
//	ca.key       the root's private key (PKCS #8, mode 0600), unless it is away
//	ca.pem       the root's certificate, which everybody may have
//	issuing.pem  issuing keys with their certificates, the newest first; then the
//	             roots before, and the certificates by which each root vouches for
//	             the next (0600)
//	server.pem   the server's private key and chain (0600)
//	next.pem     while a change is under way: all of the new state (0600)
//
// Package keyring has the authority's own files and how one state follows another.
//
// A change (a rotation, taking the root's key away) is one file, next.pem; once
// that is durable the change has happened, and whoever opens the folder finishes
// it. At the first start the key is durable before the certificate that names it:
// a crash in between leaves a key, and the next start makes its certificate.
// Servers on one database have the same in it, sealed: see replica.go of package server.
//
// Deciding what may be certified (policy.go) and signing it (issue.go) are apart.
// Each certificate of a host is a row under its serial, written in the
// transaction that its answer waits for. A certificate that is in no row opens
// nothing.
//
// Our keys are ECDSA P-256: every client since Windows 7 knows them, and they are
// short on a slow line. ECDSA signatures come in pairs, each valid; ours are
// always the lower one, and [Authority.Read] takes no other, so that a
// certificate has one form only.
package ca

import (
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
	"github.com/fernwerk/fernwerk/internal/server/ca/keyring"
)

// Authority is an opened certificate authority. It serves several goroutines.
type Authority struct {
	dir string
	now func() time.Time
	mat atomic.Pointer[keyring.Material]
}

// Open reads the authority in a folder, or makes what is missing there. name
// stands in the root's subject, for people who look at it. now is the clock.
func Open(dir, name string, now func() time.Time) (*Authority, error) {
	a := &Authority{dir: dir, now: now}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the certificate authority: %w", err)
	}
	if err := atomicfile.SyncDir(filepath.Dir(dir)); err != nil {
		return nil, fmt.Errorf("cannot make the certificate authority: %w", err)
	}
	m, err := keyring.Open(dir, name, now())
	if err != nil {
		return nil, fleet.WithHint(fmt.Errorf("cannot open the certificate authority: %w", err),
			"restore %s from a backup: agents trust this authority, a new one means that each must be told", dir)
	}
	a.mat.Store(m)
	return a, nil
}

func (a *Authority) path(name string) string { return filepath.Join(a.dir, name) }

// PEM is the certificate of the root that counts now.
func (a *Authority) PEM() []byte { return keyring.CertificatePEM(a.mat.Load().Root) }

// Roots are all certificates that a client should believe now, in PEM: the root,
// those before it, and how each vouches for the next.
func (a *Authority) Roots() []byte { return keyring.CertificatePEM(a.mat.Load().Believed(a.now())...) }

// ClientCAs are the authorities of hosts' certificates: the issuing keys that
// still count. It changes with a rotation.
func (a *Authority) ClientCAs() *x509.CertPool {
	pool := x509.NewCertPool()
	for _, i := range a.mat.Load().Issuing {
		pool.AddCert(i.Cert)
	}
	return pool
}

// Fingerprint is the SHA-256 of the root's certificate in hexadecimal, by which
// a person or a token can name it.
func (a *Authority) Fingerprint() string { return keyring.Fingerprint(a.mat.Load().Root) }

// issuing is the key that signs now.
func (a *Authority) issuing() (*keyring.Material, keyring.Issuer, error) {
	m := a.mat.Load()
	if i := slices.IndexFunc(m.Issuing, func(i keyring.Issuer) bool { return i.Key != nil }); i >= 0 {
		if a.now().Before(m.Issuing[i].Cert.NotAfter) {
			return m, m.Issuing[i], nil
		}
	}
	return m, keyring.Issuer{}, fleet.WithHint(fleet.Errorf(fleet.Unavailable, "the certificate authority has no issuing key that counts now"),
		"run: fernwerkd ca rotate --root-key FILE, with the root's key, which is not in %s", a.dir)
}
