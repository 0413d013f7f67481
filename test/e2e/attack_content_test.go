package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/fernwerk/fernwerk/internal/fleet/chunkindex"
	"github.com/fernwerk/fernwerk/internal/fleet/trust"
	"github.com/fernwerk/fernwerk/test/e2e/site"
)

// The attacks of this file are on what products and updates consist of.

// index is the text of a product's tree at the true server.
func (o *siege) index(t *testing.T, product string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, o.URL()+"/v1/depot/"+product+"/tree", nil)
	must(t, err)
	req.SetBasicAuth("admin", site.Password)
	req.Header.Set("Accept-Encoding", "zstd")
	resp, err := o.http.Do(req)
	must(t, err)
	defer resp.Body.Close()
	z, err := zstd.NewReader(resp.Body)
	must(t, err)
	defer z.Close()
	text, err := io.ReadAll(z)
	must(t, err)
	return text
}

func digestOf(t *testing.T, o *siege, product string) [32]byte {
	t.Helper()
	x, err := chunkindex.Parse(bytes.NewReader(o.index(t, product)), chunkindex.Limits{})
	must(t, err)
	return x.Digest
}

func packed(t *testing.T, text []byte) lie {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	must(t, err)
	return lie{Path: "^/v1/depot/fresh/tree$", Do: "serve", Header: map[string]string{"Content-Encoding": "zstd"}, Body: z.EncodeAll(text, nil)}
}

func TestAttack17_AnotherProductSiteOrPlatform(t *testing.T) {
	t.Parallel()
	o := siegeOf(t)
	v := o.victim(t, "delegated")
	v.refuses(t, "foreign", "refused foreign 1.0-1", "linux")
	v.refuses(t, "loose", "refused loose 1.0-1", "not signed")
	v.lies(t, o.first.shown(t, lie{Path: "^/v1/depot/fresh/", Do: "instead", New: "/v1/depot/other/"})...)
	v.refuses(t, "fresh", "refused fresh 1.0-1", "digest")
	v.met(t)
	// What another depot's key vouches for is not for this site.
	_, _, _, depot := o.second.parsed(t)
	depot.Version++
	depot.Targets = map[string]trust.Target{trust.DepotName("elsewhere.attack.test", "loose", "1.0", "1", "any"): {Length: 1000, SHA256: digestOf(t, o, "loose")}}
	v.lies(t, o.forge(t, forgery{depot: sign(t, depot, o.keys[trust.Depot]), depotVersion: depot.Version})...)
	v.refuses(t, "loose", "refused loose 1.0-1", "not signed")
	v.met(t)
	v.works(t)
}

func TestAttack19_ALyingMirror(t *testing.T) {
	t.Parallel()
	o := siegeOf(t)
	for name, bad := range map[string]lie{
		"a bad chunk": {Do: "flip"}, "404": {Do: "serve", Status: 404}, "truncation": {Do: "truncate", Size: 100}, "another size": {Do: "append", Body: []byte("more")},
		"a hotel's page": {Do: "serve", Body: []byte("<html>log in</html>")}, "nobody": {Do: "serve", Status: 502},
	} {
		v := o.victim(t, "offline")
		for _, path := range []string{"^/v1/depot/fresh/tree$", "^/v1/depot/fresh/chunks$"} {
			bad.Path, bad.Times = path, 1
			v.lies(t, o.first.shown(t, bad)...)
			v.requests(t, "fresh")
			if h := v.heard(t)[0]; h.Hits == 0 && v.ran("fresh1.0") == 0 {
				t.Errorf("%s: the lie was not met, and the product is not there", name)
			}
		}
		v.lies(t, o.first.shown(t)...)
		if v.ran("fresh1.0") == 0 {
			if c := v.requests(t, "fresh"); c.Status != "done" {
				t.Errorf("after %s: %+v", name, c)
			}
		}
		if v.ran("fresh1.0") == 0 {
			t.Errorf("after %s the product was not installed", name)
		}
		v.works(t)
		v.Kill()
	}
}

