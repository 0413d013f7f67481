package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/internal/ctl/dev/simulate"
	"github.com/fernwerk/fernwerk/test/e2e/site"
)

// Hosts that are not there load a server that allows it, and leave nothing; what
// was answered is still there after a kill.
func TestSimulate(t *testing.T) {
	t.Parallel()
	programs := programs(t)
	dir := t.TempDir()
	s := &site.Server{Programs: programs, Data: filepath.Join(dir, "server"), Log: filepath.Join(dir, "server.log")}
	ctx := t.Context()
	if err := s.Start(ctx); err != nil {
		t.Fatal(err)
	}
	defer s.Kill()
	_, said, code, err := programs.Run(ctx, s.Env(), "fernwerk", "dev", "simulate", "--hosts", "1", "--duration", "1s")
	if err != nil || code != 5 || !strings.Contains(said, "allow_simulation") {
		t.Fatalf("a server that does not allow it: status %d, %v, %s", code, err, said)
	}
	s.Kill()

	s.Config = filepath.Join(dir, "fernwerkd.toml")
	if err := os.WriteFile(s.Config, []byte("allow_simulation = true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(ctx); err != nil {
		t.Fatal(err)
	}
	hosts := func() int {
		t.Helper()
		rows, err := s.Rows(ctx, "host_getObjects", []any{"id"}, map[string]any{"id": "*." + simulate.Domain})
		if err != nil {
			t.Fatal(err)
		}
		return len(rows)
	}
	load := func(args ...string) (r simulate.Report) {
		t.Helper()
		out, err := s.Command(ctx, append([]string{"dev", "simulate", "--json", "--hosts", "20"}, args...)...)
		if err == nil {
			err = json.Unmarshal([]byte(out), &r)
		}
		if err != nil || r.Failed > 0 || r.CheckIns == 0 {
			t.Fatalf("%v: %+v", err, r)
		}
		return r
	}
	if r := load("--duration", "1s"); r.Latency.P50 <= 0 || r.Connect.CheckIns != 20 {
		t.Errorf("%+v", r)
	}
	load("--duration", "1s", "--rate", "20")
	if r := load("--herd"); r.CheckIns != 20 {
		t.Errorf("%+v", r)
	}
	if n := hosts(); n != 0 {
		t.Errorf("%d hosts are left", n)
	}

	record := filepath.Join(dir, "answered.json")
	load("--duration", "1s", "--record", record)
	s.Kill()
	if err := s.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if out, err := s.Command(ctx, "dev", "simulate", "--verify", record, "--json"); err != nil || !strings.Contains(out, `"lost": []`) {
		t.Errorf("%v: %s", err, out)
	}
	// A check that must see a loss is seen seeing it.
	r, err := simulate.Load(record)
	if err != nil {
		t.Fatal(err)
	}
	for id := range r.Answered {
		r.Answered[id]++
		break
	}
	if err := r.Save(record); err != nil {
		t.Fatal(err)
	}
	if out, err := s.Command(ctx, "dev", "simulate", "--verify", record); err == nil {
		t.Errorf("a lost check-in is not noticed: %s", out)
	}
	if _, err := s.Command(ctx, "dev", "simulate", "--remove"); err != nil || hosts() != 0 {
		t.Errorf("%v, %d hosts are left", err, hosts())
	}
}
