package keyring

import (
	"crypto/x509"
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
	m, err := b.Material()
	if err != nil {
		return nil, err
	}
	s := &Status{Root: known(m.Root, Elsewhere), Earlier: []Known{}, Issuing: []Known{}, Changes: m.Generation}
	switch {
	case m.RootKey != nil:
		s.Root.Key = Here
	case m.Away:
		s.Root.Key = Away
	}
	for _, c := range m.Before {
		s.Earlier = append(s.Earlier, known(c, ""))
	}
	for _, i := range m.Issuing {
		where := Elsewhere
		if i.Key != nil {
			where = Here
		}
		s.Issuing = append(s.Issuing, known(i.Cert, where))
	}
	return s, nil
}

// Describe is a certificate as people see it.
func Describe(c *x509.Certificate) Known { return known(c, "") }

func known(c *x509.Certificate, key string) Known {
	return Known{Name: c.Subject.CommonName, Fingerprint: Fingerprint(c), Serial: c.SerialNumber.Text(16), NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC(), Key: key}
}
