package ctl

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/run"
)

// answers is a server of a few answers, by "method(params)" or by method. The
// round trip with a real one is cmd/fernwerk/testdata/script/server.txtar.
type answers map[string]any

func (a answers) Call(_ context.Context, _ methods.Actor, method string, p methods.Params) (any, error) {
	data, err := json.Marshal(p.Positional)
	if err != nil {
		return nil, err
	}
	for _, key := range []string{method + string(data), method} {
		v, ok := a[key]
		if err, isErr := v.(error); isErr {
			return nil, err
		}
		if ok {
			return v, nil
		}
	}
	return nil, fmt.Errorf("unexpected call of %s%s; there are %v", method, data, slices.Sorted(maps.Keys(a)))
}

// ran is what a command came to, as a shell sees it.
type ran struct {
	out, err string
	exit     int
}

func runWith(t *testing.T, b tool.Backend, args ...string) ran {
	t.Helper()
	var out, problems bytes.Buffer
	one := tool.New(tool.System{In: strings.NewReader(""), Out: &out, Err: &problems, Version: "test",
		Getenv: func(name string) string { return map[string]string{"XDG_CONFIG_HOME": t.TempDir()}[name] }})
	one.Dial = func(context.Context) (tool.Backend, error) { return b, nil }
	exit := run.Report(&problems, execute(t.Context(), one, args))
	return ran{out.String(), problems.String(), exit}
}

func TestUsage(t *testing.T) {
	for line, want := range map[string]string{
		"staus":                  `unknown command "staus" for "fernwerk" (did you mean "status"?)`,
		"host lst":               `unknown command "lst" for "fernwerk host" (did you mean "list"?)`,
		"completion bsh":         `unknown command "bsh" for "fernwerk completion" (did you mean "bash"?)`,
		"host list --jsn":        `unknown flag --jsn for "fernwerk host list" (did you mean --json?)`,
		"host show":              `cannot run "fernwerk host show": HOST is missing`,
		"host show a b":          `cannot run "fernwerk host show": "b" is one argument too many`,
		"host delete":            `cannot run "fernwerk host delete": HOST... is missing`,
		"rpc":                    `cannot run "fernwerk rpc": METHOD is missing`,
		"action set firefox":     `cannot run "fernwerk action set": ACTION is missing`,
		"action set x setp":      `unknown action "setp" (did you mean "setup"?)`,
		"action set x setup":     `no --host is named`,
		"log show a.b.c instlg":  `unknown type of log "instlg" (did you mean "instlog"?)`,
		"dev demo --rate 20":     `"20" is no rate such as 20mbit`,
		"dev demo --rtt 20":      `invalid argument "20" for "--rtt" flag`,
		"login --ca-fingerprint": `flag needs an argument: --ca-fingerprint`,
	} {
		got := runWith(t, answers{}, strings.Fields(line)...)
		if got.exit != 2 || got.out != "" || !strings.Contains(got.err, want) || !strings.Contains(got.err, "\nhint: ") {
			t.Errorf("fernwerk %s: exit %d\n%s%s", line, got.exit, got.out, got.err)
		}
	}
}

func TestExitCodes(t *testing.T) {
	for want, err := range map[int]error{
		1: errors.New("anything"),
		4: fleet.Errorf(fleet.Locked, "somebody else holds it"),
		5: fleet.Errorf(fleet.Denied, "not for you"),
	} {
		got := runWith(t, answers{"host_getObjects": err}, "host", "list")
		if got.exit != want || got.err != "error: "+err.Error()+"\n" {
			t.Errorf("%v: exit %d, %q", err, got.exit, got.err)
		}
	}
}

