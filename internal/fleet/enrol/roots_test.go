package enrol_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
)

var at = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// ca is an authority in a test.
type ca struct {
	key  crypto.Signer
	cert *x509.Certificate
}

type option func(*x509.Certificate)

func newKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// certify has by certify a name and key; nil: itself.
func certify(t testing.TB, name string, key crypto.Signer, by *ca, opts ...option) *x509.Certificate {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: at.Add(-time.Hour), NotAfter: at.Add(1000 * time.Hour),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true}
	for _, o := range opts {
		o(c)
	}
	parent, signer := c, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func root(t testing.TB, name string, opts ...option) *ca {
	t.Helper()
	key := newKey(t)
	return &ca{key, certify(t, name, key, nil, opts...)}
}

func text(certs ...*x509.Certificate) (out []byte) {
	for _, c := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}

func TestVouched(t *testing.T) {
	one, two, three, foreign := root(t, "one"), root(t, "two"), root(t, "three"), root(t, "one")
	ended := func(c *x509.Certificate) { c.NotAfter = at.Add(-time.Minute) }
	late := root(t, "late", ended)
	cross12, cross23 := certify(t, "two", two.key, one), certify(t, "three", three.key, two)
	issuing := root(t, "issuing")
	issuing.cert = certify(t, "issuing", issuing.key, one, func(c *x509.Certificate) { c.MaxPathLenZero = true })
	leaf := certify(t, "client1.example.org", newKey(t), one, func(c *x509.Certificate) { c.IsCA, c.KeyUsage = false, x509.KeyUsageDigitalSignature })
	stranger := newKey(t)
	for name, tt := range map[string]struct{ present, offered, want []byte }{
		"the same":                       {text(one.cert), text(one.cert), text(one.cert)},
		"a new one, vouched for":         {text(one.cert), text(two.cert, one.cert, cross12), text(two.cert, one.cert, cross12)},
		"two steps at once":              {text(one.cert), text(three.cert, cross12, cross23), text(three.cert, cross12, cross23)},
		"the old one goes":               {text(two.cert, one.cert, cross12), text(two.cert), text(two.cert)},
		"a new one without a word":       {text(one.cert), text(two.cert), nil},
		"beside the present one":         {text(one.cert), text(two.cert, one.cert), text(one.cert)},
		"the word of a stranger":         {text(one.cert), text(two.cert, certify(t, "two", two.key, foreign)), nil},
		"a word over another key":        {text(one.cert), text(two.cert, certify(t, "two", stranger, one)), nil},
		"a word over another name":       {text(one.cert), text(two.cert, certify(t, "three", two.key, one)), nil},
		"a word that ended":              {text(one.cert), text(two.cert, certify(t, "two", two.key, one, ended)), nil},
		"the word of one that ended":     {text(late.cert), text(two.cert, certify(t, "two", two.key, late)), nil},
		"an issuing key as authority":    {text(one.cert), text(issuing.cert), nil},
		"the word of an issuing key":     {text(one.cert), text(two.cert, issuing.cert, certify(t, "two", two.key, issuing)), nil},
		"a host as authority":            {text(one.cert), text(leaf), nil},
		"a word alone is no authority":   {text(one.cert), text(cross12), nil},
		"what only was a word vouches":   {text(one.cert, cross12), text(three.cert, cross23), nil},
		"text between":                   {text(one.cert), append([]byte("hello\n"), text(one.cert)...), nil},
		"text behind":                    {text(one.cert), append(text(one.cert), "hello"...), nil},
		"nothing":                        {text(one.cert), nil, nil},
		"a key among them":               {text(one.cert), append(text(one.cert), "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"...), nil},
		"nobody believed, all believed?": {nil, text(one.cert), nil},
	} {
		got, err := enrol.Vouched(tt.present, tt.offered, at)
		if string(got) != string(tt.want) || (err != nil) != (tt.want == nil) {
			t.Errorf("%s: %v\n%s", name, err, got)
		}
	}
}

func TestVouched_Limits(t *testing.T) {
	one := root(t, "one")
	if _, err := enrol.Vouched(text(one.cert), []byte(fmt.Sprintf("%0300000d", 0)), at); fleet.CodeOf(err) != fleet.Invalid {
		t.Error(err)
	}
	var many []*x509.Certificate
	for range 65 {
		many = append(many, one.cert)
	}
	if _, err := enrol.Vouched(text(one.cert), text(many...), at); fleet.CodeOf(err) != fleet.Invalid {
		t.Error(err)
	}
}

func TestReadCRL(t *testing.T) {
	one, foreign := root(t, "one"), root(t, "one")
	issuing := &ca{key: newKey(t)}
	issuing.cert = certify(t, "issuing", issuing.key, one)
	list := func(by *ca, number int64) []byte {
		der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(number), ThisUpdate: at, NextUpdate: at.Add(-time.Hour).Add(time.Hour * 2),
			RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: big.NewInt(0xabc), RevocationTime: at}}}, by.cert, by.key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	fine := list(issuing, 7)
	r, err := enrol.ReadCRL(fine, text(one.cert), text(issuing.cert), at.Add(24*time.Hour)) // overdue
	if err != nil || r.Number != 7 || len(r.Revoked) != 1 || !r.Revoked["abc"] {
		t.Fatalf("%+v, %v", r, err)
	}
	impostor := &ca{key: newKey(t)}
	impostor.cert = certify(t, "issuing", impostor.key, foreign)
	for name, tt := range map[string]struct {
		der, believed, above []byte
		code                 fleet.Code
	}{
		"another authority's":  {list(impostor, 8), text(one.cert), text(impostor.cert, issuing.cert), fleet.Denied},
		"its issuer not shown": {fine, text(one.cert), text(impostor.cert), fleet.Denied},
		"not a list":           {[]byte("hello"), text(one.cert), text(issuing.cert), fleet.Invalid},
		"cut":                  {fine[:len(fine)-1], text(one.cert), text(issuing.cert), fleet.Invalid},
		"more behind":          {append(fine[:len(fine):len(fine)], 0), text(one.cert), text(issuing.cert), fleet.Invalid},
		"number 0":             {list(issuing, 0), text(one.cert), text(issuing.cert), fleet.Invalid},
		"too large":            {make([]byte, 5<<20), text(one.cert), text(issuing.cert), fleet.TooLarge},
		"nobody believed":      {fine, nil, text(issuing.cert), fleet.Invalid},
	} {
		if r, err := enrol.ReadCRL(tt.der, tt.believed, tt.above, at); r != nil || fleet.CodeOf(err) != tt.code {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

func FuzzVouched(f *testing.F) {
	one, two := root(f, "one"), root(f, "two")
	f.Add(text(two.cert, one.cert, certify(f, "two", two.key, one)))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	present := text(one.cert)
	f.Fuzz(func(t *testing.T, offered []byte) {
		got, err := enrol.Vouched(present, offered, at)
		if err != nil {
			return
		}
		again, err := enrol.Vouched(present, got, at)
		if err != nil || string(again) != string(got) {
			t.Errorf("what is believed is not offered again: %v", err)
		}
	})
}
