package trust_test

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/internal/ctl/offline"
	signed "github.com/fernwerk/fernwerk/internal/fleet/trust"
	"github.com/fernwerk/fernwerk/internal/server/cluster"
)

// A process that is killed while it publishes leaves all of it or nothing.
func TestPublish_Killed(t *testing.T) {
	if os.Getenv("FERNWERK_TEST_PUBLISH") != "" {
		publishForEver(t)
	}
	dir := t.TempDir()
	key := cluster.NewKey()
	if err := key.Write(filepath.Join(dir, cluster.KeyFile)); err != nil {
		t.Fatal(err)
	}
	s := newServer(t, openSQLite(t, filepath.Join(dir, "fleet.db")), key, nil)
	there, err := offline.Ask(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "trust")
	if err := offline.Init(path, offline.Plan{RootKeys: 1, RootThreshold: 1, TargetsKeys: 1, TargetsThreshold: 1, Online: there.Online}, ring(), start); err != nil {
		t.Fatal(err)
	}
	d := open(t, path)
	publish(t, d, s)
	h := follow(t, s)
	d.Close()
	for round := range 12 {
		child := exec.Command(os.Args[0], "-test.run=^TestPublish_Killed$")
		child.Env = append(os.Environ(), "FERNWERK_TEST_PUBLISH="+dir)
		out, err := child.StdoutPipe()
		if err == nil {
			err = child.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for range round/3 + 1 {
			lines.Scan() // it says each time what it begins
		}
		if err := child.Process.Kill(); err != nil {
			t.Error(err)
		}
		child.Wait()
		if err := s.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		goOn(t, s, h)
		d, err := offline.Open(path)
		if err != nil {
			t.Fatalf("round %d: the folder cannot be used: %v", round, err)
		}
		publish(t, d, s)
		goOn(t, s, h)
		for _, name := range h.Names("update/") {
			target, _, _ := h.Find(name)
			if w := s.get(t, "/v1/trust/"+target.ContentPath()); w.Code != http.StatusOK || target.Check(w.Body.Bytes()) != nil {
				t.Errorf("round %d: %s: %d", round, name, w.Code)
			}
		}
		d.Close()
	}
	if h.Root().Version < 3 {
		t.Errorf("root %d: it was always killed too early", h.Root().Version)
	}
}

// publishForEver is the process that is killed.
func publishForEver(t *testing.T) {
	dir := os.Getenv("FERNWERK_TEST_PUBLISH")
	key, err := cluster.ReadKey(filepath.Join(dir, cluster.KeyFile))
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t, openSQLite(t, filepath.Join(dir, "fleet.db")), key, nil)
	d := open(t, filepath.Join(dir, "trust"))
	say := func(what string) { fmt.Println(what) }
	for n := 0; ; n++ {
		if err := d.Add(signed.UpdateName(fmt.Sprintf("%03d", n)), []byte(strings.Repeat("x", n%1000)), nil); err != nil {
			t.Fatal(err)
		}
		say("sign")
		sign(t, d)
		say("publish")
		publish(t, d, s)
		for _, r := range []offline.Rotation{{Role: signed.RoleTargets}, {Role: signed.RoleRoot}, {Online: newKeys(t, s)}} {
			say("rotate")
			if _, err := d.Rotate(r, ring(), start); err != nil {
				t.Fatal(err)
			}
			say("publish")
			publish(t, d, s)
		}
	}
}