func TestHostile(t *testing.T) {
	hostile := "\x1b]0;owned\a\u202e\u009b2J"
	host := map[string]any{"id": "pc1.example.org", "description": hostile, "type": hostile}
	for _, args := range [][]string{{"host", "list"}, {"host", "list", "--json"}, {"host", "show", "pc1.example.org"}, {"rpc", "host_getObjects"}} {
		got := runWith(t, answers{"host_getObjects": []any{host}}, args...)
		if got.exit != 0 || !strings.Contains(got.out, "pc1.example.org") || strings.ContainsAny(got.out, "\x1b\a\u202e\u009b") {
			t.Errorf("%v: exit %d, %q", args, got.exit, got.out)
		}
		if slices.Contains(args, "--json") {
			var back []map[string]any
			if err := json.Unmarshal([]byte(got.out), &back); err != nil || back[0]["description"] != hostile {
				t.Errorf("%v: not the same in JSON: %v, %q", args, err, got.out)
			}
		}
	}
	got := runWith(t, answers{"host_getObjects": fleet.WithHint(errors.New(hostile), "%s", hostile)}, "host", "list")
	if strings.ContainsAny(got.err, "\x1b\a\u202e\u009b") || strings.Count(got.err, "owned") != 2 {
		t.Errorf("error: %q", got.err)
	}
}

func TestHostCreate(t *testing.T) {
	got := runWith(t, answers{"host_getIdents": []any{"pc1.example.org"}}, "host", "create", "PC1.example.org")
	if got.exit != 1 || !strings.Contains(got.err, "it exists") {
		t.Errorf("an existing host: %+v", got)
	}
	got = runWith(t, answers{"host_getIdents": []any{}, "host_insertObject": nil}, "host", "create", "pc1.example.org", "--json")
	var made struct{ HostID, OneTimePassword string }
	if err := json.Unmarshal([]byte(got.out), &made); err != nil || made.HostID != "pc1.example.org" || len(made.OneTimePassword) < 26 {
		t.Errorf("%+v: %v", got, err)
	}
}

func TestWritesAsk(t *testing.T) {
	pc1, pc2 := map[string]any{"id": "pc1.example.org"}, map[string]any{"id": "pc2.example.org"}
	server := answers{`host_getObjects[["id"],{"id":"pc*","type":"OpsiClient"}]`: []any{pc1, pc2}, "host_getObjects": []any{pc1}}
	for _, c := range []struct {
		args string
		exit int
		want string
	}{
		{"host delete pc1.example.org", 5, "cannot ask whether to delete pc1.example.org"},
		{"action set x setup --host pc*", 5, "cannot ask whether to request setup of x for pc1.example.org, pc2.example.org"},
		{"action set x setup --host pc* --dry-run", 0, "would request setup of x for pc1.example.org, pc2.example.org"},
		{"action cancel x --host pc* --dry-run", 0, "would cancel the request for x on pc1.example.org, pc2.example.org"},
	} {
		got := runWith(t, server, strings.Fields(c.args)...)
		if got.exit != c.exit || !strings.Contains(got.out+got.err, c.want) {
			t.Errorf("%s: %+v", c.args, got)
		}
	}
}

func TestPartlyDone(t *testing.T) {
	const method = "setProductActionRequestWithDependencies"
	server := answers{
		`host_getObjects[["id"],{"id":"pc1.a.b","type":"OpsiClient"}]`: []any{map[string]any{"id": "pc1.a.b"}},
		`host_getObjects[["id"],{"id":"pc2.a.b","type":"OpsiClient"}]`: []any{map[string]any{"id": "pc2.a.b"}},
		method + `["x","pc1.a.b","setup"]`:                             []any{map[string]any{"clientId": "pc1.a.b", "productId": "x", "actionRequest": "setup", "why": "requested"}},
		method + `["x","pc2.a.b","setup"]`:                             fleet.Errorf(fleet.NotFound, "the depot does not have it"),
	}
	got := runWith(t, server, "action", "set", "x", "setup", "--host", "pc1.a.b,pc2.a.b")
	want := ran{
		out:  "host     product  action  why\npc1.a.b  x        setup   requested\n",
		err:  "error: pc2.a.b: the depot does not have it\nerror: 1 of 2 failed\n",
		exit: 3,
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(ran{})); diff != "" {
		t.Error(diff)
	}
	got = runWith(t, server, "action", "set", "x", "setup", "--host", "pc2.a.b")
	if got.exit != 1 || got.err != "error: the depot does not have it\n" {
		t.Errorf("one of one: %+v", got)
	}
}

