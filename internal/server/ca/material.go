package ca

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
	"slices"
	"strconv"
	"time"

	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
)

// marker is the block between the root and the rest. Its headers number the
// states, so that the newer of two is known, and say whether the root's key was
// taken away.
const marker = "FERNWERK AUTHORITY"

// material is all that an authority consists of. It does not change once others
// see it.
type material struct {
	root       *x509.Certificate
	rootKey    crypto.Signer // nil: it is elsewhere
	away       bool          // it was taken away, no folder shall have it
	generation int
	issuing    []issuer            // the newest first
	before     []*x509.Certificate // earlier roots, the newest first
	cross      []*x509.Certificate // each a root's certificate by the one before, the newest first
}

// issuer is an issuing key.
type issuer struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// believed are the certificates that clients should have.
func (m *material) believed(now time.Time) []*x509.Certificate {
	all := append([]*x509.Certificate{m.root}, m.before...)
	return slices.DeleteFunc(append(all, m.cross...), func(c *x509.Certificate) bool { return c != m.root && now.After(c.NotAfter) })
}

// roots are the root and those before it.
func (m *material) roots() []*x509.Certificate {
	return append([]*x509.Certificate{m.root}, m.before...)
}

// above are the certificates between what an issuing key signs and a root.
func (m *material) above(i issuer) []*x509.Certificate {
	return append([]*x509.Certificate{i.cert}, m.cross...)
}

// bundle is the material as text.
func (m *material) bundle() (Bundle, error) {
	text := certificatePEM(m.root)
	if m.rootKey != nil {
		key, err := keyPEM(m.rootKey)
		if err != nil {
			return nil, err
		}
		text = append(text, key...)
	}
	rest, err := m.rest()
	return append(text, rest...), err
}

// rest is the text of what is neither the root nor its key: issuing.pem.
func (m *material) rest() ([]byte, error) {
	headers := map[string]string{"Generation": strconv.Itoa(m.generation)}
	if m.away {
		headers["Root-Key"] = "away"
	}
	text := pem.EncodeToMemory(&pem.Block{Type: marker, Headers: headers, Bytes: []byte("fernwerk")})
	for _, i := range m.issuing {
		text = append(text, certificatePEM(i.cert)...)
		if i.key == nil {
			continue
		}
		key, err := keyPEM(i.key)
		if err != nil {
			return nil, err
		}
		text = append(text, key...)
	}
	text = append(text, certificatePEM(m.before...)...)
	return append(text, certificatePEM(m.cross...)...), nil
}

// parse reads a bundle, or the part of one after the root.
func (m *material) parse(text []byte) error {
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
	if m.root == nil {
		return errors.New("it holds no certificate")
	}
	return m.check()
}

func (m *material) take(block *pem.Block) error {
	switch block.Type {
	case marker:
		n, err := strconv.Atoi(block.Headers["Generation"])
		if err != nil || n < 0 {
			return errors.New("its state has no number")
		}
		m.generation, m.away = n, block.Headers["Root-Key"] == "away"
		return nil
	case "PRIVATE KEY":
		key, err := parseKey(block)
		if err != nil {
			return err
		}
		switch last := len(m.issuing) - 1; {
		case m.root != nil && m.generation == 0 && m.rootKey == nil && belongs(m.root, key):
			m.rootKey = key
		case last >= 0 && m.issuing[last].key == nil && belongs(m.issuing[last].cert, key):
			m.issuing[last].key = key
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
		case m.root == nil:
			m.root = cert
		case bytes.Equal(cert.RawIssuer, cert.RawSubject):
			m.before = append(m.before, cert)
		case slices.ContainsFunc(m.roots(), func(r *x509.Certificate) bool { return bytes.Equal(r.RawSubject, cert.RawSubject) }):
			m.cross = append(m.cross, cert)
		default:
			m.issuing = append(m.issuing, issuer{cert: cert})
		}
		return nil
	}
	return fmt.Errorf("a %s is nothing of an authority", block.Type)
}

// check checks that all of it hangs together.
func (m *material) check() error {
	for _, c := range m.roots() {
		if err := c.CheckSignatureFrom(c); err != nil {
			return fmt.Errorf("the root %s: %w", c.Subject.CommonName, err)
		}
	}
	for n, i := range m.issuing {
		// The root of an earlier one may have been forgotten: what the key signed of
		// hosts counts here all the same.
		if !i.cert.IsCA || n == 0 && i.cert.CheckSignatureFrom(m.root) != nil {
			return fmt.Errorf("the root did not sign the issuing key %s", i.cert.Subject.CommonName)
		}
	}
	return nil
}

// load reads a folder's authority and finishes a change that was interrupted; nil
// if there is no certificate.
func load(dir string) (*material, error) {
	if text, err := os.ReadFile(filepath.Join(dir, "next.pem")); err == nil {
		m := &material{}
		if err := m.parse(text); err != nil {
			return nil, fmt.Errorf("next.pem: %w", err)
		}
		return m, m.finish(dir)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	m := &material{}
	var err error
	if m.root, err = readCertificate(filepath.Join(dir, "ca.pem")); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	m.rootKey, err = readKey(filepath.Join(dir, "ca.key"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		m.rootKey = nil
	case err != nil:
		return nil, err
	case !belongs(m.root, m.rootKey):
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

// keep makes a folder hold the material. Once next.pem is there it has happened.
func (m *material) keep(dir string) error {
	text, err := m.bundle()
	if err != nil {
		return err
	}
	if err := atomicfile.WriteFile(filepath.Join(dir, "next.pem"), text, 0o600); err != nil {
		return err
	}
	return m.finish(dir)
}

// finish brings the folder's files to what next.pem says. It may be done again.
func (m *material) finish(dir string) error {
	for _, step := range m.steps(dir) {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (m *material) steps(dir string) []func() error {
	remove := func(name string) error {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return atomicfile.SyncDir(dir)
	}
	return []func() error{
		func() error {
			if m.rootKey == nil {
				return remove("ca.key")
			}
			return writeKey(filepath.Join(dir, "ca.key"), m.rootKey)
		},
		func() error {
			rest, err := m.rest()
			if err != nil {
				return err
			}
			return atomicfile.WriteFile(filepath.Join(dir, "issuing.pem"), rest, 0o600)
		},
		func() error { return atomicfile.WriteFile(filepath.Join(dir, "ca.pem"), certificatePEM(m.root), 0o644) },
		func() error { return remove("next.pem") },
	}
}
