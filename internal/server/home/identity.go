package home

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
)

// Identity is what a depot server shows to its config server: a key that it made
// itself, and the certificate of it, as hosts have them.
//
// The first certificate is given for the host key, each next one for the one before.
// With one the host key may be closed: fernwerk host key-logins DEPOT off. A config
// server that certifies no depot servers, one of a release before, is shown the host
// key as ever. Clients' questions are never asked with it: see package vouch.
//
//	FILE  key and certificate, in PEM, owner only
type Identity struct {
	id, hostKey, file string
	trust             *Trust
	log               *slog.Logger
	now               func() time.Time
	client            *http.Client

	mu      sync.Mutex
	current *tls.Certificate // nil: none yet
}

// OpenIdentity reads the identity of the depot server id, if there is one yet.
func OpenIdentity(file, id, hostKey string, trust *Trust, log *slog.Logger, now func() time.Time) (*Identity, error) {
	i := &Identity{id: id, hostKey: hostKey, file: file, trust: trust, log: log, now: now}
	i.client = trust.clientWith(i.TLS())
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return i, nil
	}
	if err == nil {
		i.current, err = i.parse(data)
	}
	if err != nil {
		return nil, fleet.WithHint(fmt.Errorf("cannot read the identity of the depot server: %w", err), "delete %s: another one is given for the host key", file)
	}
	return i, nil
}

// parse reads key and certificate, which must be for this depot server.
func (i *Identity) parse(data []byte) (*tls.Certificate, error) {
	cert, err := tls.X509KeyPair(data, data)
	if err != nil {
		return nil, err
	}
	if cert.Leaf.Subject.CommonName != i.id {
		return nil, fmt.Errorf("the certificate is for %.100q, not for %s", cert.Leaf.Subject.CommonName, i.id)
	}
	return &cert, nil
}

// Certificate is what is shown at a handshake; none is an empty one.
func (i *Identity) Certificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	if c := i.held(); c != nil {
		return c, nil
	}
	return &tls.Certificate{}, nil
}

func (i *Identity) held() *tls.Certificate {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.current
}

// TLS is the trust in the config server, and what is shown to it.
func (i *Identity) TLS() *tls.Config {
	cfg := i.trust.TLS()
	cfg.GetClientCertificate = i.Certificate
	return cfg
}

// Due tells whether a certificate is wanted: there is none, or two thirds of its
// life are over.
func (i *Identity) Due() bool {
	c := i.held()
	if c == nil {
		return true
	}
	life := c.Leaf.NotAfter.Sub(c.Leaf.NotBefore)
	return i.now().After(c.Leaf.NotBefore.Add(life * 2 / 3))
}

// Renew gets a certificate of a new key. If the answer is lost, the present one
// still counts.
func (i *Identity) Renew(ctx context.Context) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return err
	}
	out, err := i.ask(ctx, enrol.Renewal{CSR: string(enrol.EncodeRequest(der))})
	if err != nil {
		return fmt.Errorf("cannot get a certificate of the depot server: %w", err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	data := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), out.Chain...)
	cert, err := i.parse(data)
	if err != nil {
		return fleet.Errorf(fleet.Denied, "cannot use the certificate of the depot server: %w", err)
	}
	if err := atomicfile.WriteFile(i.file, data, 0o600); err != nil {
		return fmt.Errorf("cannot keep the certificate of the depot server: %w", err)
	}
	i.mu.Lock()
	i.current = cert
	i.mu.Unlock()
	i.log.Info("The depot server has a certificate", "serial", cert.Leaf.SerialNumber.Text(16), "until", cert.Leaf.NotAfter.Format(time.DateOnly))
	return nil
}

// maxAnswer bounds an answer, in bytes.
const maxAnswer = 1 << 20

func (i *Identity) ask(ctx context.Context, in enrol.Renewal) (out enrol.Renewed, err error) {
	body, err := json.Marshal(in)
	if err != nil {
		return out, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+i.trust.server.Host+"/v1/renew", bytes.NewReader(body))
	if err != nil {
		return out, err
	}
	req.Header.Set("Content-Type", "application/json")
	if i.held() == nil {
		req.SetBasicAuth(i.id, i.hostKey)
	}
	resp, err := i.client.Do(req)
	if err != nil {
		return out, unreached(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return out, fleet.Errorf(fleet.Unavailable, "the answer broke off: %w", err)
	}
	if resp.StatusCode == http.StatusOK {
		return out, json.Unmarshal(data, &out)
	}
	var fault struct {
		Error struct{ Code, Message, Hint string }
	}
	if json.Unmarshal(data, &fault) != nil || fault.Error.Code == "" {
		return out, fleet.Errorf(fleet.NotHere, "the config server answers with %s", resp.Status)
	}
	err = fleet.Errorf(fleet.Code(fault.Error.Code), "%s", fault.Error.Message)
	if fault.Error.Hint != "" {
		err = fleet.WithHint(err, "%s", fault.Error.Hint)
	}
	return out, err
}

// lookEvery is between two looks whether a certificate is due.
const lookEvery = time.Hour

// Keep gets a certificate if it is due. A failure costs nothing yet: the host key,
// or the certificate that is there, goes on counting.
func (i *Identity) Keep(ctx context.Context) {
	if !i.Due() {
		return
	}
	if err := i.Renew(ctx); err != nil && ctx.Err() == nil {
		i.log.Warn("The depot server gets no certificate now", "error", err, "hint", fleet.HintOf(err))
	}
}

// Serve keeps it renewed until ctx ends.
func (i *Identity) Serve(ctx context.Context) error {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		i.Keep(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}
