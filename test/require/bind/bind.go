// Package bind runs a real name server of bind for tests: zones of its own, one
// key that may transfer and update them, a folder of the test's.
package bind

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/test/require"
)

// KeyName and Secret are those of the one key, of hmac-sha256.
const (
	KeyName = "ddns"
	Secret  = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"
)

// Server is a name server that runs, or can run again.
type Server struct {
	Address string // HOST:PORT, UDP and TCP
	t       testing.TB
	dir     string
	stop    func()
}

// Start runs a name server with zones, by name; the text of each goes behind its
// SOA and NS records. It stops at the end of the test.
func Start(t testing.TB, zones map[string]string) *Server {
	t.Helper()
	require.Tool(t, "named")
	require.Tool(t, "dig")
	s := &Server{t: t, dir: t.TempDir()}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Address = l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(s.Address)
	conf := fmt.Sprintf(`options { directory %q; pid-file none; session-keyfile none; listen-on port %s { 127.0.0.1; }; listen-on-v6 { none; };
	recursion no; notify no; dnssec-validation no; };
controls { };
key %s { algorithm hmac-sha256; secret %q; };
`, s.dir, port, KeyName, Secret)
	for name, text := range zones {
		file := filepath.Join(s.dir, name)
		text = fmt.Sprintf("$TTL 60\n@ IN SOA ns.%[1]s. admin.%[1]s. 1 300 60 86400 30\n@ IN NS ns.example.net.\n%[2]s", name, text)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		conf += fmt.Sprintf("zone %q { type primary; file %q; allow-transfer { key %[3]s; }; update-policy { grant %[3]s zonesub any; }; };\n", name, file, KeyName)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "named.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Run()
	t.Cleanup(s.Stop)
	return s
}

// output is what a program wrote, while it still runs.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// Run runs it, or again after [Server.Stop], and returns when it answers.
func (s *Server) Run() {
	s.t.Helper()
	var said output
	c := exec.CommandContext(context.Background(), require.Tool(s.t, "named"), "-g", "-c", filepath.Join(s.dir, "named.conf"), "-n", "1")
	c.Stderr = &said
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.stop = func() { c.Process.Kill(); c.Wait() }
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 500 {
		if strings.Contains(said.String(), " running\n") {
			return
		}
		<-tick.C
	}
	s.Stop()
	s.t.Fatalf("bind does not answer: %s", said.String())
}

// Stop kills it; what was updated is in its journals.
func (s *Server) Stop() {
	if s.stop != nil {
		s.stop()
		s.stop = nil
	}
}

// Ask is the real dig's short answer.
func (s *Server) Ask(args ...string) string {
	s.t.Helper()
	_, port, _ := net.SplitHostPort(s.Address)
	out, err := exec.CommandContext(s.t.Context(), require.Tool(s.t, "dig"), append([]string{"@127.0.0.1", "-p", port, "+short", "+tries=1", "+time=3"}, args...)...).Output()
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
