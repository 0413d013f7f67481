package where

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// pc is a host by its facts as they are written.
type pc map[string][]string

func (h pc) Texts(f Fact) []string { return h[f.String()] }

func (h pc) Age(f Fact) time.Duration {
	v := h[f.String()]
	if len(v) == 0 {
		return Never
	}
	d, err := time.ParseDuration(v[0])
	if err != nil {
		panic(err)
	}
	return d
}

var laptop = pc{
	"id": {"pc1.branch.example.org"}, "description": {"Reception"}, "last-seen": {"48h"}, "depot": {"depot1.example.org"},
	"group": {"branch", "laptops"}, "installed": {"firefox", "vlc"}, "wan": {"on"},
	"product:firefox.version": {"128.0-2"}, "param:clientconfig.depot.protocol": {"webdav"},
}

func TestMatch(t *testing.T) {
	for text, want := range map[string]bool{
		"id = pc1.branch.example.org":                   true,
		"id = '*.branch.example.org'":                   true,
		"id = *.BRANCH.example.org":                     true,
		"id != pc1.branch.example.org":                  false,
		"id in (a.b.c, pc1.branch.example.org)":         true,
		"id not in (a.b.c, pc1.branch.example.org)":     false,
		"description = reception":                       true,
		"notes = ''":                                    true,
		"notes != ''":                                   false,
		"description = ''":                              false,
		"last-seen < 3d":                                true,
		"last-seen < 2d":                                false,
		"last-seen <= 2d and last-seen >= 48h":          true,
		"last-seen > 1w":                                false,
		"last-seen = never":                             false,
		"created = never":                               true,
		"created < 9999w":                               false, // neither smaller nor greater
		"created > 0m":                                  false,
		"group = laptops":                               true,
		"group != laptops":                              false,
		"group = servers or installed = vlc":            true,
		"group = servers and installed = vlc":           false,
		"not group = servers and installed = vlc":       true,
		"not (group = servers or installed = vlc)":      false,
		"group = servers or wan = off or wan = on":      true,
		"wan = on AND NOT installed = chromium":         true,
		"product:firefox.version < 128.1":               true,
		"product:firefox.version = 128.0-2":             true,
		"product:firefox.version = 128.*":               true,
		"product:firefox.version >= 128.0":              true,
		"product:firefox.version > 128.0":               false,
		"product:firefox.version > 128.0-1":             true,
		"product:other.version < 1":                     false,
		"product:other.version = ''":                    true,
		"param:clientconfig.depot.protocol = webdav":    true,
		`description = "recep*" or description = 'x"x'`: true,
	} {
		c, err := Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := c.Match(laptop); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestParse_Refuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                            "the end stands where a fact should",
		"id":                          "the end stands where =, !=",
		"id =":                        "the end stands where a value should",
		"id = a b":                    `"b" stands where "and", "or" or the end should`,
		"idd = a":                     `there is no fact "idd"`,
		"product:.version = 1":        "there is no fact",
		"product:x.colour = 1":        "there is no fact",
		"param: = 1":                  "there is no fact",
		"id < a":                      "id is text",
		"last-seen = 3d":              "compare it with < or >",
		"last-seen < soon":            `"soon" is no time`,
		"last-seen < -3d":             "is no time",
		"last-seen < 99999999999999w": "is no time",
		"id = 'a":                     "never closed",
		"(id = a":                     `the end stands where ")" should`,
		"id in a":                     `"a" stands where "(" should`,
		"id in ()":                    `")" stands where a value should`,
		"id ! a":                      "stands where =",
		"id not = a":                  `"=" stands where "in" should`,
		"and = a":                     "stands where a fact should",
		"id = and":                    "stands where a value should",
		"id = \xff":                   "no UTF-8",
		strings.Repeat("(", 60) + "id = a" + strings.Repeat(")", 60): "nested deeper than 50",
		strings.Repeat("not ", 60) + "id = a":                        "nested deeper than 50",
		strings.Repeat("x", maxText+1):                               "longer than",
	} {
		_, err := Parse(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %s", text, err, want)
		}
		if code := fleet.CodeOf(err); code != fleet.Invalid && code != fleet.TooLarge {
			t.Errorf("%.60s: code %s", text, code)
		}
	}
}

func TestString(t *testing.T) {
	for text, want := range map[string]string{
		"((id = a))":                              "id = a",
		"not not id = 'a'":                        "id = a",
		"id != a":                                 "not id = a",
		"(id = a or id = b) and wan = on":         "(id = a or id = b) and wan = on",
		"id = a or (id = b and wan = on)":         "id = a or id = b and wan = on",
		"not (id = a and id = b)":                 "not (id = a and id = b)",
		"id = a or (id = b or id = c)":            "id = a or id = b or id = c",
		"description in ('and', \"it's\", 'a b')": `description in ('and', "it's", 'a b')`,
		"product:Firefox.version<1":               "product:firefox.version < 1",
	} {
		c, err := Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if diff := cmp.Diff(want, c.String()); diff != "" {
			t.Error(diff)
		}
	}
}

func TestFacts(t *testing.T) {
	c, err := Parse("id = a and (not id = b or product:x.version < 1 or param:y = 1)")
	if err != nil {
		t.Fatal(err)
	}
	want := []Fact{{Name: "id"}, {Name: "product.version", Of: "x"}, {Name: "param", Of: "y"}}
	if diff := cmp.Diff(want, c.Facts()); diff != "" {
		t.Error(diff)
	}
}

// drawn is a condition of any shape, as text.
func drawn(t *rapid.T, depth int) string {
	if depth == 0 || rapid.IntRange(0, 2).Draw(t, "leaf") == 0 {
		value := rapid.SampledFrom([]string{"a", "'b c'", `"d'e"`, "'or'", "f*", "''"}).Draw(t, "value")
		fact := rapid.SampledFrom([]string{"id", "group", "product:x.version", "param:y.z"}).Draw(t, "fact")
		if rapid.Bool().Draw(t, "list") {
			return fact + " in (" + value + ", g)"
		}
		return fact + rapid.SampledFrom([]string{" = ", "!="}).Draw(t, "op") + value
	}
	a, b := drawn(t, depth-1), drawn(t, depth-1)
	return rapid.SampledFrom([]string{"(" + a + ") and " + b, a + " or (" + b + ")", "not (" + a + ")", a + " and not " + b}).Draw(t, "shape")
}

// What is printed is the same condition: it prints the same again and matches
// the same hosts.
func TestString_ParsesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := drawn(t, 4)
		c, err := Parse(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		again, err := Parse(c.String())
		if err != nil {
			t.Fatalf("%s -> %s: %v", text, c, err)
		}
		if again.String() != c.String() {
			t.Fatalf("%s -> %s -> %s", text, c, again)
		}
		host := pc{}
		for _, name := range []string{"id", "group", "product:x.version", "param:y.z"} {
			host[name] = rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b c", "f1", "g", "or"}), 0, 2).Draw(t, name)
		}
		if c.Match(host) != again.Match(host) {
			t.Fatalf("%s and %s differ on %v", text, c, host)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"id = a", "not (id in (a, 'b') or wan = on) and last-seen < 3d", "product:x.version >= 1.0-2", `x = "`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := Parse(s)
		if err != nil {
			return
		}
		again, err := Parse(c.String())
		if err != nil || again.String() != c.String() || !slices.Equal(again.Facts(), c.Facts()) {
			t.Fatalf("%q -> %q: %v", s, c, err)
		}
		c.Match(laptop)
	})
}
