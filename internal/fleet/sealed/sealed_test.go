package sealed_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/sealed"
)

const key = "0123456789abcdef0123456789abcdef"

// What OpenSSL makes of the same bytes, filled up with zero bytes:
//
//	printf 'linux123' | openssl enc -bf-cbc -K $key -iv 4f50534931323334 -nopad -provider legacy -provider default | xxd -p
func TestSeal_FormIsOpsis(t *testing.T) {
	for secret, want := range vectors {
		got, err := sealed.Seal(key, secret)
		if err != nil || got != want {
			t.Errorf("%q: %s, %v, want %s", secret, got, err, want)
		}
		back, err := sealed.Open(key, want)
		if err != nil || back != secret {
			t.Errorf("%s: %q, %v, want %q", want, back, err, secret)
		}
	}
}

func TestSeal_OpensAgain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret := strings.ReplaceAll(rapid.String().Draw(t, "secret"), "\x00", "")
		hostKey := rapid.StringMatching(`[0-9a-f]{32}`).Draw(t, "key")
		text, err := sealed.Seal(hostKey, secret)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := sealed.Open(hostKey, text); err != nil || got != secret {
			t.Fatalf("%q, %v", got, err)
		}
	})
}

func TestRefused(t *testing.T) {
	for _, k := range []string{"", "short", strings.Repeat("g", 32), key + "00"} {
		if _, err := sealed.Seal(k, "x"); fleet.CodeOf(err) != fleet.Invalid {
			t.Errorf("key %q: %v", k, err)
		}
	}
	for _, s := range []string{strings.Repeat("x", sealed.Longest+1), "a\x00b"} {
		if _, err := sealed.Seal(key, s); fleet.CodeOf(err) != fleet.Invalid {
			t.Errorf("a secret of %d bytes: %v", len(s), err)
		}
	}
	for _, text := range []string{"0", "00", "xx", strings.Repeat("00", 12), strings.Repeat("00", sealed.Longest+16)} {
		if _, err := sealed.Open(key, text); fleet.CodeOf(err) != fleet.Invalid {
			t.Errorf("sealed %.20q: %v", text, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(key, "00112233445566778899aabbccddeeff")
	f.Fuzz(func(t *testing.T, hostKey, text string) {
		secret, err := sealed.Open(hostKey, text)
		if err != nil {
			return
		}
		if again, err := sealed.Seal(hostKey, secret); err != nil || !strings.HasPrefix(strings.ToLower(text), again) {
			t.Fatalf("%q opens as %q and seals as %q, %v", text, secret, again, err)
		}
	})
}

var vectors = map[string]string{
	"linux123":   "2b856a86cff89bef",
	"x":          "1d4ec3e06247d54a",
	"Grüße 17 !": "a9efa4274d6504dc918d83e38629a6d4",
	"":           "",
}
