// Package keyring is what a certificate authority consists of: the root with its
// key, the issuing keys, the roots before, and how each root vouches for the next;
// how that lies in a folder and in a text, and how the next state is made of one.
// Package ca tells the story, and the format.
package keyring

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
)

// marker is the block between the root and the rest. Its headers number the
// states, so that the newer of two is known, name the first root, and say whether
// the root's key was taken away.
const marker = "FERNWERK AUTHORITY"

// Material is all that an authority consists of. It does not change once others
// see it.
type Material struct {
	Root       *x509.Certificate
	RootKey    crypto.Signer // nil: it is elsewhere
	Away       bool          // it was taken away, no folder shall have it
	Generation int
	Origin     string              // fingerprint of the first root: what makes it this authority
	Issuing    []Issuer            // the newest first
	Before     []*x509.Certificate // earlier roots, the newest first
	Cross      []*x509.Certificate // each a root's certificate by the one before, the newest first
}

// Issuer is an issuing key.
type Issuer struct {
	Cert *x509.Certificate
	Key  crypto.Signer // nil: it is elsewhere
}

// Believed are the certificates that clients should have.
func (m *Material) Believed(now time.Time) []*x509.Certificate {
	all := append([]*x509.Certificate{m.Root}, m.Before...)
	return slices.DeleteFunc(append(all, m.Cross...), func(c *x509.Certificate) bool { return c != m.Root && now.After(c.NotAfter) })
}

// Roots are the root and those before it.
func (m *Material) Roots() []*x509.Certificate {
	return append([]*x509.Certificate{m.Root}, m.Before...)
}

// Above are the certificates between what an issuing key signs and a root.
func (m *Material) Above(i Issuer) []*x509.Certificate {
	return append([]*x509.Certificate{i.Cert}, m.Cross...)
}

// Bundle is the material as text.
func (m *Material) Bundle() (Bundle, error) {
	text := CertificatePEM(m.Root)
	if m.RootKey != nil {
		key, err := KeyPEM(m.RootKey)
		if err != nil {
			return nil, err
		}
		text = append(text, key...)
	}
	rest, err := m.rest()
	return append(text, rest...), err
}

// rest is the text of what is neither the root nor its key: issuing.pem.
func (m *Material) rest() ([]byte, error) {
	headers := map[string]string{"Generation": strconv.Itoa(m.Generation), "Origin": m.Origin}
	if m.Away {
		headers["Root-Key"] = "away"
	}
	text := pem.EncodeToMemory(&pem.Block{Type: marker, Headers: headers, Bytes: []byte("fernwerk")})
	for _, i := range m.Issuing {
		text = append(text, CertificatePEM(i.Cert)...)
		if i.Key == nil {
			continue
		}
		key, err := KeyPEM(i.Key)
		if err != nil {
			return nil, err
		}
		text = append(text, key...)
	}
	text = append(text, CertificatePEM(m.Before...)...)
	return append(text, CertificatePEM(m.Cross...)...), nil
}

// parse reads a bundle, or the part of one after the root.
func (m *Material) parse(text []byte) error {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			if len(bytes.TrimSpace(text)) > 0 {
				return errors.New("there is something else in it")
			}
			break
		}
		if err := m.take(block); err != nil {
			return err
		}
	}
	if m.Root == nil {
		return errors.New("it holds no certificate")
	}
	if m.Origin == "" { // of before there were issuing keys
		m.Origin = Fingerprint(m.Root)
	}
	return m.check()
}

