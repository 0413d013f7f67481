package report_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/server/presence/report"
)

// environment is what OpenVPN 2.6 sets for client-connect.
var environment = map[string]string{
	"common_name": "client317", "ifconfig_pool_remote_ip": "10.134.7.38", "trusted_ip": "152.77.57.112", "trusted_port": "40123", "time_unix": "1215109955", "proto_1": "tcp-server",
}

func from(change map[string]string) func(string) string {
	env := maps.Clone(environment)
	maps.Copy(env, change)
	return func(name string) string { return env[name] }
}

var options = report.Options{Tunnel: "openvpn", Domain: "grid.example.org", NodeType: "vnode"}

func TestFromOpenVPN(t *testing.T) {
	r, err := report.FromOpenVPN(true, from(nil), options)
	if err != nil {
		t.Fatal(err)
	}
	if r.HostID != "client317.grid.example.org" || r.Address.String() != "10.134.7.38" || r.ClientAddress.String() != "152.77.57.112" || r.Epoch != "1215109955-40123" || r.Since != 1215109955 {
		t.Errorf("%+v", r)
	}
	if r, err := report.FromOpenVPN(true, from(map[string]string{"proto_1": "udp", "common_name": "Client9.Grid.example.org"}), options); err != nil || r.Epoch != "1215109955" || r.HostID != "client9.grid.example.org" {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := report.FromOpenVPN(false, from(map[string]string{"ifconfig_pool_remote_ip": "", "trusted_ip": ""}), options); err != nil {
		t.Error(err)
	}
	for name, bad := range map[string]string{
		"common_name": "x;reboot", "time_unix": "yesterday", "ifconfig_pool_remote_ip": "$(id)", "trusted_ip": "1.2.3", "trusted_port": "99999",
	} {
		if _, err := report.FromOpenVPN(true, from(map[string]string{name: bad}), options); fleet.CodeOf(err) != fleet.Invalid {
			t.Errorf("%s=%s: %v", name, bad, err)
		}
	}
	for _, missing := range []string{"common_name", "time_unix", "ifconfig_pool_remote_ip"} {
		if _, err := report.FromOpenVPN(true, from(map[string]string{missing: ""}), options); fleet.CodeOf(err) != fleet.Invalid {
			t.Errorf("without %s: %v", missing, err)
		}
	}
	for _, o := range []report.Options{{Tunnel: "../x", Domain: "grid.example.org"}, {Tunnel: "openvpn", Domain: "grid.example.org", NodeType: "A b"}, {Tunnel: "openvpn"}} {
		if _, err := report.FromOpenVPN(true, from(nil), o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}

// A server that does not answer costs OpenVPN a moment, and the report nothing.
func TestHand_NeverBlocks(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "reports")
	synctest.Test(t, func(t *testing.T) {
		r, err := report.FromOpenVPN(true, from(nil), options)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		hangs := func(context.Context, string, ...any) (any, error) { <-ctx.Done(); return nil, ctx.Err() } // not even at the end of its time
		if queued, err := r.Hand(ctx, hangs, folder); !queued || err != nil {
			t.Errorf("%t, %v", queued, err)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("OpenVPN waited %v", took)
		}
		away := func(context.Context, string, ...any) (any, error) { return nil, errors.New("connection refused") }
		r.Up = false
		if queued, err := r.Hand(ctx, away, folder); !queued || err != nil {
			t.Errorf("%t, %v", queued, err)
		}
		no := fleet.Errorf(fleet.NotFound, "no such host")
		if queued, err := r.Hand(ctx, func(context.Context, string, ...any) (any, error) { return nil, no }, folder); queued || !errors.Is(err, no) {
			t.Errorf("%t, %v", queued, err)
		}
	})
	if info, err := os.Stat(folder); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
	for name, text := range map[string]string{"1-x.report": "{}", "2-x.report": strings.Repeat("x", 5000), ".tmp": "half"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(folder, "3-x.report")); err != nil {
		t.Fatal(err)
	}
	away := errors.New("database away")
	if n, err := report.Drain(folder, func(report.Report) error { return away }, func(string, error) {}); n != 0 || !errors.Is(err, away) {
		t.Errorf("%d, %v", n, err)
	}
	var took []bool
	dropped := 0
	drain := func() {
		_, err := report.Drain(folder, func(r report.Report) error { took = append(took, r.Up); return nil }, func(string, error) { dropped++ })
		if err != nil {
			t.Fatal(err)
		}
	}
	drain()
	if len(took) != 2 || dropped > 2 {
		t.Errorf("taken %v, dropped %d", took, dropped)
	}
	drain()
	if len(took) != 2 {
		t.Errorf("taken twice: %v", took)
	}
	if n, err := report.Drain(filepath.Join(folder, "none"), nil, nil); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

func FuzzParse(f *testing.F) {
	r, err := report.FromOpenVPN(true, from(nil), options)
	if err != nil {
		f.Fatal(err)
	}
	data, err := json.Marshal(r)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append(data, '\n'))
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := report.Parse(data); err == nil {
			if again, err := json.Marshal(r); err != nil || string(again)+"\n" != string(data) {
				t.Errorf("%q is printed as %q", data, again)
			}
		}
	})
}
