package server_test

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/pin"
	"github.com/fernwerk/fernwerk/internal/server"
)

// idleURL makes the test binary a crowd of idle clients of this bus.
const idleURL = "FERNWERK_TEST_IDLE_BUS"

const (
	idleClients = 400
	// mostIdle is the most that an idle connection may cost in bytes, TLS
	// included: 10,000 of them need a third of what the whole server may have.
	mostIdle = 64 << 10
)

func idleID(i int) string { return fmt.Sprintf("idle%d.example.org", i) }

// TestBus_IdleClients is no test: it is the other process of the one below.
func TestBus_IdleClients(t *testing.T) {
	url := os.Getenv(idleURL)
	if url == "" {
		return // only as that process
	}
	pem, err := os.ReadFile(os.Getenv(idleURL + "_CA"))
	if err != nil {
		t.Fatal(err)
	}
	trust, err := pin.Config("127.0.0.1", pem, "")
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: trust}}
	for i := range idleClients {
		header := http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(idleID(i)+":"+evilKey))}}
		ws, _, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{HTTPClient: client, HTTPHeader: header})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := ws.Read(t.Context()); err != nil { // the server has done all that it does
			t.Fatal(err)
		}
	}
	fmt.Println("\nconnected")
	io.Copy(io.Discard, os.Stdin) // until the other process ends
}

// Ten thousand connected hosts must be cheap. The clients are another process,
// so that what this one grows by is the server's.
func TestBus_IdleConnectionsAreCheap(t *testing.T) {
	r := start(t, server.Config{Data: t.TempDir()})
	admin := r.client(t, "admin", password)
	var hosts []any
	for i := range idleClients {
		hosts = append(hosts, fleet.Row{"type": fleet.OpsiClient, "id": idleID(i), "opsiHostKey": evilKey})
	}
	call(t, admin, "host_createObjects", hosts)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	used := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapInuse + m.StackInuse)
	}
	before := used()
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestBus_IdleClients$")
	cmd.Env = append(os.Environ(), idleURL+"="+r.URL()+"/messagebus/v1", idleURL+"_CA="+filepath.Join(r.dir, "ca", "ca.pem"))
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer stdin.Close()
	said := []string{}
	for lines := bufio.NewScanner(stdout); lines.Scan() && lines.Text() != "connected"; {
		said = append(said, lines.Text())
	}
	each := (used() - before) / idleClients
	got, _ := call(t, admin, "hostControl_reachable", []any{"idle*"}).(map[string]any)
	if len(got) != idleClients || strings.Contains(fmt.Sprint(got), "false") {
		t.Fatalf("not all are connected; the clients said %q", said)
	}
	t.Logf("%d idle connections cost %d bytes each; 10,000 would be %d MiB", idleClients, each, each*10_000>>20)
	if each > mostIdle {
		t.Errorf("an idle connection costs %d bytes, more than %d", each, mostIdle)
	}
}