var origin = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (m *Material) take(block *pem.Block) error {
	switch block.Type {
	case marker:
		n, err := strconv.Atoi(block.Headers["Generation"])
		if err != nil || n < 0 {
			return errors.New("its state has no number")
		}
		m.Generation, m.Away, m.Origin = n, block.Headers["Root-Key"] == "away", block.Headers["Origin"]
		if !origin.MatchString(m.Origin) {
			return errors.New("its origin is none")
		}
		return nil
	case "PRIVATE KEY":
		key, err := parseKey(block)
		if err != nil {
			return err
		}
		switch last := len(m.Issuing) - 1; {
		case m.Root != nil && m.Generation == 0 && m.RootKey == nil && belongs(m.Root, key):
			m.RootKey = key
		case last >= 0 && m.Issuing[last].Key == nil && belongs(m.Issuing[last].Cert, key):
			m.Issuing[last].Key = key
		default:
			return errors.New("a key in it is another one's")
		}
		return nil
	case "CERTIFICATE":
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return err
		}
		switch {
		case m.Root == nil:
			m.Root = cert
		case bytes.Equal(cert.RawIssuer, cert.RawSubject):
			m.Before = append(m.Before, cert)
		case slices.ContainsFunc(m.Roots(), func(r *x509.Certificate) bool { return bytes.Equal(r.RawSubject, cert.RawSubject) }):
			m.Cross = append(m.Cross, cert)
		default:
			m.Issuing = append(m.Issuing, Issuer{Cert: cert})
		}
		return nil
	}
	return fmt.Errorf("a %s is nothing of an authority", block.Type)
}

// check checks that all of it hangs together.
func (m *Material) check() error {
	for _, c := range m.Roots() {
		if err := c.CheckSignatureFrom(c); err != nil {
			return fmt.Errorf("the root %s: %w", c.Subject.CommonName, err)
		}
	}
	for n, i := range m.Issuing {
		// The root of an earlier one may have been forgotten: what the key signed of
		// hosts counts here all the same.
		if !i.Cert.IsCA || n == 0 && i.Cert.CheckSignatureFrom(m.Root) != nil {
			return fmt.Errorf("the root did not sign the issuing key %s", i.Cert.Subject.CommonName)
		}
	}
	return nil
}

// Load reads a folder's authority and finishes a change that was interrupted; nil
// if there is no certificate.
func Load(dir string) (*Material, error) {
	if text, err := os.ReadFile(filepath.Join(dir, "next.pem")); err == nil {
		m := &Material{}
		if err := m.parse(text); err != nil {
			return nil, fmt.Errorf("next.pem: %w", err)
		}
		return m, m.finish(dir)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	m := &Material{}
	var err error
	if m.Root, err = readCertificate(filepath.Join(dir, "ca.pem")); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	m.RootKey, err = readKey(filepath.Join(dir, "ca.key"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		m.RootKey = nil
	case err != nil:
		return nil, err
	case !belongs(m.Root, m.RootKey):
		return nil, fmt.Errorf("%s is not the key of %s", filepath.Join(dir, "ca.key"), filepath.Join(dir, "ca.pem"))
	}
	text, err := os.ReadFile(filepath.Join(dir, "issuing.pem"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := m.parse(text); err != nil {
		return nil, fmt.Errorf("issuing.pem: %w", err)
	}
	return m, nil
}

// Keep makes a folder hold the material. Once next.pem is there it has happened.
func (m *Material) Keep(dir string) error {
	text, err := m.Bundle()
	if err != nil {
		return err
	}
	if err := atomicfile.WriteFile(filepath.Join(dir, "next.pem"), text, 0o600); err != nil {
		return err
	}
	return m.finish(dir)
}

// finish brings the folder's files to what next.pem says. It may be done again.
func (m *Material) finish(dir string) error {
	for _, step := range m.Steps(dir) {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// Steps are what follows once next.pem is there, in order. Each may be done again.
func (m *Material) Steps(dir string) []func() error {
	remove := func(name string) error {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return atomicfile.SyncDir(dir)
	}
	return []func() error{
		func() error {
			if m.RootKey == nil {
				return remove("ca.key")
			}
			return writeKey(filepath.Join(dir, "ca.key"), m.RootKey)
		},
		func() error {
			rest, err := m.rest()
			if err != nil {
				return err
			}
			return atomicfile.WriteFile(filepath.Join(dir, "issuing.pem"), rest, 0o600)
		},
		func() error { return atomicfile.WriteFile(filepath.Join(dir, "ca.pem"), CertificatePEM(m.Root), 0o644) },
		func() error { return remove("next.pem") },
	}
}