func TestAttack20_NamesThatLeaveTheTree(t *testing.T) {
	t.Parallel()
	o := siegeOf(t)
	v := o.victim(t, "offline")
	plain := o.joined(t, "plain-opsi") // here nothing but the reader of names stands against it
	must(t, plain.Start(t.Context()))
	const name = "data/file"
	text := string(o.index(t, "fresh"))
	if !strings.Contains(text, name) {
		t.Fatalf("the tree has another form:\n%.500s", text)
	}
	for _, evil := range []string{"../../evi", "/tmp/evil", `C:\evil12`, "C:/evil12", "CON/file1", "data//fil", "./file123", "data/a\x00le", "data/a\nle", "setup.sh/"} {
		if len(evil) != len(name) {
			t.Fatal(evil)
		}
		odd := strings.ReplaceAll(text, name, evil)
		for _, victim := range []*victim{v, plain} {
			victim.lies(t, o.first.shown(t, packed(t, []byte(odd)))...)
			victim.refuses(t, "fresh", "fresh")
			victim.met(t)
			if _, err := os.Stat(filepath.Join(victim.Data, "cache", "staging", "fresh")); err == nil {
				t.Errorf("%q: something was written", evil)
			}
		}
	}
	// The same tree as it is, which shows that it is the name that is refused.
	plain.lies(t, o.first.shown(t, packed(t, []byte(text)))...)
	if c := plain.requests(t, "fresh"); c.Status != "done" {
		t.Errorf("the true tree: %+v", c)
	}
	v.works(t)
}

func TestAttack21_ADecompressionBomb(t *testing.T) {
	t.Parallel()
	o := siegeOf(t)
	v := o.victim(t, "offline")
	var bomb bytes.Buffer
	z, err := zstd.NewWriter(&bomb, zstd.WithWindowSize(1<<20))
	must(t, err)
	for block := make([]byte, 1<<20); bomb.Len() < 200_000; { // gigabytes, unpacked
		_, err := z.Write(block)
		must(t, err)
	}
	must(t, z.Close())
	for _, one := range []lie{
		{Path: "^/v1/depot/fresh/tree$", Do: "serve", Header: map[string]string{"Content-Encoding": "zstd"}, Body: bomb.Bytes()},
		{Path: "^/v1/depot/fresh/chunks$", Do: "serve", Body: bomb.Bytes()},
	} {
		v.lies(t, o.first.shown(t, one)...)
		v.refuses(t, "fresh", "fresh")
		v.met(t)
	}
	var written int64
	filepath.WalkDir(v.CacheDir(), func(_ string, d os.DirEntry, err error) error {
		if info, err := d.Info(); err == nil && !d.IsDir() {
			written += info.Size()
		}
		return nil
	})
	if written > 8<<20 {
		t.Errorf("%d bytes were written", written)
	}
	if runtime.GOOS == "linux" {
		if most := peak(t, v.PID()); most > 300<<10 {
			t.Errorf("the agent took %d KiB of memory", most)
		}
	}
	v.works(t)
}

// peak is how much memory a process took at most, in KiB.
func peak(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)
	m := regexp.MustCompile(`VmHWM:\s+(\d+)`).FindSubmatch(status)
	if m == nil {
		t.Fatal("no peak in the process's status")
	}
	n, err := strconv.Atoi(string(m[1]))
	must(t, err)
	return n
}

// offered is a lie about which updates there are.
func offered(numbers ...string) lie {
	return serves("^/v1/updates$", []byte(`{"offered":["`+strings.Join(numbers, `","`)+`"]}`))
}

// log is what the agent says of an update.
func (v *victim) updateLog(t *testing.T, number string) string {
	return v.agent(t, "updates", "log", number)
}

// awaitLog waits until the agent says something of an update.
func (v *victim) awaitLog(t *testing.T, number, word string) {
	t.Helper()
	await(t, "update "+number+" is "+word, func() (bool, error) {
		out := v.updateLog(t, number)
		if strings.Contains(out, word) {
			return true, nil
		}
		return false, fmt.Errorf("%s", out)
	})
}

func TestAttack23_KilledInAScript(t *testing.T) {
	t.Parallel()
	o := siegeOf(t)
	v := o.victim(t, "offline")
	v.lies(t, o.first.shown(t, offered("001", "006"))...)
	await(t, "the script runs", func() (bool, error) { return v.ran("update006") == 1, nil })
	v.Kill()
	must(t, v.Start(t.Context()))
	v.awaitLog(t, "006", "done")
	if out := v.updateLog(t, "006"); !strings.Contains(out, "interrupted") || v.ran("update006") != 2 {
		t.Errorf("ran %d times, and the machine says: %s", v.ran("update006"), out)
	}
	if v.ran("update001") != 1 {
		t.Error("what had ended was run again")
	}
	v.works(t)
}

// attemptsOf are what the server was told of 001.
func (o *siege) attemptsOf(ctx context.Context, host string) ([]attempt, error) {
	return (&office{Server: o.Server}).attempts(ctx, 1, host)
}

