package ca

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
)

// Bundle is an authority outside of a folder: its certificate, and its key if
// that is at hand, both in PEM. Servers of one fleet give it to each other,
// sealed.
type Bundle []byte

// Read returns the authority in a folder; it is fs.ErrNotExist if there is none.
func Read(dir string) (Bundle, error) {
	cert, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		return nil, err
	}
	key, err := os.ReadFile(filepath.Join(dir, "ca.key"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return append(cert, key...), nil
}

// Make makes an authority that is in no folder yet. It counts once it is kept.
func Make(name string, now func() time.Time) (Bundle, error) {
	key, err := newKey()
	if err != nil {
		return nil, fmt.Errorf("cannot make the certificate authority: %w", err)
	}
	der, err := root(name, key, now())
	if err != nil {
		return nil, fmt.Errorf("cannot make the certificate authority: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("cannot make the certificate authority: %w", err)
	}
	return append(encodePEM("CERTIFICATE", der), encodePEM("PRIVATE KEY", keyDER)...), nil
}

// Write puts the authority into a folder that has none. A folder that has it
// stays as it is; one that has another is refused: agents trust that one.
func (b Bundle) Write(dir string) error {
	cert, key, err := b.parts()
	if err != nil {
		return err
	}
	have, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	switch {
	case err == nil:
		if block, _ := pem.Decode(have); block == nil || !bytes.Equal(block.Bytes, cert.Bytes) {
			return fleet.WithHint(fleet.Errorf(fleet.Conflict, "cannot use the certificate authority in %s: the servers of this database have another one", dir),
				"a server that joins others starts with an empty folder and their cluster.key; or name another database")
		}
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("cannot read the certificate authority: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("cannot keep the certificate authority: %w", err)
	}
	if err := atomicfile.SyncDir(filepath.Dir(dir)); err != nil {
		return fmt.Errorf("cannot keep the certificate authority: %w", err)
	}
	if key != nil { // before the certificate, as when it is made
		if err := atomicfile.WriteFile(filepath.Join(dir, "ca.key"), pem.EncodeToMemory(key), 0o600); err != nil {
			return fmt.Errorf("cannot keep the certificate authority: %w", err)
		}
	}
	if err := atomicfile.WriteFile(filepath.Join(dir, "ca.pem"), pem.EncodeToMemory(cert), 0o644); err != nil {
		return fmt.Errorf("cannot keep the certificate authority: %w", err)
	}
	return nil
}

// parts checks that certificate and key belong together.
func (b Bundle) parts() (cert, key *pem.Block, err error) {
	cert, rest := pem.Decode(b)
	if cert == nil || cert.Type != "CERTIFICATE" {
		return nil, nil, errors.New("cannot use the certificate authority: it holds no certificate")
	}
	parsed, err := x509.ParseCertificate(cert.Bytes)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot use the certificate authority: %w", err)
	}
	if key, _ = pem.Decode(rest); key == nil {
		return cert, nil, nil
	}
	signer, err := parseKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot use the certificate authority: %w", err)
	}
	if pub, ok := parsed.PublicKey.(*ecdsa.PublicKey); !ok || !pub.Equal(signer.Public()) {
		return nil, nil, errors.New("cannot use the certificate authority: its key is another one's")
	}
	return cert, key, nil
}
