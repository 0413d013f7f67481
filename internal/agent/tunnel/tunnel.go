// Package tunnel enters the server's tunnels. [Client] fetches what OpenVPN needs and
// keeps it good: a folder with the names that the seed's update 000 wrote. [Service]
// renews such folders, and keeps openvpn running in those that shall be up.
//
//	ca.crt      the authorities that this machine believes
//	client.key  made here, mode 0600; it never leaves
//	client.crt  the certificate with what is above it, good for a week
//	NAME.conf   the client's configuration
//	tls-crypt-v2.key  where Fernwerk runs the tunnel's server: opens its port, mode 0600
//
// Everything is checked before anything is put in place: the certificate is for
// our key and from our authority, the configuration has no line that could run a
// program. A renewal replaces one file, the certificate, so no reader ever sees
// halves of two. Without OpenVPN on the machine nothing is written.
//
// Folders that were asked for are remembered, and the running agent renews them.
package tunnel

import (
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
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/fleet/tunnel"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
)

// Program is what has to be on the machine.
const Program = "openvpn"

// Look is how often the running agent looks whether a certificate is due; its
// life is a week.
const Look = time.Hour

// Client is the machine's way to its server.
type Client struct {
	// Ask sends a request to a path of the server, with the machine's certificate.
	Ask func(ctx context.Context, path string, in, out any) error
	// CA are the authorities that the machine believes, PEM.
	CA func() []byte
	// Now is the clock.
	Now func() time.Time
}

// Place is a folder with the credentials of a tunnel.
type Place struct {
	Name string `json:"name"`
	Dir  string `json:"dir"` // absolute
	// Up is whether the running agent shall be in the tunnel from here.
	Up bool `json:"up,omitempty"`
}

// Fetch makes a place good. changed is false if it is good already. force writes
// also where OpenVPN is not installed.
func (c Client) Fetch(ctx context.Context, p Place, force bool) (changed bool, until time.Time, err error) {
	fail := func(err error) (bool, time.Time, error) {
		return false, time.Time{}, fmt.Errorf("cannot get the credentials of tunnel %s: %w", p.Name, err)
	}
	if err := enrol.ValidTunnel(p.Name); err != nil {
		return fail(err)
	}
	if _, err := exec.LookPath(Program); err != nil && !force {
		return fail(fleet.WithHint(fleet.Errorf(fleet.NotHere, "%s is not installed, nothing was written", Program), "install it, or add --force"))
	}
	if until, due := c.due(p); !due {
		return false, until, nil
	}
	return c.fetch(ctx, p)
}

// again fetches also what looks good.
func (c Client) again(ctx context.Context, p Place, _ bool) (changed bool, until time.Time, err error) {
	return c.fetch(ctx, p)
}

