package enrol_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
)

func token() enrol.Token {
	return enrol.Token{ID: "abcdefgh12", Secret: base64.RawURLEncoding.EncodeToString([]byte("0123456789abcdef")), Addresses: []string{"server.example.org:4447", "[2001:db8::1]:4447"},
		CA: strings.Repeat("ab", 32), Root: &enrol.Root{Version: 3, SHA256: strings.Repeat("0c", 32)}, Policy: enrol.Offline, NodeType: "vnode", Expires: 1800000000}
}

func TestToken(t *testing.T) {
	text, err := token().Text()
	if err != nil {
		t.Fatal(err)
	}
	got, err := enrol.ParseToken("\n " + text + "\n")
	if err != nil || !cmp.Equal(got, token()) {
		t.Errorf("%+v, %v", got, err)
	}
	if len(text) > 600 {
		t.Errorf("a usual token has %d characters", len(text))
	}
	if strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != "" {
		t.Errorf("%s needs quotes somewhere", text)
	}
}

// Whatever is cut off or changed in a token is noticed before anybody is asked,
// and the refusal does not repeat what is secret.
func TestToken_CutOrMistyped(t *testing.T) {
	text, err := token().Text()
	if err != nil {
		t.Fatal(err)
	}
	for n := len("fw1."); n < len(text); n++ {
		if _, err := enrol.ParseToken(text[:n]); !errors.Is(err, enrol.ErrDamaged) || fleet.HintOf(err) == "" {
			t.Fatalf("cut to %d: %v", n, err)
		}
	}
	for i := len("fw1."); i < len(text); i++ {
		wrong := []byte(text)
		if wrong[i] ^= 1; wrong[i] == 'A' {
			continue
		}
		_, err := enrol.ParseToken(string(wrong))
		if err == nil || strings.Contains(err.Error(), text[10:30]) {
			t.Fatalf("character %d changed: %v", i, err)
		}
	}
}

func TestToken_Refused(t *testing.T) {
	for name, spoil := range map[string]func(*enrol.Token){
		"no id": func(k *enrol.Token) { k.ID = "" }, "short secret": func(k *enrol.Token) { k.Secret = "AAAA" },
		"no address": func(k *enrol.Token) { k.Addresses = nil }, "five addresses": func(k *enrol.Token) { k.Addresses = strings.Fields("a:1 b:1 c:1 d:1 e:1") },
		"a command": func(k *enrol.Token) { k.Addresses = []string{"$(reboot):4447"} }, "a zone": func(k *enrol.Token) { k.Addresses = []string{"[fe80::1%eth0]:4447"} },
		"no port": func(k *enrol.Token) { k.Addresses = []string{"server"} }, "no authority": func(k *enrol.Token) { k.CA = "" },
		"capitals": func(k *enrol.Token) { k.CA = strings.Repeat("AB", 32) }, "root 0": func(k *enrol.Token) { k.Root.Version = 0 },
		"type": func(k *enrol.Token) { k.NodeType = "v node" }, "policy": func(k *enrol.Token) { k.Policy = "none" }, "no end": func(k *enrol.Token) { k.Expires = 0 },
	} {
		k := token()
		spoil(&k)
		if text, err := k.Text(); fleet.CodeOf(err) != fleet.Invalid {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	// Another way to write the same, and what is more, is none of ours.
	for name, body := range map[string]string{
		"space": `{"i": "abcdefgh12"}`, "more": `{"i":"abcdefgh12","x":1}`, "twice": `{"i":"a","i":"abcdefgh12"}`, "list": `[]`, "null": `null`, "nothing": ``,
	} {
		b := base64.RawURLEncoding.EncodeToString([]byte(body))
		if _, err := enrol.ParseToken(fmt.Sprintf("fw1.%s.%08x", b, crc32.ChecksumIEEE([]byte(b)))); fleet.CodeOf(err) != fleet.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := enrol.ParseToken("fw2.x.y"); err == nil || !strings.Contains(err.Error(), "fw1.") {
		t.Error(err)
	}
}

func FuzzParseToken(f *testing.F) {
	text, err := token().Text()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add("fw1..00000000")
	f.Fuzz(func(t *testing.T, s string) {
		k, err := enrol.ParseToken(s)
		if err != nil {
			return
		}
		if again, err := k.Text(); err != nil || again != strings.TrimSpace(s) {
			t.Errorf("%q is printed %q, %v", s, again, err)
		}
	})
}

func request(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "$(reboot)"}, DNSNames: []string{"server.example.org"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return enrol.EncodeRequest(der)
}

func TestParseRequest(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := request(t, key)
	got, id, err := enrol.ParseRequest(good)
	if err != nil || !key.PublicKey.Equal(got) || len(id) != 64 {
		t.Fatal(id, err)
	}
	if _, again, _ := enrol.ParseRequest(request(t, key)); again != id {
		t.Error("the same key has another id")
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	broken := []byte(strings.Replace(string(good), "MI", "MA", 1))
	for name, text := range map[string][]byte{"none": nil, "P-384": request(t, p384), "RSA": request(t, weak), "two": append(good, good...), "broken": broken,
		"large": append(good, make([]byte, enrol.MaxRequest)...), "a certificate": []byte(strings.ReplaceAll(string(good), "CERTIFICATE REQUEST", "CERTIFICATE"))} {
		if _, _, err := enrol.ParseRequest(text); fleet.CodeOf(err) != fleet.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(request(f, key))
	f.Fuzz(func(t *testing.T, text []byte) {
		if _, id, err := enrol.ParseRequest(text); err == nil && len(id) != 64 {
			t.Errorf("%q", id)
		}
	})
}

func TestNameRule(t *testing.T) {
	for _, test := range []struct {
		rule                     enrol.NameRule
		nodeType, hostname, want string
	}{
		{"client{n}", "vnode", "box", "client317.example.org"},
		{"{type}-{n}", "vnode", "", "vnode-317.example.org"},
		{"{type}-{n}", "", "", "node-317.example.org"},
		{"{hostname}", "", "PC7.lan", "pc7.example.org"},
		{"{hostname}", "", "$(reboot)", ""}, {"{hostname}", "", "", ""}, {"{hostname}", "", "a b", ""}, {"{hostname}", "", "-a", ""},
	} {
		if err := test.rule.Check(); err != nil {
			t.Error(err)
		}
		got, err := test.rule.Name("example.org", test.nodeType, test.hostname, 317)
		if got != test.want || (err != nil) != (test.want == "") {
			t.Errorf("%s of %q: %q, %v", test.rule, test.hostname, got, err)
		}
	}
	for _, bad := range []enrol.NameRule{"", "client", "{type}", "{n", "Client{n}", "{other}{n}", "a.b{n}", "-{n}", "{n}-", "a b{n}"} {
		if bad.Check() == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// What a machine says of itself is kept only if it is inert everywhere.
func TestAttack60_MachineIsInert(t *testing.T) {
	for _, text := range []string{"$(reboot)", "a';--", "=cmd()", "<b>", "\x1b[31m", "a\nb", "a b", "é", strings.Repeat("a", 300)} {
		m := enrol.Machine{Hostname: text, SystemUUID: text, HardwareAddress: text, BootID: text}.Clean()
		if m != (enrol.Machine{}) {
			t.Errorf("%q is kept: %+v", text, m)
		}
	}
	whole := enrol.Machine{Hostname: "pc1.lan", SystemUUID: "4c4c4544-0043-3010-8052-b4c04f564432", HardwareAddress: "aa:bb:cc:dd:ee:ff", BootID: "x-1"}
	if whole.Clean() != whole {
		t.Errorf("%+v", whole.Clean())
	}
}
