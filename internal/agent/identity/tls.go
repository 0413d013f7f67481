package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/kit/pin"
)

// TLS is the trust in the server, and what we show to it.
func (id Identity) TLS() (*tls.Config, error) {
	u, err := address(id.Server)
	if err != nil {
		return nil, err
	}
	return id.trust(u.Hostname())
}

// trust is the trust in a server, and what we show to it: the one place where this
// machine decides about a server's certificate, be it the config server, a depot or
// the message bus. Authorities and certificate are those of the file as it is at the
// handshake: both may have been renewed.
func (id Identity) trust(host string) (*tls.Config, error) {
	if err := id.checkTrust(); err != nil {
		return nil, fmt.Errorf("cannot trust %s: %w", host, err)
	}
	cfg := pin.Checked(host, func(cs tls.ConnectionState) error { return id.now().verify(cs, host) })
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if now := id.now(); now.Chain != "" {
			return now.Certificate()
		}
		return &tls.Certificate{}, nil // none
	}
	return cfg, nil
}

// checkTrust refuses an identity that says not whom it believes.
func (id Identity) checkTrust() error {
	switch id.ServerTrust {
	case ByAuthority:
		if id.CA == "" { // no authority would mean the system's
			return errors.New("its authority is missing")
		}
		_, err := pin.Certificates([]byte(id.CA))
		return err
	case FirstUse:
		if id.CA != "" {
			return errors.New("the identity says two ways to know it: an authority, and first-use")
		}
		return nil
	}
	return fmt.Errorf("%.40q is no way to know a server: it is authority or %s", id.ServerTrust, FirstUse)
}

// now is the identity as it is on the disk. One that cannot be read, or is
// another's, changes nothing.
func (id Identity) now() Identity {
	if id.dir == "" {
		return id
	}
	if now, err := read(id.dir); err == nil && now.HostID == id.HostID && now.Server == id.Server && now.ServerTrust == id.ServerTrust && now.checkTrust() == nil {
		return now
	}
	return id
}

func (id Identity) verify(cs tls.ConnectionState, host string) error {
	if id.ServerTrust == FirstUse {
		return id.recognise(cs.PeerCertificates, host)
	}
	return pin.Verify(cs.PeerCertificates, host, []byte(id.CA), nil)
}

// Certificate is what the machine shows; its Leaf is parsed.
func (id Identity) Certificate() (*tls.Certificate, error) {
	cert, err := tls.X509KeyPair([]byte(id.Chain), []byte(id.Key))
	if err != nil {
		return nil, fmt.Errorf("cannot use the machine's certificate: %w", err)
	}
	return &cert, nil
}

// newKey makes the machine's key, and a request for its certificate. The request
// names nothing: the server decides who we are.
func newKey() (key, csr string, err error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return "", "", err
	}
	csr, err = requestOf(k)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), csr, err
}

func requestOf(key crypto.Signer) (string, error) {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	return string(enrol.EncodeRequest(der)), err
}

// requestFor is the request for a key that is there already.
func requestFor(key string) (string, error) {
	block, _ := pem.Decode([]byte(key))
	if block == nil {
		return "", errors.New("there is no key")
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return "", err
	}
	signer, ok := k.(crypto.Signer)
	if !ok {
		return "", errors.New("the key cannot sign")
	}
	return requestOf(signer)
}

// certified checks a certificate that came for our key, and that it is for the
// host. Who signed it the server that we believe has said.
func certified(key, chain, hostID string) error {
	cert, err := tls.X509KeyPair([]byte(chain), []byte(key))
	if err != nil {
		return fmt.Errorf("the server's certificate does not fit our key: %w", err)
	}
	if cert.Leaf.Subject.CommonName != hostID {
		return fmt.Errorf("the server's certificate is for %.100q, not for %s", cert.Leaf.Subject.CommonName, hostID)
	}
	return nil
}
