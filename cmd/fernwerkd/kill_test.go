package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// SIGKILL at any moment of a first start: whatever is there, the next start
// goes on with it, and what clients have seen of the authority stays.
func TestKilledWhileStarting(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	path, err := exec.LookPath("fernwerkd")
	if err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir := filepath.Join(t.TempDir(), "data")
	begin := func() (*exec.Cmd, *bufio.Reader) {
		t.Helper()
		cmd := exec.Command(path, "serve", "--data", dir, "--listen", "127.0.0.1:0")
		cmd.Env = append(os.Environ(), "FERNWERK_ADMIN_PASSWORD=battery")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
		return cmd, bufio.NewReader(out)
	}
	var authority []byte
	killedEarly := 0
	for range 15 {
		cmd, out := begin()
		timer := time.AfterFunc(time.Duration(random.Int64N(int64(120*time.Millisecond))), func() { cmd.Process.Kill() })
		if line, _ := out.ReadString('\n'); line == "" {
			killedEarly++
		}
		cmd.Wait()
		timer.Stop()
		now, err := os.ReadFile(filepath.Join(dir, "ca", "ca.pem"))
		if authority != nil && (err != nil || string(now) != string(authority)) {
			t.Fatalf("the authority changed: %v", err)
		}
		authority = now
	}
	if killedEarly == 0 {
		t.Error("no start was interrupted")
	}
	cmd, out := begin()
	timer := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	defer timer.Stop()
	line, err := out.ReadString('\n')
	url, ready := strings.CutPrefix(strings.TrimSpace(line), "ready ")
	if err != nil || !ready {
		t.Fatalf("it does not start any more: %q, %v", line, err)
	}
	pem, err := os.ReadFile(filepath.Join(dir, "ca", "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/v1/packages", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("admin", "battery")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("the administrator gets %s", resp.Status)
	}
}
