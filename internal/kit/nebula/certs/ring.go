package certs

import (
	"bytes"
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/slackhq/nebula/cert"
)

// Ring is the authorities of a mesh, in whatever state one takes another's place:
//
//	one         signs
//	one, next   signs; nodes learn to believe the next as well
//	next, one   the next signs; nodes move
//	next        signs, and the former one is believed no more
//
// The text is the authorities in this order, each as [New] makes it, and then the
// [Heir]s: each authority of the past said which followed it, so that whoever knows
// an old one only finds the present one.
type Ring struct {
	All   []*Authority // the first signs
	Heirs []Heir
}

// Heir is an authority's word about the one that follows it: both are Ed25519 keys.
type Heir struct{ Of, Key, Signature []byte }

const (
	heirType = "FERNWERK MESH HEIR"
	// maxHeirs bounds how many rotations back a node finds its way.
	maxHeirs = 32
)

// heirWords begin what is signed: no certificate and no map does.
var heirWords = []byte("fernwerk mesh heir 1\n")

// HeirText is what an authority signs of the next.
func HeirText(key []byte) []byte { return slices.Concat(heirWords, key) }

// ReadRing reads a text of [New], or of [Ring.Text].
func ReadRing(text []byte) (*Ring, error) {
	fail := func(err error) (*Ring, error) {
		return nil, fmt.Errorf("cannot read the mesh's authorities: %w", err)
	}
	r := &Ring{}
	for len(bytes.TrimSpace(text)) > 0 {
		block, rest := pem.Decode(text)
		if block == nil {
			return fail(errors.New("they are none"))
		}
		if block.Type == heirType {
			const size = 2*ed25519.PublicKeySize + ed25519.SignatureSize
			if len(block.Bytes) != size || len(r.Heirs) == maxHeirs {
				return fail(errors.New("a word about an heir is none"))
			}
			h := Heir{Of: block.Bytes[:32:32], Key: block.Bytes[32:64:64], Signature: block.Bytes[64:]}
			if !ed25519.Verify(h.Of, HeirText(h.Key), h.Signature) {
				return fail(errors.New("a word about an heir is not signed by whom it follows"))
			}
			r.Heirs, text = append(r.Heirs, h), rest
			continue
		}
		second, after := pem.Decode(rest)
		if second == nil || len(r.All) == 2 || len(r.Heirs) > 0 {
			return fail(errors.New("there is one too many, or half of one"))
		}
		a, err := Read(text[:len(text)-len(after)])
		if err != nil {
			return fail(err)
		}
		r.All, text = append(r.All, a), after
	}
	if len(r.All) == 0 {
		return fail(errors.New("there is none"))
	}
	return r, nil
}

// Text is the ring as it is kept.
func (r *Ring) Text() []byte {
	var out bytes.Buffer
	for _, a := range r.All {
		out.Write(cert.MarshalSigningPrivateKeyToPEM(cert.Curve_CURVE25519, a.key))
		out.WriteString(a.Certificate)
	}
	for _, h := range r.Heirs {
		out.Write(pem.EncodeToMemory(&pem.Block{Type: heirType, Bytes: slices.Concat(h.Of, h.Key, h.Signature)}))
	}
	return out.Bytes()
}

// Signing is the authority that signs now.
func (r *Ring) Signing() *Authority { return r.All[0] }

// Bundle are the certificates of all that are believed.
func (r *Ring) Bundle() string {
	var b strings.Builder
	for _, a := range r.All {
		b.WriteString(strings.TrimSuffix(a.Certificate, "\n") + "\n")
	}
	return b.String()
}

// Next is the ring with an authority that takes the signing one's place later.
func (r *Ring) Next(name string, from, until time.Time) (*Ring, error) {
	if len(r.All) != 1 {
		return nil, errors.New("one authority is taking another's place already")
	}
	text, err := New(name, from, until)
	if err != nil {
		return nil, err
	}
	next, err := Read(text)
	if err != nil {
		return nil, err
	}
	heirs := append(slices.Clone(r.Heirs), Heir{Of: r.Signing().Public(), Key: next.Public(), Signature: r.Signing().Say(HeirText(next.Public()))})
	return &Ring{All: []*Authority{r.Signing(), next}, Heirs: heirs[max(0, len(heirs)-maxHeirs):]}, nil
}

// Moving tells whether one authority is taking another's place, and Signs whether
// the next signs already: it is the heir of the other.
func (r *Ring) Moving() bool { return len(r.All) > 1 }

// Signs tells whether the newest authority signs.
func (r *Ring) Signs() bool {
	return len(r.Heirs) == 0 || bytes.Equal(r.Signing().Public(), r.Heirs[len(r.Heirs)-1].Key)
}

// Turn has the next authority sign.
func (r *Ring) Turn() *Ring {
	all := slices.Clone(r.All)
	if len(all) == 2 && !r.Signs() {
		slices.Reverse(all)
	}
	return &Ring{All: all, Heirs: r.Heirs}
}

// Drop has only the newest authority believed.
func (r *Ring) Drop() *Ring { return &Ring{All: r.Turn().All[:1], Heirs: r.Heirs} }

// Is tells whether it is another's authority; nil is nobody's.
func (a *Authority) Is(other *Authority) bool { return a != nil && a.key.Equal(other.key) }

// Until is how long the authority is good.
func (a *Authority) Until() time.Time { return a.cert.NotAfter() }

// SignedBy tells whether an authority signed a certificate, in PEM, as that says.
func (a *Authority) SignedBy(text string) bool {
	c, _, err := cert.UnmarshalCertificateFromPEM([]byte(text))
	if err != nil {
		return false
	}
	own, err := a.cert.Fingerprint()
	return err == nil && c.Issuer() == own
}
