package identity

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
)

// A machine that goes by first sight ([FirstUse]) stores the certificate that a
// server shows first, in the agent's folder:
//
//	DIR/server-certs/SERVER.pem   SERVER is its address, a name or an IP address
//
// From then on that certificate counts and no other, whatever it says of names and
// dates: whoever holds its key is the one that was met. Another one is refused until
// somebody deletes the file. The format is opsi's, and so is what follows from it:
// servers that share an address must share a certificate.

// CertificatesDir is where the certificates of servers lie.
func CertificatesDir(dataDir string) string { return filepath.Join(dataDir, "server-certs") }

const certificateExt = ".pem"

// maxCertificate bounds a stored file, in bytes.
const maxCertificate = 64 << 10

var serverName = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,251}[a-z0-9])?$`)

// certificateFile is the name of a server's file. An IPv6 address is written as
// Windows writes it in names of files, which have no colons there.
func certificateFile(host string) (string, error) {
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	if ip, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		if name = ip.String(); ip.Is6() {
			name = strings.NewReplacer(":", "-", "%", "s").Replace(name) + ".ipv6-literal.net"
			if strings.HasPrefix(name, "-") {
				name = "0" + name // ::1
			}
		}
	}
	if !serverName.MatchString(name) || strings.Contains(name, "..") {
		return "", fleet.Errorf(fleet.Invalid, "%.80q is no address of a server", host)
	}
	return name + certificateExt, nil
}

// recognise accepts the certificate that is stored for a server, and stores the one
// of a server that was never met.
func (id Identity) recognise(shown []*x509.Certificate, host string) error {
	if len(shown) == 0 {
		return errors.New("the server shows no certificate")
	}
	if id.dir == "" {
		return errors.New("there is no folder to know a server by")
	}
	name, err := certificateFile(host)
	if err != nil {
		return err
	}
	path := filepath.Join(CertificatesDir(id.dir), name)
	stored, err := readCertificate(path)
	if errors.Is(err, fs.ErrNotExist) {
		// Connections are made side by side: the first one decides for all.
		err = alone(id.dir, func() error {
			if stored, err = readCertificate(path); !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			stored = shown[0]
			return storeCertificate(path, stored)
		})
	}
	if err != nil {
		return fmt.Errorf("cannot look up the certificate that is stored for %s: %w", host, err)
	}
	if !stored.Equal(shown[0]) {
		changed := fleet.Errorf(fleet.Unauthenticated, "the certificate is another one than the server showed first: SHA-256 %s, stored is %s", fingerprint(shown[0].Raw), fingerprint(stored.Raw))
		changed = fleet.WithHint(changed, "if the server was given a new certificate, delete the stored one: fernwerk-agent trust forget-server %s; if it was not, somebody answers in its place", host)
		return &tls.CertificateVerificationError{UnverifiedCertificates: shown, Err: changed}
	}
	return nil
}

func readCertificate(path string) (*x509.Certificate, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var cert *x509.Certificate
	block, rest := pem.Decode(data)
	if err = errors.New("it is not one certificate in PEM"); len(data) <= maxCertificate && block != nil && block.Type == "CERTIFICATE" && len(bytes.TrimSpace(rest)) == 0 {
		cert, err = x509.ParseCertificate(block.Bytes)
	}
	if err != nil { // and not: it is missing
		return nil, fleet.WithHint(fleet.Errorf(fleet.Invalid, "cannot use %s: %w", path, err), "put it back from a backup, or delete it: the next certificate is believed then")
	}
	return cert, nil
}

func storeCertificate(path string, c *x509.Certificate) error {
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = atomicfile.SyncDir(filepath.Dir(filepath.Dir(path)))
	}
	if err == nil {
		err = atomicfile.WriteFile(path, pemOf(c), 0o600)
	}
	return err
}

// Known is a server whose certificate is stored. Damaged says why it is refused.
type Known struct {
	Server  string // as in the file's name
	SHA256  string
	Damaged string
}

// KnownServers are those whose certificate is stored, by name.
func KnownServers(dataDir string) (all []Known, err error) {
	entries, err := os.ReadDir(CertificatesDir(dataDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot list the stored certificates of servers: %w", err)
	}
	for _, e := range entries {
		server, ok := strings.CutSuffix(e.Name(), certificateExt)
		if !ok || e.IsDir() {
			continue
		}
		k := Known{Server: server}
		if c, err := readCertificate(filepath.Join(CertificatesDir(dataDir), e.Name())); err != nil {
			k.Damaged = err.Error()
		} else {
			k.SHA256 = fingerprint(c.Raw)
		}
		all = append(all, k)
	}
	return all, nil
}

// ForgetServers deletes stored certificates: of one server, or of all for "". What
// such a server shows next is believed. It returns whom it forgot.
func ForgetServers(dataDir, host string) (forgotten []string, err error) {
	var only string
	if host != "" {
		if only, err = certificateFile(host); err != nil {
			return nil, err
		}
	}
	err = alone(dataDir, func() error {
		known, err := KnownServers(dataDir)
		if err != nil {
			return err
		}
		if host != "" && !slices.ContainsFunc(known, func(k Known) bool { return k.Server+certificateExt == only }) {
			return fleet.WithHint(fleet.Errorf(fleet.NotFound, "no certificate of it is stored"), "fernwerk-agent trust servers lists them")
		}
		for _, k := range known {
			if host == "" || k.Server+certificateExt == only {
				if err := os.Remove(filepath.Join(CertificatesDir(dataDir), k.Server+certificateExt)); err != nil {
					return err
				}
				forgotten = append(forgotten, k.Server)
			}
		}
		if len(forgotten) == 0 {
			return nil
		}
		return atomicfile.SyncDir(CertificatesDir(dataDir))
	})
	if err != nil {
		what := "the servers"
		if host != "" {
			what = host
		}
		return forgotten, fmt.Errorf("cannot forget the certificate of %s: %w", what, err)
	}
	return forgotten, nil
}
