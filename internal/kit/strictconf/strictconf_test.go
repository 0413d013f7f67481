package strictconf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type duration time.Duration

func (d *duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = duration(v)
	return err
}

type config struct {
	Listen string   `toml:"listen"`
	Data   string   `toml:"data"`
	Grace  duration `toml:"grace"`
	Depot  struct {
		Bandwidth int64    `toml:"max_bandwidth"`
		Names     []string `toml:"names"`
	} `toml:"depot"`
	Mirrors []mirror        `toml:"mirror"`
	Roles   map[string]role `toml:"role"`
	hidden  int
}

type mirror struct {
	URL    string `toml:"url"`
	Weight int    `toml:"weight"`
}

type role struct {
	Groups []string `toml:"groups"`
}

func TestParse_Right(t *testing.T) {
	cfg := config{Listen: ":4447", Data: "/var/lib/fernwerk"}
	cfg.Depot.Bandwidth = 7
	err := Parse("server.toml", []byte(`
listen = "127.0.0.1:1"
grace = "90s"
[depot]
names = ["a", "b"]
[[mirror]]
url = "https://a"
weight = 2
[role.helpdesk]
groups = ["east"]
`), &cfg)
	if err != nil {
		t.Fatal(err)
	}
	want := config{Listen: "127.0.0.1:1", Data: "/var/lib/fernwerk", Grace: duration(90 * time.Second)}
	want.Depot.Bandwidth = 7
	want.Depot.Names = []string{"a", "b"}
	want.Mirrors = []mirror{{"https://a", 2}}
	want.Roles = map[string]role{"helpdesk": {[]string{"east"}}}
	if diff := cmp.Diff(want, cfg, cmp.AllowUnexported(config{})); diff != "" {
		t.Error(diff)
	}
}

func TestParse_Wrong(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string
	}{
		{"unknown key", "listen = \"a\"\nlisten_on = \"b\"\n", []string{`c:2: unknown key "listen_on" (did you mean "listen"?)`}},
		{"nothing near", "zzzzzzz = 1\n", []string{`c:1: unknown key "zzzzzzz"`}},
		{"inner key", "[depot]\nmax_bandwith = 1\n", []string{`c:2: unknown key "depot.max_bandwith" (did you mean "depot.max_bandwidth"?)`}},
		{"unknown table", "[depto]\nmax_bandwidth = 1\n", []string{`c:1: unknown key "depto" (did you mean "depot"?)`}},
		{"list of tables", "[[mirror]]\nurl = \"a\"\n[[mirror]]\nulr = \"b\"\n", []string{`c:4: unknown key "mirror.ulr" (did you mean "mirror.url"?)`}},
		{"map of tables", "[role.x]\ngroup = []\n", []string{`c:2: unknown key "role.x.group" (did you mean "role.x.groups"?)`}},
		{"unexported field", "hidden = 1\n", []string{`c:1: unknown key "hidden"`}},
		{
			"everything at once",
			"lisen = 1\ndata = 7\ngrace = \"soon\"\n[depot]\nmax_bandwidth = \"much\"\nnams = []\n[[mirror]]\nweight = \"heavy\"\n[role.a]\ngroups = 3\n",
			[]string{
				`c:1: unknown key "lisen" (did you mean "listen"?)`,
				`c:2: data:`, `c:3: grace:`, `c:5: depot.max_bandwidth:`,
				`c:6: unknown key "depot.nams" (did you mean "depot.names"?)`,
				`c:8: mirror.weight:`, `c:10: role.a.groups:`,
			},
		},
		{"syntax", "listen = \ndata = 1\n", []string{"c:1: "}},
		{"twice", "listen = \"a\"\nlisten = \"b\"\n", []string{"c:2: "}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before := config{Listen: "default"}
			cfg := before
			err := Parse("c", []byte(test.text), &cfg)
			wrong, ok := errors.AsType[*Error](err)
			if !ok {
				t.Fatalf("got %v", err)
			}
			got := strings.Split(wrong.Error(), "\n")
			if len(got) != len(test.want) {
				t.Fatalf("got %d problems:\n%v", len(got), err)
			}
			for i, want := range test.want {
				if strings.HasSuffix(want, ":") || strings.HasSuffix(want, ": ") {
					if !strings.HasPrefix(got[i], want) {
						t.Errorf("got %s, want %s...", got[i], want)
					}
				} else if got[i] != want {
					t.Errorf("got %s, want %s", got[i], want)
				}
			}
			if diff := cmp.Diff(before, cfg, cmp.AllowUnexported(config{})); diff != "" {
				t.Errorf("the configuration was changed:\n%s", diff)
			}
		})
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "server.toml")
	var cfg config
	if err := Load(path, &cfg); !errors.Is(err, ErrMissing) {
		t.Errorf("no file: %v", err)
	}
	if err := Load(dir, &cfg); err == nil || errors.Is(err, ErrMissing) {
		t.Errorf("a directory: %v", err)
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("lisen = 1\n")
	err := Load(path, &cfg)
	if want := fmt.Sprintf(`%s:1: unknown key "lisen" (did you mean "listen"?)`, path); err == nil || err.Error() != want || errors.Is(err, ErrMissing) {
		t.Errorf("got %v, want %s", err, want)
	}
	write(strings.Repeat("#\n", maxSize/2+1))
	if err := Load(path, &cfg); err == nil {
		t.Error("a file above the limit was read")
	}
	write("listen = \":1\"\n")
	if err := Load(path, &cfg); err != nil || cfg.Listen != ":1" {
		t.Errorf("got %q, %v", cfg.Listen, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("listen = \"a\"\n[depot]\nnames = [\"x\"]\n")
	f.Add("[role.x]\ngroups = 3\n[[mirror]]\nurl = 1\n[mirror.x]\n")
	f.Add("data = 7\ndata = 8\n")
	f.Fuzz(func(t *testing.T, text string) {
		var cfg config
		if err := Parse("c", []byte(text), &cfg); err == nil {
			return
		} else if _, ok := errors.AsType[*Error](err); !ok {
			t.Fatalf("an error of an undeclared kind: %v", err)
		}
	})
}
