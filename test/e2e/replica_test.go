package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/kit/pin"
	"github.com/fernwerk/fernwerk/test/e2e/site"
	"github.com/fernwerk/fernwerk/test/require"
)

// twoServers are two fernwerkd on one empty PostgreSQL that start at once. They
// have nothing in common but the key, the database and the depot's folder.
func twoServers(t *testing.T) [2]*site.Server {
	t.Helper()
	dir, url := t.TempDir(), require.Postgres(t)
	key := []byte("c2l4dGVlbiBieXRlcyBhbmQgc2l4dGVlbiBtb3JlISE=\n") // 32 bytes
	var both [2]*site.Server
	for i, name := range []string{"one", "two"} {
		data := filepath.Join(dir, name)
		must(t, os.Mkdir(data, 0o700))
		must(t, os.WriteFile(filepath.Join(data, "cluster.key"), key, 0o600))
		config := filepath.Join(dir, name+".toml")
		must(t, os.WriteFile(config, []byte(fmt.Sprintf("database = %q\nreplica = %q\ndepot = %q\nid = \"fleet.example.org\"\n",
			url, name, filepath.Join(dir, "depot"))), 0o600))
		both[i] = &site.Server{Programs: programs(t), Data: data, Config: config, Log: filepath.Join(dir, name+".log")}
	}
	errs := make(chan error, len(both))
	for _, s := range both {
		go func() { errs <- s.Start(t.Context()) }()
		t.Cleanup(s.Kill)
	}
	for range both {
		must(t, <-errs)
	}
	return both
}

// caller is a client that knows both servers: what one does not answer it asks
// the other, once.
type caller struct {
	http     *http.Client
	urls     [2]string
	answered [2]atomic.Int64
	retried  atomic.Int64
	named    sync.Map // replica -> true
}

func newCaller(t *testing.T, servers [2]*site.Server) *caller {
	t.Helper()
	pem, err := os.ReadFile(servers[0].CAFile())
	must(t, err)
	trust, err := pin.Config("127.0.0.1", pem, "")
	must(t, err)
	c := &caller{http: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: trust, MaxIdleConnsPerHost: 32}}}
	for i, s := range servers {
		c.urls[i] = s.URL()
	}
	return c
}

// call asks a server, and the other one if that does not answer.
func (c *caller) call(ctx context.Context, first int, cookie, method string, params ...any) (any, string, error) {
	v, set, err := c.once(ctx, first, cookie, method, params)
	if err != nil {
		c.retried.Add(1)
		if v, set, err = c.once(ctx, 1-first, cookie, method, params); err != nil {
			return nil, "", fmt.Errorf("after a retry: %w", err)
		}
	}
	return v, set, nil
}

func (c *caller) once(ctx context.Context, at int, cookie, method string, params []any) (any, string, error) {
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		return nil, "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.urls[at]+"/rpc", bytes.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	req.Header.Set("Content-Type", "application/json")
	if cookie != "" {
		req.Header.Set("Cookie", cookie)
	} else {
		req.SetBasicAuth("admin", site.Password)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, "", err
	}
	var answer struct {
		Result any
		Error  *struct{ Message string }
	}
	if err := json.Unmarshal(text, &answer); err != nil || resp.StatusCode != http.StatusOK || answer.Error != nil {
		return nil, "", fmt.Errorf("%s answers %s: %.300s (%w)", c.urls[at], resp.Status, text, errors.Join(err))
	}
	c.answered[at].Add(1)
	c.named.Store(resp.Header.Get("X-Fernwerk-Replica"), true)
	set, _, _ := strings.Cut(resp.Header.Get("Set-Cookie"), ";")
	return answer.Result, set, nil
}

