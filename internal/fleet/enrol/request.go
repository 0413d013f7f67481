package enrol

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// MaxRequest bounds a request for a certificate, in bytes of PEM.
const MaxRequest = 8 << 10

// requestType is the PEM type of a request (RFC 7468).
const requestType = "CERTIFICATE REQUEST"

// ParseRequest reads a request for a certificate (PKCS #10 in PEM) and checks
// that who made it has the key. Only the key counts: the names, extensions and
// attributes that it asks for are what somebody wishes, and nobody takes them
// from it. The key is ECDSA P-256 or Ed25519. id is the key's; see [KeyID].
func ParseRequest(text []byte) (key crypto.PublicKey, id string, err error) {
	bad := func(err error) (crypto.PublicKey, string, error) {
		return nil, "", fleet.Errorf(fleet.Invalid, "cannot use the request for a certificate: %w", err)
	}
	if len(text) > MaxRequest {
		return bad(errors.New("it is too large"))
	}
	block, rest := pem.Decode(text)
	if block == nil || block.Type != requestType || len(bytes.TrimSpace(rest)) > 0 {
		return bad(errors.New("it is not one request in PEM"))
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err == nil {
		err = csr.CheckSignature()
	}
	if err != nil {
		return bad(err)
	}
	if id, err = KeyID(csr.PublicKey); err != nil {
		return bad(err)
	}
	return csr.PublicKey, id, nil
}

// KeyID is the SHA-256 of a public key (its SubjectPublicKeyInfo) in hexadecimal:
// by it a server knows again who asks twice. Keys of other kinds are refused.
func KeyID(key crypto.PublicKey) (string, error) {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return "", errors.New("its key is on another curve than P-256")
		}
	case ed25519.PublicKey:
	default:
		return "", errors.New("its key is not ECDSA P-256 or Ed25519")
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:]), nil
}

// EncodeRequest is a request in PEM.
func EncodeRequest(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: requestType, Bytes: der})
}