func TestRPCHint(t *testing.T) {
	// A plain opsi server does not name the nearest method.
	got := runWith(t, answers{"host_getIdent": errors.New("Method 'host_getIdent' not found")}, "rpc", "host_getIdent")
	if got.exit != 1 || !strings.Contains(got.err, "hint: did you mean host_getIdents?") {
		t.Errorf("%+v", got)
	}
}

func TestManPages(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "man")
	if got := runWith(t, answers{}, "gen-docs", dir); got.exit != 0 {
		t.Fatalf("%+v", got)
	}
	page, err := os.ReadFile(filepath.Join(dir, "fernwerk-action-set.1"))
	if err != nil || !bytes.Contains(page, []byte("Request an action")) {
		t.Errorf("%v\n%s", err, page)
	}
}

func TestCompletion(t *testing.T) {
	got := runWith(t, answers{}, "__complete", "rpc", "host_getO")
	if !strings.HasPrefix(got.out, "host_getObjects\t") || strings.Contains(got.out, "product_") {
		t.Errorf("methods: %q", got.out)
	}
	got = runWith(t, answers{}, "__complete", "action", "set", "firefox", "")
	if !strings.Contains(got.out, "setup\n") {
		t.Errorf("actions: %q", got.out)
	}
	server := answers{
		`host_getObjects[["id"],{"id":"pc*"}]`:                                             []any{map[string]any{"id": "pc1.x.y"}, map[string]any{"id": "pc2.x.y"}},
		`host_getObjects[["id"],{"id":"pc*","type":"OpsiClient"}]`:                         []any{map[string]any{"id": "pc1.x.y"}},
		`productOnDepot_getObjects[["productId"],{"depotId":"d.x.y","productId":"*"}]`:     []any{map[string]any{"productId": "fern"}},
		`productOnDepot_getObjects[["productId"],{"productId":"*"}]`:                       []any{map[string]any{"productId": "fern"}, map[string]any{"productId": "fern"}},
		`productProperty_getObjects[["propertyId"],{"productId":"fern","propertyId":"*"}]`: []any{map[string]any{"propertyId": "language"}},
		`group_getObjects[["id"],{"id":"*","type":"HostGroup"}]`:                           []any{map[string]any{"id": "branch"}},
		`group_getObjects[["id"],{"id":"*","type":"ProductGroup"}]`:                        []any{map[string]any{"id": "office"}},
		`nodeType_getObjects[["id"],{"id":"*"}]`:                                           []any{map[string]any{"id": "vnode"}},
		`licensePool_getObjects[["id"],{"id":"*"}]`:                                        []any{map[string]any{"id": "writer"}},
		"account_list": []any{map[string]any{"name": "admin"}, map[string]any{"name": "berta"}},
	}
	for line, want := range map[string]string{
		"host show pc":                          "pc1.x.y pc2.x.y",
		"host delete pc9.x.y pc":                "pc1.x.y pc2.x.y",
		"host create pc":                        "",
		"action set fern setup --host pc":       "pc1.x.y",
		"action set fern setup --host a.x.y,pc": "a.x.y,pc1.x.y",
		"action set ":                           "fern",
		"depot lock d.x.y ":                     "fern",
		"product property set fern ":            "language",
		"node-type set ":                        "vnode",
		"node-type set vnode --tunnel ":         "openvpn mesh both none",
		"token create --node-type ":             "vnode",
		"update new x --node-types ":            "vnode",
		"group show ":                           "branch",
		"group show --products ":                "office",
		"group add --products office ":          "fern",
		"user create berta --group ":            "branch",
		"user delete b":                         "berta",
		"user role berta op":                    "operator",
		"licence reserve pc1.x.y --pool ":       "writer",
		"log show pc1.x.y inst":                 "instlog",
		"doctor ":                               "",
	} {
		words := strings.Split(line, " ")
		got := strings.Fields(runWith(t, server, append([]string{"__complete"}, words...)...).out)
		if len(got) == 0 || strings.Join(got[:len(got)-1], " ") != want || got[len(got)-1] != ":4" {
			t.Errorf("%q: %q, want %q and no files", line, got, want)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if got := runWith(t, answers{}, "completion", shell); got.exit != 0 || !strings.Contains(got.out, "fernwerk") {
			t.Errorf("%s: exit %d", shell, got.exit)
		}
	}
}
