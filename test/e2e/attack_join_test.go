package e2e

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/test/e2e/site"
)

// The attacks of this file are on who a machine is, and whom it believes.

// token makes one at the true server.
func (o *siege) token(t *testing.T, args ...string) string {
	t.Helper()
	out, err := o.command(t.Context(), append([]string{"token", "create", "--print", "token"}, args...)...)
	must(t, err)
	for _, word := range strings.Fields(out) {
		if strings.HasPrefix(word, "fw1.") {
			return word
		}
	}
	t.Fatalf("no token: %s", out)
	return ""
}

// joinBy runs a join with a token, in a new data folder or a given one.
func (o *siege) joinBy(t *testing.T, data, token string, args ...string) (code int, said string) {
	t.Helper()
	out, errOut, code, err := o.Programs.Run(t.Context(), nil, "fernwerk-agent", append([]string{"--data", data, "join", token}, args...)...)
	must(t, err)
	return code, out + errOut
}

// identity is what a machine is, as its file says.
func identityOf(t *testing.T, data string) (id struct {
	HostID, HostKey, Key, Chain, CA, Policy, Server string
}) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(data, "identity.json"))
	must(t, err)
	must(t, json.Unmarshal(text, &id))
	return id
}

func (v *victim) changeIdentity(t *testing.T, key string, value any) {
	t.Helper()
	path := filepath.Join(v.Data, "identity.json")
	text, err := os.ReadFile(path)
	must(t, err)
	var id map[string]any
	must(t, json.Unmarshal(text, &id))
	id[key] = value
	text, err = json.Marshal(id)
	must(t, err)
	must(t, os.WriteFile(path, text, 0o600))
}

func TestAttack56_AFakeServer(t *testing.T) {
	t.Parallel()
	o := siegeOf(t)
	ours, err := os.ReadFile(o.CAFile())
	must(t, err)
	text := o.token(t)
	token, err := enrol.ParseToken(text)
	must(t, err)
	for name, ca := range map[string][]byte{"with its own authority": nil, "with ours, whose key it has not": ours} {
		fake := pose(t, ca, "")
		token.Addresses = []string{fake.Listener.Addr().String()}
		led, err := token.Text()
		must(t, err)
		data := t.TempDir()
		if code, said := o.joinBy(t, data, led); code == 0 || !strings.Contains(said, "cannot join") {
			t.Errorf("%s: status %d: %s", name, code, said)
		}
		if err := fake.learned(token.Secret); err != nil || !fake.asked() {
			t.Errorf("%s: asked: %v, %v", name, fake.asked(), err)
		}
		if _, err := os.Stat(filepath.Join(data, "identity.json")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the machine belongs to it: %v", name, err)
		}
	}
	if code, said := o.joinBy(t, t.TempDir(), text); code != 0 { // and it is not spent
		t.Errorf("at the true server: %s", said)
	}
}

func TestAttack57_OneTokenTwiceAtOnce(t *testing.T) {
	t.Parallel()
	o := siegeOf(t)
	for range 3 {
		token := o.token(t)
		if ids := o.race(t, token, 2); len(ids) != 1 {
			t.Errorf("%d machines joined by a token for one", len(ids))
		}
	}
}

