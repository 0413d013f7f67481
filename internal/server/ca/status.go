package ca

import (
	"crypto/x509"
	"errors"
	"io/fs"
	"path/filepath"
	"time"
)

// Where a private key is.
const (
	Here      = "here"
	Away      = "away"      // it was taken offline
	Elsewhere = "elsewhere" // nobody said where
)

// Known is an authority's certificate, as people see it.
type Known struct {
	Name        string    `json:"name"`
	Fingerprint string    `json:"fingerprint"` // SHA-256
	Serial      string    `json:"serial"`
	NotBefore   time.Time `json:"notBefore"`
	NotAfter    time.Time `json:"notAfter"`
	Key         string    `json:"key,omitempty"`
}

// Status is what an authority consists of.
type Status struct {
	Root    Known   `json:"root"`
	Earlier []Known `json:"earlierRoots"`
	// Issuing are the issuing keys, the one that signs first.
	Issuing []Known `json:"issuing"`
	// Changes numbers the states of the authority.
	Changes int `json:"changes"`
}

// Status describes the bundle.
func (b Bundle) Status() (*Status, error) {
	m, err := b.material()
	if err != nil {
		return nil, err
	}
	s := &Status{Root: known(m.root, Elsewhere), Earlier: []Known{}, Issuing: []Known{}, Changes: m.generation}
	switch {
	case m.rootKey != nil:
		s.Root.Key = Here
	case m.away:
		s.Root.Key = Away
	}
	for _, c := range m.before {
		s.Earlier = append(s.Earlier, known(c, ""))
	}
	for _, i := range m.issuing {
		where := Elsewhere
		if i.key != nil {
			where = Here
		}
		s.Issuing = append(s.Issuing, known(i.cert, where))
	}
	return s, nil
}

func known(c *x509.Certificate, key string) Known {
	return Known{Name: c.Subject.CommonName, Fingerprint: fingerprint(c), Serial: Serial(c), NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC(), Key: key}
}

// Served describes the certificate that the server of a folder shows, nil if there
// is none.
func Served(dir string) (*Known, error) {
	m, err := load(dir)
	if err != nil || m == nil {
		return nil, err
	}
	cert, err := readServer(filepath.Join(dir, "server.pem"), m.roots())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	k := known(cert.Leaf, "")
	return &k, nil
}
