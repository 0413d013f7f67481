package lan

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

func prefixes(texts ...string) (all []netip.Prefix) {
	for _, t := range texts {
		all = append(all, netip.MustParsePrefix(t))
	}
	return all
}

func TestValid(t *testing.T) {
	for text, good := range map[string]bool{
		"192.168.1.2/24": true, "10.0.0.5/8": true, "172.16.5.4/12": true, "10.1.2.3/30": false, "10.1.2.2/30": true, "fd00:1::5/64": true,
		"192.168.1.2/0": false, "192.168.1.2/15": false, "10.1.2.3/7": false, "172.31.0.1/11": false, "192.168.1.2/31": false, "192.168.1.2/32": false,
		"192.168.1.0/24": false, "192.168.1.255/24": false, "203.0.113.7/24": false, "127.0.0.1/8": false, "169.254.3.4/16": false, "100.64.0.9/10": false,
		"172.32.0.1/16": false, "0.0.0.0/0": false, "224.0.0.5/24": false, "fe80::1/64": false, "2001:db8::1/64": false, "fd00::1/7": false, "fd00::1/47": false,
		"fd00:1::/64": false, "fd00:1::5/127": false, "fd00:1::5/128": false, "::1/128": false, "::ffff:192.168.1.2/120": false, "::/0": false,
	} {
		if err := Valid(netip.MustParsePrefix(text)); (err == nil) != good {
			t.Errorf("%s: %v", text, err)
		}
	}
	if Valid(netip.Prefix{}) == nil {
		t.Error("nothing is an address")
	}
}

func TestParse(t *testing.T) {
	for _, good := range []string{`{"lan":[]}`, `{"lan":["10.1.2.3/8","192.168.1.2/24","fd00:1::5/64"]}`} {
		if _, err := Parse([]byte(good)); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	nine := `{"lan":["10.0.0.1/8","10.0.0.2/8","10.0.0.3/8","10.0.0.4/8","10.0.0.5/8","10.0.0.6/8","10.0.0.7/8","10.0.0.8/8","10.0.0.9/8"]}`
	for text, code := range map[string]fleet.Code{
		``: fleet.Invalid, `{}`: fleet.Invalid, `{"lan":null}`: fleet.Invalid, `null`: fleet.Invalid, `{"lan":[]} `: fleet.Invalid, `{"lan":[]}{}`: fleet.Invalid,
		`{"LAN":[]}`: fleet.Invalid, `{"lan":[],"lan":["192.168.1.2/24"]}`: fleet.Invalid, `{"lan":["192.168.1.2/24"],"host":"x"}`: fleet.Invalid,
		`{"lan":["192.168.1.2"]}`: fleet.Invalid, `{"lan":["192.168.001.2/24"]}`: fleet.Invalid, `{"lan":["192.168.1.2/0"]}`: fleet.Invalid, `{"lan":["203.0.113.1/24"]}`: fleet.Invalid,
		`{"lan":["192.168.1.2/24","192.168.1.2/24"]}`: fleet.Invalid, `{"lan":["192.168.1.3/24","192.168.1.2/24"]}`: fleet.Invalid, `{"lan":[""]}`: fleet.Invalid,
		`{"lan":["FD00:1::5/64"]}`: fleet.Invalid, nine: fleet.TooLarge, `{"lan":[` + strings.Repeat(" ", MaxReport) + `]}`: fleet.Invalid,
	} {
		if _, err := Parse([]byte(text)); fleet.CodeOf(err) != code {
			t.Errorf("%.60s: %v", text, err)
		}
	}
}

// Whatever addresses a machine has, its report is one that the server takes.
func TestNew_IsTaken(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) netip.Prefix {
			base := rapid.SampledFrom([]string{"192.168.1.2", "10.1.2.3", "172.16.0.0", "172.31.255.255", "203.0.113.4", "fd00:1::5", "fe80::1", "::ffff:10.0.0.1"}).Draw(t, "address")
			a := netip.MustParseAddr(base)
			return netip.PrefixFrom(a, rapid.IntRange(0, a.BitLen()).Draw(t, "bits"))
		}), 0, 20).Draw(t, "all")
		text, err := New(all).Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"lan":["10.1.2.3/8","192.168.1.2/24"]}`))
	f.Add([]byte(`{"lan":["fd00:1::5/64"]}`))
	f.Add([]byte(`{"lan":["::ffff:10.0.0.1/100"]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := Parse(text)
		if err != nil {
			return
		}
		if back, err := r.Encode(); err != nil || !bytes.Equal(back, text) || !slices.Equal(New(r.LAN).LAN, r.LAN) {
			t.Errorf("%s is written %s, %v", text, back, err)
		}
	})
}

func TestPlaces(t *testing.T) {
	router, other := netip.MustParseAddr("203.0.113.10"), netip.MustParseAddr("203.0.113.11")
	a, b := Places(router, prefixes("192.168.1.2/24", "10.9.0.2/16")), Places(router, prefixes("192.168.1.3/24"))
	if len(a) != 2 || !a[0].Near(b[0]) || a[1].Near(b[0]) {
		t.Errorf("behind one router: %v, %v", a, b)
	}
	if c := Places(other, prefixes("192.168.1.3/24")); a[0].Near(c[0]) {
		t.Error("two sites with the same network are one")
	}
	if c := Places(router, prefixes("192.168.1.3/25")); a[0].Near(c[0]) {
		t.Error("a network of another length is the same")
	}
	// No router: the server sees the address that the node has.
	here, there := Places(netip.MustParseAddr("10.3.0.2"), prefixes("10.3.0.2/24", "192.168.1.2/24")), Places(netip.MustParseAddr("10.3.0.9"), prefixes("10.3.0.9/24", "192.168.1.3/24"))
	if len(here) != 1 || len(there) != 1 || !here[0].Near(there[0]) || here[0].From.IsValid() {
		t.Errorf("without a router: %v, %v", here, there)
	}
	if got := Places(netip.Addr{}, prefixes("192.168.1.2/24")); got != nil {
		t.Errorf("from nowhere: %v", got)
	}
}

// A node that tells its neighbour's address takes nothing from it but the short way.
func TestClaims(t *testing.T) {
	router, other := netip.MustParseAddr("203.0.113.10"), netip.MustParseAddr("203.0.113.11")
	all := map[string][]Place{
		"a": Places(router, prefixes("192.168.1.2/24")), "b": Places(router, prefixes("192.168.1.3/24")),
		"liar":      Places(router, prefixes("192.168.1.3/25", "192.168.1.66/24")),
		"elsewhere": Places(other, prefixes("192.168.1.2/24")), // the same address, at another site
	}
	c := Claims{}
	for host, p := range all {
		c.Add(host, p)
		c.Add(host, p) // by two tunnels
	}
	for host, p := range all {
		c.Judge(host, p)
	}
	if all["a"][0].Disputed || !all["b"][0].Disputed || !all["liar"][0].Disputed || all["liar"][1].Disputed || all["elsewhere"][0].Disputed {
		t.Errorf("%v", all)
	}
	if got := c.Others("b", all["b"][0]); !slices.Equal(got, []string{"liar"}) {
		t.Errorf("who tells b's address: %v", got)
	}
}
