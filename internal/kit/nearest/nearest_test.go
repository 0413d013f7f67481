package nearest

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestSuggest(t *testing.T) {
	keys := []string{"listen", "data", "cache_max_bandwidth", "cache_dynamic_bandwidth", "interval", "Verify_Server_Cert"}
	tests := []struct{ word, want string }{
		{"lisen", "listen"},       // left out
		{"lsiten", "listen"},      // exchanged
		{"listten", "listen"},     // doubled
		{"intervall", "interval"}, //
		{"DATA", "data"},          // case only
		{"dtaa", "data"},          // short words may differ by one
		{"cache_max_bandwith", "cache_max_bandwidth"},
		{"cacheMaxBandwidth", "cache_max_bandwidth"},
		{"verify_server_cert", "Verify_Server_Cert"},
		{"port", ""},
		{"x", ""},
		{"", ""},
		{strings.Repeat("listen", 1000), ""},
	}
	for _, test := range tests {
		got, ok := Suggest(test.word, keys)
		if got != test.want || ok != (test.want != "") {
			t.Errorf("Suggest(%.20q) = %q, %v; want %q", test.word, got, ok, test.want)
		}
	}
}

func TestPhrase(t *testing.T) {
	if got := Phrase("lisen", []string{"listen"}); got != ` (did you mean "listen"?)` {
		t.Errorf("got %s", got)
	}
	if got := Phrase("nothing", []string{"listen"}); got != "" {
		t.Errorf("got %s", got)
	}
}

func TestDistance_Properties(t *testing.T) {
	word := rapid.SliceOfN(rapid.RuneFrom([]rune("abcä")), 0, 8)
	rapid.Check(t, func(t *rapid.T) {
		a, b := word.Draw(t, "a"), word.Draw(t, "b")
		const all = 100
		d := distance(a, b, all)
		if d != distance(b, a, all) {
			t.Fatal("not symmetric")
		}
		if (d == 0) != (string(a) == string(b)) {
			t.Fatalf("distance %d between %q and %q", d, string(a), string(b))
		}
		if d > max(len(a), len(b)) {
			t.Fatalf("distance %d is more than replacing everything", d)
		}
		if len(a) > 1 && a[0] != a[1] {
			swapped := append([]rune{a[1], a[0]}, a[2:]...)
			if distance(a, swapped, all) != 1 {
				t.Fatal("an exchange of neighbours is not one edit")
			}
		}
	})
}
