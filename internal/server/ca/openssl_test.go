package ca

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/kit/pin"
	"github.com/fernwerk/fernwerk/internal/server/ca/keyring"
	"github.com/fernwerk/fernwerk/test/require"
)

// OpenSSL, which knows nothing of us, agrees on chains and lists, before and
// after rotations.
func TestOpenSSL(t *testing.T) {
	require.Tool(t, "openssl")
	c, dir := newClock(), t.TempDir()
	a, s := open(t, dir, c), rows(t, c)
	out := t.TempDir()
	write := func(name string, text []byte) string {
		t.Helper()
		path := filepath.Join(out, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	openssl := func(args ...string) (string, error) {
		got, err := exec.CommandContext(t.Context(), "openssl", args...).CombinedOutput()
		return string(got), err
	}
	first := write("first.pem", a.PEM())
	type made struct{ cert, above string }
	host := func(name string) made {
		t.Helper()
		m, cert := issue(t, a, s, key(t).Public(), enrol.Grant{Purpose: enrol.Host, HostID: name, NodeType: "vnode"})
		return made{write(name+".pem", keyring.CertificatePEM(cert)), write(name+".above.pem", m.Chain)}
	}
	at := func() []string { return []string{"-attime", fmt.Sprint(c.Unix())} }
	verify := func(m made, roots string, more ...string) (string, error) {
		return openssl(append(append(append([]string{"verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", roots, "-untrusted", m.above}, at()...), more...), m.cert)...)
	}
	lists := func() string {
		t.Helper()
		var text []byte
		must(t, s, func(tx *store.Tx) (err error) { text, err = a.Lists(tx); return err })
		return write("lists.pem", text)
	}
	hosts := map[string]made{"good1.example.org": host("good1.example.org"), "lost1.example.org": host("lost1.example.org")}
	for round, change := range []func(keyring.Bundle) (keyring.Bundle, error){nil,
		func(b keyring.Bundle) (keyring.Bundle, error) { return b.Rotate(keyring.Rotation{}, c.now()) },
		func(b keyring.Bundle) (keyring.Bundle, error) { return b.Rotate(keyring.Rotation{Root: true}, c.now()) }} {
		if change != nil {
			next, err := change(bundle(t, dir))
			if err == nil {
				err = next.Write(dir)
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := a.reload(nil); err != nil {
				t.Fatal(err)
			}
			digit := fmt.Sprint(round + 1)
			for _, kind := range []string{"good", "lost"} {
				name := kind + digit + ".example.org"
				hosts[name] = host(name)
			}
		}
		must(t, s, a.signList)
		must(t, s, func(tx *store.Tx) error {
			_, err := a.Revoke(tx, "lost"+fmt.Sprint(round+1)+".example.org", "lost")
			return err
		})
		list := lists()
		for name, m := range hosts {
			if got, err := verify(m, first); err != nil {
				t.Errorf("%d: %s: %s", round, name, got)
			}
			got, err := verify(m, first, "-crl_check", "-CRLfile", list)
			if good := strings.HasPrefix(name, "good"); (err == nil) != good || !good && !strings.Contains(got, "certificate revoked") {
				t.Errorf("%d: %s with the list: %s", round, name, got)
			}
		}
		der, _ := newest(t, a, s)
		if got, err := openssl("crl", "-inform", "DER", "-in", write("list.der", der.Raw), "-noout", "-CAfile", write("issuing.pem", keyring.CertificatePEM(a.mat.Load().Issuing[0].Cert))); err != nil || !strings.Contains(got, "verify OK") {
			t.Errorf("%d: %s", round, got)
		}
		server := certificate(t, a, names...)
		chain := keyring.CertificatePEM(a.mat.Load().Above(a.mat.Load().Issuing[0])...)
		leaf := write("server.pem", keyring.CertificatePEM(shown(t, server)))
		if got, err := openssl(append(append([]string{"verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", "localhost", "-CAfile", first, "-untrusted", write("chain.pem", chain)}, at()...), leaf)...); err != nil {
			t.Errorf("%d: the server: %s", round, got)
		}
		if certs, err := pin.Certificates(chain); err != nil || len(certs) != 1+len(a.mat.Load().Cross) {
			t.Error(err)
		}
	}
	// What is wrong is refused by it as well: another root.
	other := write("other.pem", open(t, t.TempDir(), c).PEM())
	if got, err := verify(hosts["good1.example.org"], other); err == nil {
		t.Error(got)
	}
}