// race has machines join at once, and says who has which name then.
func (o *siege) race(t *testing.T, token string, machines int) map[string]int {
	t.Helper()
	ids := map[string]int{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for range machines {
		data := t.TempDir()
		all.Go(func() {
			_, _, code, err := o.Programs.Run(t.Context(), nil, "fernwerk-agent", "--data", data, "join", token)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			if code == 0 {
				ids[identityOf(t, data).HostID]++
			}
		})
	}
	all.Wait()
	return ids
}

func TestAttack58_ATokenThatLeaksLater(t *testing.T) {
	t.Parallel()
	o := siegeOf(t)
	token := o.token(t)
	if code, said := o.joinBy(t, t.TempDir(), token); code != 0 {
		t.Fatal(said)
	}
	if code, said := o.joinBy(t, t.TempDir(), token); code == 0 || !strings.Contains(said, "token") {
		t.Errorf("a spent token: status %d, %s", code, said)
	}
	ended := o.token(t, "--uses", "5")
	parsed, err := enrol.ParseToken(ended)
	must(t, err)
	_, err = o.command(t.Context(), "token", "revoke", parsed.ID, "--yes")
	must(t, err)
	if code, said := o.joinBy(t, t.TempDir(), ended); code == 0 || !strings.Contains(said, "token") {
		t.Errorf("a token that was taken back: status %d, %s", code, said)
	}
}

func TestAttack59_ManyJoinAtOnce(t *testing.T) {
	t.Parallel()
	o := siegeOf(t)
	ids := o.race(t, o.token(t, "--uses", "5"), 5)
	for id, n := range ids {
		if n != 1 {
			t.Errorf("%d machines are %s", n, id)
		}
	}
	if len(ids) != 5 {
		t.Errorf("%d of 5 joined", len(ids))
	}
}

func TestAttack60_HostileNames(t *testing.T) {
	t.Parallel()
	o := siegeOf(t)
	witness := filepath.Join(t.TempDir(), "witness")
	for _, name := range []string{"$(touch " + witness + ")", "'; touch " + witness + " #", "a;b", "=1+1", "<script>", "x\x1b[2J", "../../etc", strings.Repeat("a", 300), "ä"} {
		if code, said := o.joinBy(t, t.TempDir(), o.token(t), "--node-type", name); code == 0 || strings.Contains(said, "\x1b") {
			t.Errorf("the node type %q: status %d, %q", name, code, said)
		}
	}
	// What the server says a machine is called.
	mirror, err := site.Begin(t.Context(), filepath.Join(t.TempDir(), "log"), filepath.Join(o.dir, "mirror"), "serve", "--server", o.URL(), "--data", o.Data, "--hosts", filepath.Join(o.dir, "hosts"))
	must(t, err)
	for _, name := range []string{"$(touch " + witness + ").x.y", "../../../../tmp/x", "a b.c.d", "x", "<b>.x.y", `\u001b[2J.x.y`} {
		token, err := enrol.ParseToken(o.token(t))
		must(t, err)
		token.Addresses = []string{strings.TrimPrefix(mirror, "https://")}
		led, err := token.Text()
		must(t, err)
		v := &victim{o: &siege{mirror: mirror, http: o.http}}
		v.lies(t, lie{Path: "^/v1/join$", Do: "replace", Old: `"hostId":"`, New: `"hostId":"` + name + `","was":"`})
		data := t.TempDir()
		if code, said := o.joinBy(t, data, led); code == 0 || strings.Contains(said, "\x1b") {
			t.Errorf("the machine is called %q: %s", name, said)
		}
		v.met(t)
		if _, err := os.Stat(filepath.Join(data, "identity.json")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the machine is called %q: %v", name, err)
		}
	}
	if _, err := os.Stat(witness); !errors.Is(err, os.ErrNotExist) {
		t.Error("a name was executed")
	}
}

// leaf is the certificate of a victim, and what signs such ones at the server.
func (v *victim) leaf(t *testing.T) (leaf, issuer *x509.Certificate, key any, rest []byte) {
	t.Helper()
	block, rest := pem.Decode([]byte(identityOf(t, v.Data).Chain))
	leaf, err := x509.ParseCertificate(block.Bytes)
	must(t, err)
	data, err := os.ReadFile(filepath.Join(v.o.Data, "ca", "issuing.pem"))
	must(t, err)
	for {
		block, more := pem.Decode(data)
		if block == nil {
			return leaf, issuer, key, rest
		}
		data = more
		if block.Type == "CERTIFICATE" && issuer == nil {
			issuer, err = x509.ParseCertificate(block.Bytes)
		} else if block.Type == "PRIVATE KEY" && key == nil {
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		} else if block.Type == "EC PRIVATE KEY" && key == nil {
			key, err = x509.ParseECPrivateKey(block.Bytes)
		}
		must(t, err)
	}
}

func (v *victim) shows(t *testing.T, der, rest []byte) {
	t.Helper()
	v.changeIdentity(t, "chain", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))+string(rest))
}

// ends makes the certificate one that ended a moment ago, as it is after a year.
func (v *victim) ends(t *testing.T) {
	t.Helper()
	leaf, issuer, key, rest := v.leaf(t)
	over := *leaf
	over.NotBefore, over.NotAfter = leaf.NotBefore.AddDate(0, 0, -30), time.Now().Add(-time.Second)
	over.SignatureAlgorithm = 0
	half := new(big.Int).Rsh(issuer.PublicKey.(*ecdsa.PublicKey).Params().N, 1)
	for { // of the two forms of a signature the server makes one only
		der, err := x509.CreateCertificate(rand.Reader, &over, issuer, leaf.PublicKey, key)
		must(t, err)
		cert, err := x509.ParseCertificate(der)
		must(t, err)
		var sig struct{ R, S *big.Int }
		_, err = asn1.Unmarshal(cert.Signature, &sig)
		must(t, err)
		if sig.S.Cmp(half) <= 0 {
			v.shows(t, der, rest)
			return
		}
	}
}

func TestAttack61_ACertificateThatEndedMeanwhile(t *testing.T) {
	t.Parallel()
	o := siegeOf(t)
	v := o.victim(t, "offline")
	v.Kill()
	v.ends(t)
	was := identityOf(t, v.Data).Chain
	must(t, v.Start(t.Context()))
	await(t, "the certificate is renewed", func() (bool, error) { return identityOf(t, v.Data).Chain != was, nil })
	v.works(t)
	// Not after it was revoked.
	v.Kill()
	v.ends(t)
	was = identityOf(t, v.Data).Chain
	_, err := o.command(t.Context(), "host", "revoke", v.id, "--reason", "lost", "--yes")
	must(t, err)
	v.quiet(t)
	must(t, v.Start(t.Context()))
	await(t, "the renewal is refused", func() (bool, error) {
		log, err := os.ReadFile(v.Log)
		return strings.Contains(string(log), "revoked"), err
	})
	if identityOf(t, v.Data).Chain != was {
		t.Error("a revoked host has a new certificate")
	}
	v.unharmed(t)
}