// Two servers answer for one fleet. One is killed under load: nobody's request
// fails who asks the other one then, and all that was answered is there.
func TestTwoServers(t *testing.T) {
	if testing.Short() {
		t.Skip("starts servers")
	}
	servers := twoServers(t)
	var prints [2]string
	for i, s := range servers {
		var err error
		prints[i], err = s.Fingerprint()
		must(t, err)
	}
	if prints[0] != prints[1] {
		t.Fatalf("two authorities: %q", prints)
	}
	c := newCaller(t, servers)
	ctx := t.Context()
	for i := range servers {
		v, _, err := c.once(ctx, i, "", "host_getIdents", []any{"str", map[string]any{"type": "OpsiConfigserver"}})
		must(t, err)
		if fmt.Sprint(v) != "[fleet.example.org]" {
			t.Fatalf("server %d is %v", i, v)
		}
	}

	// A session of one server counts on the other: no password is sent again.
	_, cookie, err := c.once(ctx, 0, "", "backend_info", nil)
	must(t, err)
	if cookie == "" {
		t.Fatal("no session began")
	}
	if _, again, err := c.once(ctx, 1, cookie, "backend_info", nil); err != nil || again != "" {
		t.Fatalf("the other server does not know the session: %v, new cookie %q", err, again)
	}

	const callers, killAfter, after = 8, 300, 300
	var answered sync.Map // host -> true
	var n atomic.Int64
	var fair [2]int64
	killed := make(chan struct{})
	var once sync.Once
	var wg sync.WaitGroup
	for w := range callers {
		wg.Go(func() {
			for i := 0; n.Load() < killAfter+after; i++ {
				id := fmt.Sprintf("pc%d-%d.example.org", w, i)
				if _, _, err := c.call(ctx, (w+i)%2, cookie, "host_createOpsiClient", id); err != nil {
					t.Error(err)
					return
				}
				answered.Store(id, true)
				if n.Add(1) >= killAfter {
					once.Do(func() {
						fair = [2]int64{c.answered[0].Load(), c.answered[1].Load()}
						go func() { servers[0].Kill(); close(killed) }() // under load
					})
				}
			}
		})
	}
	wg.Wait()
	<-killed
	if t.Failed() {
		t.Fatal(site.Tail(servers[1].Log, 20))
	}
	if share := float64(min(fair[0], fair[1])) / float64(fair[0]+fair[1]); share < 0.3 {
		t.Errorf("before the kill they answered %v", fair)
	}
	if c.retried.Load() == 0 {
		t.Error("no request met the killed server")
	}
	for _, name := range []string{"one", "two"} {
		if _, there := c.named.Load(name); !there {
			t.Errorf("no answer named %q", name)
		}
	}
	v, _, err := c.once(ctx, 1, cookie, "host_getIdents", []any{"str", map[string]any{"type": "OpsiClient"}})
	must(t, err)
	there := map[string]bool{}
	for _, id := range v.([]any) {
		there[id.(string)] = true
	}
	lost, asked := 0, 0
	answered.Range(func(id, _ any) bool {
		asked++
		if !there[id.(string)] {
			lost++
			t.Errorf("%s was answered and is lost", id)
		}
		return true
	})
	t.Logf("%d answered, %d lost; before the kill %d and %d; %d asked the other server then", asked, lost, fair[0], fair[1], c.retried.Load())

	// The killed one comes back to the same fleet.
	must(t, servers[0].Start(ctx))
	c.urls[0] = servers[0].URL()
	if v, again, err := c.once(ctx, 0, cookie, "host_getIdents", []any{"str", map[string]any{"id": "pc0-0.example.org"}}); err != nil || len(v.([]any)) != 1 || again != "" {
		t.Errorf("after its restart: %v, %v, new cookie %q", v, err, again)
	}
	// What one installs the other serves.
	must(t, servers[0].Install(ctx, smallProduct(t, "shared")))
	await(t, "the other server has the product", func() (bool, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, servers[1].URL()+"/v1/depot/shared/tree", nil)
		if err != nil {
			return false, err
		}
		req.Header.Set("Cookie", cookie)
		resp, err := c.http.Do(req)
		if err != nil {
			return false, err
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK, errors.New(resp.Status)
	})
}

// A server without the key, or with another, does not start, and says what to do.
func TestReplicaNeedsTheKey(t *testing.T) {
	if testing.Short() {
		t.Skip("starts servers")
	}
	dir, url := t.TempDir(), require.Postgres(t)
	config := filepath.Join(dir, "x.toml")
	must(t, os.WriteFile(config, []byte(fmt.Sprintf("database = %q\n", url)), 0o600))
	first := &site.Server{Programs: programs(t), Data: filepath.Join(dir, "first"), Config: config, Log: filepath.Join(dir, "first.log")}
	must(t, first.Start(t.Context()))
	t.Cleanup(first.Kill)
	second := &site.Server{Programs: first.Programs, Data: filepath.Join(dir, "second"), Config: config, Log: filepath.Join(dir, "second.log")}
	for name, key := range map[string]string{"without a key": "", "with another key": "c2l4dGVlbiBieXRlcyBhbmQgc2l4dGVlbiBtb3JlISE=\n"} {
		must(t, os.RemoveAll(second.Data))
		must(t, os.Mkdir(second.Data, 0o700))
		if key != "" {
			must(t, os.WriteFile(filepath.Join(second.Data, "cluster.key"), []byte(key), 0o600))
		}
		err := second.Start(t.Context())
		if err == nil {
			second.Kill()
			t.Fatalf("it starts %s", name)
		}
		if said := site.Tail(second.Log, 3); !strings.Contains(said, "hint:") || !strings.Contains(said, "cluster.key") {
			t.Errorf("%s it says %s", name, said)
		}
	}
	text, err := os.ReadFile(filepath.Join(first.Data, "cluster.key"))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(second.Data, "cluster.key"), text, 0o600))
	must(t, second.Start(t.Context()))
	t.Cleanup(second.Kill)
}

// smallProduct is the source of a product with one file.
func smallProduct(t *testing.T, id string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"OPSI/control.toml":    fmt.Sprintf(controlFile, id, version),
		"CLIENT_DATA/setup.sh": "true\n",
	} {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	return dir
}
