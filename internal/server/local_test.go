//go:build unix

package server_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/server"
	"github.com/fernwerk/fernwerk/test/require"
)

// Who owns the server's files needs no password on its machine.
func TestRootOnTheServersMachine(t *testing.T) {
	r := start(t, server.Config{Data: shortDir(t)})
	socket := "unix://" + filepath.Join(r.dir, "fernwerkd.sock")
	near, err := rpc.NewClient(rpc.Options{URL: socket})
	if err != nil {
		t.Fatal(err)
	}
	if v := call(t, near, "accessControl_userIsAdmin"); v != true {
		t.Errorf("%v", v)
	}
	call(t, near, "host_createOpsiClient", "pc1.example.org")
	entries := call(t, near, "journal_getEntries", "pc1.example.org", int64(1)).([]any)
	if e := entries[0].(map[string]any); e["actor"] != "administrator root (local)" || e["address"] != "local" {
		t.Errorf("the journal says %v", e)
	}
	as, err := rpc.NewClient(rpc.Options{URL: socket, User: "admin", Password: func(context.Context) (string, error) { return "wrong", nil }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := as.Call(t.Context(), methods.Actor{}, "backend_info", methods.Params{}); fleet.CodeOf(err) != fleet.Unauthenticated {
		t.Errorf("a wrong password through the socket: %v", err)
	}
}

// Even if somebody opened folder and socket to all, others are refused.
func TestOthersOnTheServersMachine(t *testing.T) {
	require.Root(t)
	require.Tool(t, "curl")
	r := start(t, server.Config{Data: shortDir(t)})
	socket := filepath.Join(r.dir, "fernwerkd.sock")
	for path, mode := range map[string]os.FileMode{filepath.Dir(r.dir): 0o755, r.dir: 0o755, socket: 0o666} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	for uid, want := range map[uint32]string{0: "200", 4447: "403"} {
		curl := exec.Command("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--unix-socket", socket, "http://localhost/v1/packages")
		curl.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		curl.Dir = "/"
		out, err := curl.Output()
		if err != nil || string(out) != want {
			t.Errorf("user %d got %s, %v; want %s", uid, out, err, want)
		}
	}
}