func TestAttack62_ARevokedNode(t *testing.T) {
	t.Parallel()
	o := siegeOf(t)
	v, peer := o.victim(t, "offline"), o.victim(t, "offline")
	_, err := o.command(t.Context(), "host", "revoke", v.id, "--reason", "stolen", "--yes")
	must(t, err)
	if c := v.requests(t, "good"); c.Status != "failed" || !strings.Contains(c.Text, "revoked") {
		t.Errorf("a revoked host: %+v", c)
	}
	leaf, _, _, _ := v.leaf(t)
	await(t, "the others know", func() (bool, error) {
		der, err := os.ReadFile(filepath.Join(peer.Data, "revoked.crl"))
		if err != nil {
			return false, err
		}
		list, err := x509.ParseRevocationList(der)
		if err != nil {
			return false, err
		}
		for _, one := range list.RevokedCertificateEntries {
			if one.SerialNumber.Cmp(leaf.SerialNumber) == 0 {
				return true, nil
			}
		}
		return false, fmt.Errorf("%d are on the list", len(list.RevokedCertificateEntries))
	})
	peer.works(t)
}

func TestAttack16_AnAlteredSignatureThatCounts(t *testing.T) {
	t.Parallel()
	o := siegeOf(t)
	v := o.victim(t, "offline")
	leaf, issuer, _, rest := v.leaf(t)
	public, ok := issuer.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		t.Fatalf("the authority has a key of another kind: %T", issuer.PublicKey)
	}
	var sig struct{ R, S *big.Int }
	_, err := asn1.Unmarshal(leaf.Signature, &sig)
	must(t, err)
	sig.S.Sub(public.Params().N, sig.S) // the other signature that counts
	raw, err := asn1.Marshal(sig)
	must(t, err)
	var cert struct {
		TBS, Algorithm asn1.RawValue
		Signature      asn1.BitString
	}
	_, err = asn1.Unmarshal(leaf.Raw, &cert)
	must(t, err)
	cert.Signature = asn1.BitString{Bytes: raw, BitLength: 8 * len(raw)}
	der, err := asn1.Marshal(cert)
	must(t, err)
	other, err := x509.ParseCertificate(der)
	must(t, err)
	if err := other.CheckSignatureFrom(issuer); err != nil || sha256.Sum256(der) == sha256.Sum256(leaf.Raw) {
		t.Fatalf("it is not another certificate that counts: %v", err)
	}
	_, err = o.command(t.Context(), "host", "revoke", v.id, "--reason", "stolen", "--yes")
	must(t, err)
	v.Kill()
	v.shows(t, der, rest)
	v.quiet(t)
	must(t, v.Start(t.Context()))
	await(t, "it is refused", func() (bool, error) {
		log, err := os.ReadFile(v.Log)
		return strings.Contains(string(log), "it is not one of a host") || strings.Contains(string(log), "revoked"), err
	})
	if c := v.requests(t, "good"); c.Status != "failed" {
		t.Errorf("a revoked host with another signature: %+v", c)
	}
}

func TestAttack33_ACopyOfAMachine(t *testing.T) {
	t.Parallel()
	o := siegeOf(t)
	v := o.victim(t, "offline")
	v.Kill()
	copied := filepath.Join(t.TempDir(), "agent")
	must(t, os.CopyFS(copied, os.DirFS(v.Data)))
	clone := &victim{o: o, id: v.id, Agent: &site.Agent{Programs: v.Programs, Data: copied, Log: filepath.Join(t.TempDir(), "log"), BootID: "first"}}
	must(t, v.Start(t.Context()))
	must(t, clone.Start(t.Context()))
	t.Cleanup(clone.Kill)
	await(t, "the server knows of two machines", func() (bool, error) {
		out, err := o.command(t.Context(), "host", "clones")
		return strings.Contains(out, v.id), errors.Join(err, errors.New(out))
	})
	await(t, "one of them is told", func() (bool, error) {
		one, _ := os.ReadFile(v.Log)
		two, _ := os.ReadFile(clone.Log)
		return strings.Contains(string(one)+string(two), "join --again"), nil
	})
}

func TestAttack34_AnImageWithASpentToken(t *testing.T) {
	t.Parallel()
	o := siegeOf(t)
	token := o.token(t)
	if code, said := o.joinBy(t, t.TempDir(), token); code != 0 {
		t.Fatal(said)
	}
	image := t.TempDir()
	code, said := o.joinBy(t, image, token)
	if code == 0 || !strings.Contains(said, "hint: ") || !strings.Contains(said, "token") {
		t.Errorf("status %d: %s", code, said)
	}
	if code, said := o.joinBy(t, image, o.token(t)); code != 0 { // the way out
		t.Errorf("with a token of its own: %s", said)
	}
}
