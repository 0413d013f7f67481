package exec

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/node"
	"github.com/fernwerk/fernwerk/internal/server/scheduler/tool"
	"github.com/fernwerk/fernwerk/test/require"
	"github.com/fernwerk/fernwerk/test/schedulertest"
)

// honest is a scheduler in a file: its nodes as JSON.
const honest = `
import json, os, sys
file = sys.argv[1]
nodes = json.load(open(file)) if os.path.exists(file) else {}
q = json.load(sys.stdin)
if q["version"] != 1:
    sys.exit("another version")
if q["do"] == "read":
    print(json.dumps({"nodes": list(nodes.values())}))
else:
    n = q["node"]
    old = nodes.get(n["name"], {})
    if n["up"] or n["name"] in nodes:
        nodes[n["name"]] = {"name": n["name"], "up": n["up"], "address": n.get("address", old.get("address", "")), "epoch": n.get("epoch", old.get("epoch", 0)),
            "properties": {**n.get("properties", {}), "client": n.get("clientName", "")}, "word": "busy" if n["up"] else "away"}
        with open(file + ".new", "w") as f:
            json.dump(nodes, f)
        os.rename(file + ".new", file)
    print("{}")
`

type other struct {
	program []string
}

func (o other) Driver() schedulertest.Driver { return &Driver{Program: o.program} }
func (other) Prepare(node.Node)              {}
func (other) Restart()                       {}
func (other) Properties() [2]map[string]string {
	return [2]map[string]string{{"gpu": "1"}, {"gpu": "2"}}
}

func TestDriver(t *testing.T) {
	python := require.Python(t, "json")
	dir := t.TempDir()
	script := filepath.Join(dir, "scheduler.py")
	if err := os.WriteFile(script, []byte(honest), 0o600); err != nil {
		t.Fatal(err)
	}
	schedulertest.Run(t, other{[]string{python, script, filepath.Join(dir, "nodes.json")}})
}

// A program that does not answer as it should is late, not the server's end.
func TestDriver_Faults(t *testing.T) {
	sh := require.Tool(t, "sh")
	t.Setenv("FERNWERK_ADMIN_PASSWORD", "secret")
	for name, c := range map[string]struct{ script, want string }{
		"hangs":       {"sleep 60 & wait", "longer than 300ms"},
		"fails":       {"echo 'no licence \033[31m' >&2; exit 3", "no licence [31m"},
		"refuses":     {`echo '{"error": "not today"}'`, "not today"},
		"no JSON":     {"echo hello", "invalid character"},
		"two":         {"echo '{}{}'", "more after it"},
		"unknown":     {`echo '{"nodez": []}'`, "nodez"},
		"nothing":     {"true", "EOF"},
		"address":     {`echo '{"nodes":[{"name":"a.b","address":"10.1"}]}'`, "no address"},
		"twice":       {`echo '{"nodes":[{"name":"a.b"},{"name":"a.b"}]}'`, "twice"},
		"floods":      {"exec yes", "printed more than"},
		"daemon":      {"sleep 60 & echo '{}'", "left something running"},
		"environment": {`test -z "$FERNWERK_ADMIN_PASSWORD" && test -n "$PATH" && echo '{}'`, ""},
		"no stdin":    {"exec <&-; echo '{}'", ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := &Driver{Tools: tool.Runner{Limit: time.Minute}, Program: []string{sh, "-c", c.script}}
			if name == "hangs" {
				d.Tools.Limit = 300 * time.Millisecond
			}
			begun := time.Now()
			_, err := d.Read(t.Context())
			if c.want == "" && err == nil {
				return
			}
			if fleet.CodeOf(err) != fleet.Unavailable || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\033") {
				t.Errorf("%v", err)
			}
			if took := time.Since(begun); took > 30*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"nodes":[{"name":"a.b","up":true,"epoch":3}]}`))
	f.Add([]byte(`{"error":"x"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := parse(text)
		if err != nil {
			return
		}
		back, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parse(back)
		if err != nil {
			t.Fatalf("%s: %v", back, err)
		}
		if text, err := json.Marshal(again); err != nil || string(text) != string(back) {
			t.Errorf("%s is printed as %s, %v", back, text, err)
		}
	})
}