func TestAttack24_KilledBeforeTheReport(t *testing.T) {
	t.Parallel()
	o := siegeOf(t)
	v := o.joined(t, "offline")
	v.lies(t, o.first.shown(t, lie{Path: "^/rpc", Do: "serve", Status: 502})...)
	must(t, v.Start(t.Context()))
	v.awaitLog(t, "001", "not reported yet")
	v.Kill()
	must(t, v.Start(t.Context()))
	v.awaitLog(t, "001", "not reported yet")
	v.lies(t, o.first.shown(t)...)
	await(t, "the server knows", func() (bool, error) { list, err := o.attemptsOf(t.Context(), v.id); return len(list) == 1, err })
	if v.ran("update001") != 1 {
		t.Errorf("it ran %d times", v.ran("update001"))
	}
	v.works(t)
}

func TestAttack25_TheAnswerToAReportIsLost(t *testing.T) {
	t.Parallel()
	o := siegeOf(t)
	v := o.joined(t, "offline")
	v.lies(t, o.first.shown(t, lie{Path: "^/rpc", Do: "lose"})...)
	must(t, v.Start(t.Context()))
	await(t, "the server knows, and the host does not know that", func() (bool, error) {
		list, err := o.attemptsOf(t.Context(), v.id)
		return len(list) == 1 && strings.Contains(v.updateLog(t, "001"), "not reported yet"), err
	})
	v.lies(t, o.first.shown(t)...)
	await(t, "the host has told", func() (bool, error) { return strings.Contains(v.updateLog(t, "001"), ", reported"), nil })
	list, err := o.attemptsOf(t.Context(), v.id)
	must(t, err)
	if len(list) != 1 || v.ran("update001") != 1 {
		t.Errorf("%d attempts are known, it ran %d times", len(list), v.ran("update001"))
	}
	v.works(t)
}

func TestAttack28_AScriptThatNeverEnds(t *testing.T) {
	t.Parallel()
	o := siegeOf(t)
	v := o.victim(t, "offline")
	v.lies(t, o.first.shown(t, offered("001", "003", "004"))...)
	v.awaitLog(t, "004", "failed")
	out := v.updateLog(t, "004")
	if len(out) > 1<<20 || !strings.Contains(out, "did not end within its time") {
		t.Errorf("%d bytes: %.300s", len(out), out)
	}
	if v.ran("update003") != 1 || v.ran("update004") != 1 {
		t.Errorf("003 ran %d times, 004 %d times", v.ran("update003"), v.ran("update004"))
	}
	if runtime.GOOS == "linux" {
		all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, file := range all {
			if line, _ := os.ReadFile(file); string(line) == "sleep\x001004\x00" {
				t.Errorf("%s is left of the script", file)
			}
		}
	}
	v.works(t)
	v.lies(t, o.first.shown(t, offered("001", "003", "004", "006"))...) // it says: go on
	v.awaitLog(t, "006", "done")
}

func TestAttack29_ABootInTheMiddle(t *testing.T) {
	t.Parallel()
	o := siegeOf(t)
	v := o.victim(t, "offline")
	v.lies(t, o.first.shown(t, offered("001", "005"))...)
	v.awaitLog(t, "005", "reboot")
	v.Kill()
	v.BootID = "second"
	must(t, v.Start(t.Context()))
	v.awaitLog(t, "005", "done")
	if v.ran("update005") != 2 || v.ran("update001") != 1 {
		t.Errorf("005 ran %d times, 001 %d times", v.ran("update005"), v.ran("update001"))
	}
}

func TestAttack30_TwoAgents(t *testing.T) {
	t.Parallel()
	v := siegeOf(t).victim(t, "offline")
	refused(t, v.Programs, 4, []string{"only one agent can use " + v.Data}, "fernwerk-agent", "run", "--data", v.Data, "--control", "127.0.0.1:0")
	v.works(t)
}

func TestAttack32_WhatAnotherUpdateNeeds(t *testing.T) {
	t.Parallel()
	o := siegeOf(t)
	run := func(want string, args ...string) {
		t.Helper()
		out, err := o.command(t.Context(), args...)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("fernwerk %v: %v%s", args, err, out)
		}
	}
	run("008", "update", "publish", "009", "--ring", "1%", "--yes")
	run("", "update", "publish", "008", "--ring", "1%", "--yes")
	run("", "update", "publish", "009", "--ring", "1%", "--yes")
	run("009", "update", "withdraw", "008", "--yes")
}