func (c Client) fetch(ctx context.Context, p Place) (changed bool, until time.Time, err error) {
	fail := func(err error) (bool, time.Time, error) {
		return false, time.Time{}, fmt.Errorf("cannot get the credentials of tunnel %s: %w", p.Name, err)
	}
	if err := os.MkdirAll(p.Dir, 0o755); err != nil {
		return fail(err)
	}
	key, err := c.key(p)
	if err != nil {
		return fail(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return fail(err)
	}
	var got tunnel.Answer
	if err := c.Ask(ctx, "/v1/tunnel/"+p.Name, tunnel.Request{CSR: string(enrol.EncodeRequest(der))}, &got); err != nil {
		return fail(err)
	}
	if err := tunnel.Check(got.Config); err != nil {
		return fail(err)
	}
	leaf, err := c.check([]byte(got.Chain), key.Public())
	if err != nil {
		return fail(fleet.Errorf(fleet.Denied, "the server's answer is refused: %w", err))
	}
	if err := c.seal(p, got); err != nil {
		return fail(err)
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{"ca.crt", c.CA()}, {p.Name + ".conf", []byte(got.Config)}, {"client.crt", []byte(got.Chain)}} {
		if err := atomicfile.WriteFile(filepath.Join(p.Dir, f.name), f.data, 0o644); err != nil {
			return fail(err)
		}
	}
	return true, leaf.NotAfter, nil
}

// seal keeps the key of tls-crypt-v2, if the configuration names one.
func (c Client) seal(p Place, got tunnel.Answer) error {
	if !strings.Contains("\n"+got.Config, "\ntls-crypt-v2 ") {
		return nil
	}
	block, rest := pem.Decode([]byte(got.Seal))
	if block == nil || block.Type != sealType || len(rest) > 0 || len(block.Bytes) > maxSeal || string(pem.EncodeToMemory(block)) != got.Seal {
		return fleet.Errorf(fleet.Denied, "the server's answer is refused: its key of tls-crypt-v2 is none")
	}
	return atomicfile.WriteFile(filepath.Join(p.Dir, tunnel.SealFile), []byte(got.Seal), 0o600)
}

const (
	sealType = "OpenVPN tls-crypt-v2 client key"
	maxSeal  = 256 + 1024 // bytes, by its format
)

// due tells whether a place wants a new certificate: a third of its life is left,
// or something is missing or does not fit.
func (c Client) due(p Place) (until time.Time, due bool) {
	for _, name := range []string{"ca.crt", p.Name + ".conf"} {
		if _, err := os.Stat(filepath.Join(p.Dir, name)); err != nil {
			return until, true
		}
	}
	if conf, err := os.ReadFile(filepath.Join(p.Dir, p.Name+".conf")); err != nil || strings.Contains("\n"+string(conf), "\ntls-crypt-v2 ") {
		if _, err := os.Stat(filepath.Join(p.Dir, tunnel.SealFile)); err != nil {
			return until, true
		}
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(p.Dir, "client.crt"), filepath.Join(p.Dir, "client.key"))
	if err != nil {
		return until, true
	}
	leaf := pair.Leaf
	left, life := leaf.NotAfter.Sub(c.Now()), leaf.NotAfter.Sub(leaf.NotBefore)
	if leaf.NotBefore.After(c.Now()) || left < life/3 {
		return leaf.NotAfter, true
	}
	chain, err := os.ReadFile(filepath.Join(p.Dir, "client.crt"))
	if err == nil {
		_, err = c.check(chain, leaf.PublicKey)
	}
	return leaf.NotAfter, err != nil
}

// check tells whether a chain is for the key, and of an authority of ours.
func (c Client) check(chain []byte, key any) (*x509.Certificate, error) {
	var certs []*x509.Certificate
	for rest := chain; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil || len(certs) > 8 {
			return nil, errors.New("its certificates cannot be read")
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, errors.New("it has no certificate")
	}
	public, ok := certs[0].PublicKey.(*ecdsa.PublicKey)
	if !ok || !public.Equal(key) {
		return nil, errors.New("the certificate is not for our key")
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(c.CA())
	for _, cert := range certs[1:] {
		between.AddCert(cert)
	}
	_, err := certs[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: c.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return certs[0], err
}

// key is the place's key, made if there is none.
func (c Client) key(p Place) (*ecdsa.PrivateKey, error) {
	path := filepath.Join(p.Dir, "client.key")
	text, err := os.ReadFile(path)
	if err == nil {
		if block, _ := pem.Decode(text); block != nil {
			if k, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
				if key, ok := k.(*ecdsa.PrivateKey); ok && key.Curve == elliptic.P256() {
					return key, os.Chmod(path, 0o600)
				}
			}
		}
		return nil, fleet.WithHint(fleet.Errorf(fleet.Conflict, "%s is no key of ours", path), "move it away, or use another folder")
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, atomicfile.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

// List is the file of the places that the running agent renews.
func List(dataDir string) string { return filepath.Join(dataDir, "tunnels.json") }

// Places are those that are remembered.
func Places(dataDir string) (all []Place, err error) {
	text, err := os.ReadFile(List(dataDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", List(dataDir), err)
	}
	return all, nil
}

// Remember has the running agent renew a place, and be in its tunnel if it shall be
// up. Another place where the tunnel was up is not, any more.
func Remember(dataDir string, p Place) error {
	all, err := Places(dataDir)
	if err != nil {
		return err
	}
	next := slices.Clone(all)
	at := slices.IndexFunc(next, func(o Place) bool { return o.Name == p.Name && o.Dir == p.Dir })
	if at < 0 {
		next = append(next, p)
	} else {
		next[at].Up = next[at].Up || p.Up
	}
	for i, o := range next {
		if p.Up && o.Name == p.Name && o.Dir != p.Dir {
			next[i].Up = false
		}
	}
	return save(dataDir, all, next)
}

// Leave has the running agent leave a tunnel. It says whether it was to be in it.
func Leave(dataDir, name string) (was bool, err error) {
	all, err := Places(dataDir)
	if err != nil {
		return false, err
	}
	next := slices.Clone(all)
	for i, p := range next {
		if p.Name == name && p.Up {
			next[i].Up, was = false, true
		}
	}
	return was, save(dataDir, all, next)
}

func save(dataDir string, was, next []Place) error {
	if slices.Equal(was, next) {
		return nil
	}
	text, err := json.MarshalIndent(next, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.WriteFile(List(dataDir), append(text, '\n'), 0o600)
}

// Home is the folder of a tunnel that the agent runs by itself.
func Home(dataDir, name string) string { return filepath.Join(dataDir, "tunnel", name) }
