package server_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/server"
	"github.com/fernwerk/fernwerk/internal/server/cluster"
	"github.com/fernwerk/fernwerk/internal/server/config"
	"github.com/fernwerk/fernwerk/test/require"
)

// machine is one that joins by what the wire says, without an agent.
type machine struct {
	key   *ecdsa.PrivateKey
	csr   string
	told  enrol.Machine
	trust *tls.Config
	joined
}

type joined = enrol.JoinAnswer

func newMachine(t testing.TB, name string) *machine {
	t.Helper()
	m := &machine{told: enrol.Machine{Hostname: name}}
	m.key, m.csr = newRequest(t)
	return m
}

func newRequest(t testing.TB) (*ecdsa.PrivateKey, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return key, string(enrol.EncodeRequest(der))
}

// certificate is what TLS shows, of a chain and a key.
func certificate(t testing.TB, chain string, key *ecdsa.PrivateKey) *tls.Certificate {
	t.Helper()
	cert := &tls.Certificate{PrivateKey: key}
	for rest := []byte(chain); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return cert
		}
		cert.Certificate = append(cert.Certificate, block.Bytes)
	}
}

// post sends JSON, as who has the certificate or the host key, if there are any,
// and reads the answer into out.
func (r *running) post(t testing.TB, path string, in, out any, cert *tls.Certificate, user, key string) (status int, text string) {
	body, err := json.Marshal(in)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	req, err := http.NewRequest(http.MethodPost, r.URL()+path, bytes.NewReader(body))
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	if user != "" {
		req.SetBasicAuth(user, key)
	}
	return r.do(t, req, out, cert)
}

func (r *running) do(t testing.TB, req *http.Request, out any, cert *tls.Certificate) (status int, text string) {
	data, err := os.ReadFile(filepath.Join(r.dir, "ca", "ca.pem"))
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	cfg := &tls.Config{ServerName: "127.0.0.1", RootCAs: x509.NewCertPool()}
	cfg.RootCAs.AppendCertsFromPEM(data)
	if cert != nil {
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: cfg, DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	if resp.StatusCode < 300 && out != nil {
		if err := json.Unmarshal(answer, out); err != nil {
			t.Errorf("%s: %v", answer, err)
		}
	}
	return resp.StatusCode, string(answer)
}

func (m *machine) join(t testing.TB, r *running, token string) (int, string) {
	return r.post(t, "/v1/join", enrol.JoinRequest{Token: token, CSR: m.csr, Machine: m.told}, &m.joined, nil, "", "")
}

func (m *machine) cert(t testing.TB) *tls.Certificate { return certificate(t, m.Chain, m.key) }

// makeToken makes one with what is given by name.
func makeToken(t *testing.T, c *rpc.Client, named map[string]any) (text, id string) {
	t.Helper()
	if named["policy"] == nil {
		named["policy"] = "plain-opsi"
	}
	v, err := rpc.As[map[string]any](c.Call(t.Context(), methods.Actor{}, "token_create", methods.Params{Named: named}))
	if err != nil {
		t.Fatal(err)
	}
	return v["token"].(string), v["id"].(string)
}

// fleets are servers on each kind of database: one on SQLite, two on one PostgreSQL.
func fleets(t *testing.T, cfg server.Config, fn func(t *testing.T, servers []*running)) {
	t.Run("SQLite", func(t *testing.T) {
		c := cfg
		c.Data = t.TempDir()
		c.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
		fn(t, []*running{start(t, c)})
	})
	t.Run("two servers on PostgreSQL", func(t *testing.T) {
		database, key := require.Postgres(t), cluster.NewKey().Text()
		var all []*running
		for _, name := range []string{"a", "b"} {
			c := cfg
			c.Data, c.Database, c.Replica, c.ID, c.Depot = t.TempDir(), database, name, "server.example.org", t.TempDir()
			if err := os.WriteFile(filepath.Join(c.Data, cluster.KeyFile), []byte(key+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			all = append(all, start(t, c))
		}
		fn(t, all)
	})
}

func TestJoinByToken(t *testing.T) {
	fleets(t, server.Config{}, func(t *testing.T, servers []*running) {
		r := servers[0]
		c := r.client(t, "admin", password)
		call(t, c, "group_createHostGroup", "lab")
		text, id := makeToken(t, c, map[string]any{"nodeType": "vnode", "groups": []any{"lab"}, "depotId": r.ID()})
		parsed, err := enrol.ParseToken(text)
		if err != nil || parsed.ID != id || parsed.NodeType != "vnode" || "https://"+parsed.Addresses[0] != r.URL() {
			t.Fatalf("%+v, %v", parsed, err)
		}
		m := newMachine(t, "box.lan")
		m.told.HardwareAddress = "aa:bb:cc:dd:ee:ff"
		if status, answer := m.join(t, r, text); status != 200 {
			t.Fatalf("%d %s", status, answer)
		}
		if !strings.HasPrefix(m.HostID, "client1.") || len(m.HostKey) != 32 || m.Policy != enrol.PlainOpsi {
			t.Errorf("%+v", m.joined)
		}
		// A lost answer is given again, and nothing is counted twice.
		again := *m
		if status, answer := again.join(t, servers[len(servers)-1], text); status != 200 || again.HostID != m.HostID || again.HostKey != m.HostKey || again.Chain != m.Chain {
			t.Errorf("asked again: %d %s", status, answer)
		}
		if status, answer := again.join(t, r, strings.Replace(text, "fw1", "fw2", 1)); status != 400 {
			t.Errorf("%d %s", status, answer)
		}
		if status, answer := r.post(t, "/v1/join", enrol.JoinRequest{CSR: m.csr}, nil, nil, "", ""); status != 403 {
			t.Errorf("the same key without the token: %d %s", status, answer)
		}
		if got := call(t, c, "objectToGroup_getObjects", []any{}, map[string]any{"objectId": m.HostID}).([]any); len(got) != 1 {
			t.Errorf("groups: %v", got)
		}
		if got := call(t, c, "configState_getObjects", []any{}, map[string]any{"objectId": m.HostID, "configId": "clientconfig.depot.id"}).([]any); len(got) != 1 {
			t.Errorf("depot: %v", got)
		}
		tokens := call(t, c, "token_getObjects").([]any)
		if k := tokens[0].(map[string]any); k["state"] != "used up" || fmt.Sprint(tokens) == "" || strings.Contains(fmt.Sprint(tokens), parsed.Secret) {
			t.Errorf("%v", tokens)
		}
		// By its certificate it is known everywhere; its key opens opsi's protocol only.
		for _, s := range servers {
			who := map[string]any{}
			ask := map[string]any{"jsonrpc": "2.0", "id": 1, "method": "accessControl_getCaller", "params": []any{}}
			if status, answer := s.post(t, "/rpc", ask, &who, m.cert(t), "", ""); status != 200 || !strings.Contains(answer, m.HostID) {
				t.Errorf("by certificate: %d %s", status, answer)
			}
			if status, answer := s.post(t, "/rpc", ask, nil, nil, m.HostID, m.HostKey); status != 200 {
				t.Errorf("by key: %d %s", status, answer)
			}
			for path, in := range map[string]any{"/v1/contact": contactOf("", 1), "/v1/renew": enrol.Renewal{CSR: m.csr}} {
				if status, answer := s.post(t, path, in, nil, nil, m.HostID, m.HostKey); status != 403 {
					t.Errorf("%s by key: %d %s", path, status, answer)
				}
			}
		}
		call(t, c, "host_setKeyLogins", m.HostID, false)
		if status, _ := r.post(t, "/rpc", map[string]any{"jsonrpc": "2.0", "id": 1, "method": "backend_info", "params": []any{}}, nil, nil, m.HostID, m.HostKey); status != 403 {
			t.Errorf("a key that is switched off: %d", status)
		}
	})
}

func contactOf(last string, n int) enrol.Contact {
	return enrol.Contact{Last: last, Next: fmt.Sprintf("mark-%024d", n)}
}

// Attack 57: a token for one machine, used by two in the same millisecond; here by
// eight, at every server at once.
func TestAttack57_OneTokenTwoMachines(t *testing.T) {
	fleets(t, server.Config{}, func(t *testing.T, servers []*running) {
		c := servers[0].client(t, "admin", password)
		for round := range 5 {
			text, id := makeToken(t, c, map[string]any{})
			var machines []*machine
			for i := range 8 {
				machines = append(machines, newMachine(t, fmt.Sprintf("m%d-%d", round, i)))
			}
			statuses := make([]int, len(machines))
			barrier := make(chan struct{})
			var all sync.WaitGroup
			for i, m := range machines {
				all.Go(func() {
					<-barrier
					statuses[i], _ = m.join(t, servers[i%len(servers)], text)
				})
			}
			close(barrier)
			all.Wait()
			slices.Sort(statuses)
			if statuses[0] != 200 || statuses[1] != 403 {
				t.Fatalf("statuses %v", statuses)
			}
			for _, k := range call(t, c, "token_getObjects").([]any) {
				if k := k.(map[string]any); k["id"] == id && fmt.Sprint(k["used"]) != "1" {
					t.Errorf("%v", k)
				}
			}
		}
		if hosts := call(t, c, "host_getIdents", "str", map[string]any{"type": "OpsiClient"}).([]any); len(hosts) != 5 {
			t.Errorf("hosts: %v", hosts)
		}
	})
}

// Attack 59: enrolments at once have distinct ids, always, also when hosts are
// deleted in between.
func TestAttack59_IdsNeverRepeat(t *testing.T) {
	fleets(t, server.Config{Enrolment: config.Enrolment{Name: "{type}-{n}"}}, func(t *testing.T, servers []*running) {
		c := servers[0].client(t, "admin", password)
		text, _ := makeToken(t, c, map[string]any{"uses": 200, "nodeType": "vnode"})
		call(t, c, "host_createOpsiClient", "vnode-3."+domainOf(servers[0])) // somebody's own is stepped over
		seen := map[string]bool{"vnode-3." + domainOf(servers[0]): true}
		for range 4 {
			var machines []*machine
			var all sync.WaitGroup
			for i := range 10 {
				m := newMachine(t, "x")
				machines = append(machines, m)
				all.Go(func() {
					if status, answer := m.join(t, servers[i%len(servers)], text); status != 200 {
						t.Errorf("%d %s", status, answer)
					}
				})
			}
			all.Wait()
			for _, m := range machines {
				if seen[m.HostID] {
					t.Errorf("%s was given twice", m.HostID)
				}
				seen[m.HostID] = true
				call(t, c, "host_delete", m.HostID)
			}
		}
		if len(seen) != 41 {
			t.Errorf("%d ids", len(seen))
		}
	})
}

func domainOf(r *running) string { _, d, _ := strings.Cut(r.ID(), "."); return d }

// Attack 58: a token that leaks later is of no use, and neither is what the server
// keeps of it.
func TestAttack58_TokenLeaks(t *testing.T) {
	now := time.Now()
	var mu sync.Mutex
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	r := start(t, server.Config{Data: t.TempDir(), Now: clock})
	c := r.client(t, "admin", password)
	spent, _ := makeToken(t, c, map[string]any{})
	if status, answer := newMachine(t, "a").join(t, r, spent); status != 200 {
		t.Fatal(status, answer)
	}
	revoked, id := makeToken(t, c, map[string]any{})
	call(t, c, "token_revoke", id)
	expired, _ := makeToken(t, c, map[string]any{"seconds": 60})
	other := spent
	k, err := enrol.ParseToken(spent)
	if err == nil {
		k.Secret = strings.Repeat("A", 27)
		other, err = k.Text()
	}
	if err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	now = now.Add(2 * time.Minute)
	mu.Unlock()
	for name, test := range map[string]struct {
		token  string
		status int
		says   string
	}{"spent": {spent, 403, "used up"}, "revoked": {revoked, 403, "revoked"}, "expired": {expired, 403, "expired"}, "guessed": {other, 401, "does not know"},
		"cut": {spent[:len(spent)-3], 400, "cut or mistyped"}} {
		status, answer := newMachine(t, "b").join(t, r, test.token)
		if status != test.status || !strings.Contains(answer, test.says) {
			t.Errorf("%s: %d %s", name, status, answer)
		}
	}
	if status, _ := newMachine(t, "c").join(t, r, ""); status != 401 {
		t.Errorf("without a token: %d", status)
	}
	p, err := enrol.ParseToken(revoked)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"fernwerk.db", "fernwerk.db-wal"} {
		if data, _ := os.ReadFile(filepath.Join(r.dir, file)); bytes.Contains(data, []byte(p.Secret)) {
			t.Errorf("the secret is in %s", file)
		}
	}
}

// Attack 60: what strangers write is refused or inert.
func TestAttack60_FieldsOfStrangers(t *testing.T) {
	r := start(t, server.Config{Data: t.TempDir(), Enrolment: config.Enrolment{Name: "{hostname}", FirstBoot: "open"}})
	c := r.client(t, "admin", password)
	for _, text := range []string{"$(reboot)", "a';DROP TABLE host;--", "=cmd|' /C calc'!A0", "<script>", "\x1b[2J", "a\nb", "..", "é"} {
		m := newMachine(t, text)
		if status, answer := m.join(t, r, ""); status != 400 {
			t.Errorf("hostname %q: %d %s", text, status, answer)
		}
		if status, answer := r.post(t, "/v1/join", enrol.JoinRequest{CSR: newMachine(t, "").csr, NodeType: text, Machine: enrol.Machine{Hostname: "ok"}}, nil, nil, "", ""); status != 400 {
			t.Errorf("type %q: %d %s", text, status, answer)
		}
	}
	if hosts := call(t, c, "host_getIdents", "str", map[string]any{"type": "OpsiClient"}).([]any); len(hosts) != 0 {
		t.Errorf("hosts: %v", hosts)
	}
	// A name is given once, also after its host is gone.
	m := newMachine(t, "PC7.lan")
	if status, answer := m.join(t, r, ""); status != 200 || m.HostID != "pc7."+domainOf(r) {
		t.Errorf("%d %s", status, answer)
	}
	call(t, c, "host_delete", m.HostID)
	if status, answer := newMachine(t, "pc7").join(t, r, ""); status != 409 {
		t.Errorf("%d %s", status, answer)
	}
	if status, _ := r.post(t, "/v1/contact", contactOf("", 1), nil, m.cert(t), "", ""); status != 403 {
		t.Errorf("a deleted host's certificate: %d", status)
	}
}

func TestApproval(t *testing.T) {
	fleets(t, server.Config{Enrolment: config.Enrolment{FirstBoot: "approve"}}, func(t *testing.T, servers []*running) {
		r := servers[0]
		c := r.client(t, "admin", password)
		text, _ := makeToken(t, c, map[string]any{"uses": 3, "approve": true})
		by, without, denied := newMachine(t, "by-token"), newMachine(t, "without"), newMachine(t, "denied")
		for m, k := range map[*machine]string{by: text, without: "", denied: text} {
			for range 2 { // asks again and again
				if status, answer := m.join(t, servers[len(servers)-1], k); status != 202 || m.Pending == "" || m.HostKey != "" {
					t.Fatalf("%d %s", status, answer)
				}
			}
		}
		if all := call(t, c, "host_getPending").([]any); len(all) != 3 {
			t.Errorf("pending: %v", all)
		}
		id := call(t, c, "host_approve", by.Pending).(string)
		named := call(t, c, "host_approve", without.Pending, "gate.example.org").(string)
		call(t, c, "host_deny", denied.Pending)
		if status, answer := by.join(t, r, text); status != 200 || by.HostID != id || by.Chain == "" {
			t.Errorf("%d %s", status, answer)
		}
		if status, answer := without.join(t, r, ""); status != 200 || without.HostID != named {
			t.Errorf("%d %s", status, answer)
		}
		if status, answer := denied.join(t, r, text); status != 403 || !strings.Contains(answer, "denied") {
			t.Errorf("%d %s", status, answer)
		}
		if all := call(t, c, "host_getPending").([]any); len(all) != 0 {
			t.Errorf("pending: %v", all)
		}
		if _, err := c.Call(t.Context(), methods.Actor{}, "host_approve", methods.Pos(by.Pending)); fleet.CodeOf(err) != fleet.NotFound {
			t.Errorf("approved twice: %v", err)
		}
	})
}

// Attack 33: a copied machine is noticed within two check-ins of it, and the
// machine that is refused has a way out.
func TestAttack33_Clone(t *testing.T) {
	fleets(t, server.Config{}, func(t *testing.T, servers []*running) {
		r := servers[0]
		c := r.client(t, "admin", password)
		text, _ := makeToken(t, c, map[string]any{})
		m := newMachine(t, "original")
		if status, answer := m.join(t, r, text); status != 200 {
			t.Fatal(status, answer)
		}
		n := 0
		contact := func(last, host string, next ...string) (int, enrol.Answer, string) {
			n++
			in := contactOf(last, n)
			in.Machine.Hostname = host
			if len(next) > 0 {
				in.Next = next[0]
			}
			var out enrol.Answer
			status, answer := servers[n%len(servers)].post(t, "/v1/contact", in, &out, m.cert(t), "", "")
			return status, out, answer
		}
		status, first, answer := contact("", "original")
		if status != 200 || len(first.CRL) == 0 || len(first.Roots) == 0 {
			t.Fatalf("%d %s", status, answer)
		}
		if status, _, _ := contact("", "original", first.Mark); status != 200 { // the answer got lost
			t.Fatal(status)
		}
		// Copied here. The copy comes first: it is not known as one yet.
		status, copied, _ := contact(first.Mark, "copy")
		if status != 200 {
			t.Fatal(status)
		}
		status, _, answer = contact(first.Mark, "original")
		if status != 409 || !strings.Contains(answer, "join --again") || !strings.Contains(answer, "keep-identity") {
			t.Fatalf("%d %s", status, answer)
		}
		lastMark := fmt.Sprintf("mark-%024d", n)
		clones := call(t, c, "host_getClones").([]any)
		if s := fmt.Sprint(clones); len(clones) != 1 || !strings.Contains(s, "original") || !strings.Contains(s, "copy") {
			t.Fatalf("clones: %v", clones)
		}
		// The administrator lets the original stay: the copy is the one that is refused.
		call(t, c, "host_keepIdentity", m.HostID)
		status, kept, answer := contact(first.Mark, "original", lastMark)
		if status != 200 {
			t.Fatalf("%d %s", status, answer)
		}
		if clones := call(t, c, "host_getClones").([]any); len(clones) != 0 {
			t.Errorf("clones: %v", clones)
		}
		if status, _, _ := contact(copied.Mark, "copy"); status != 409 {
			t.Errorf("the copy: %d", status)
		}
		if status, _, _ := contact(kept.Mark, "original"); status != 200 {
			t.Errorf("the original: %d", status)
		}
	})
}

// Revoking ends all by which a host is known, in one transaction, at every server.
func TestRevokeHost(t *testing.T) {
	fleets(t, server.Config{}, func(t *testing.T, servers []*running) {
		r := servers[0]
		c := r.client(t, "admin", password)
		text, _ := makeToken(t, c, map[string]any{})
		m := newMachine(t, "m")
		if status, answer := m.join(t, r, text); status != 200 {
			t.Fatal(status, answer)
		}
		call(t, c, "host_updateObject", map[string]any{"type": "OpsiClient", "id": m.HostID, "oneTimePassword": "once more"})
		session := r.client(t, m.HostID, m.HostKey)
		call(t, session, "backend_info")
		var before enrol.Answer
		if status, answer := r.post(t, "/v1/contact", contactOf("", 1), &before, m.cert(t), "", ""); status != 200 {
			t.Fatal(status, answer)
		}
		call(t, c, "host_revoke", m.HostID, "stolen")
		if _, err := session.Call(t.Context(), methods.Actor{}, "backend_info", methods.Pos()); fleet.CodeOf(err) != fleet.Unauthenticated {
			t.Errorf("its session: %v", err)
		}
		_, csr := newRequest(t)
		for _, s := range servers {
			for path, in := range map[string]any{"/v1/contact": contactOf(before.Mark, 2), "/v1/renew": enrol.Renewal{CSR: csr},
				"/rpc": map[string]any{"jsonrpc": "2.0", "id": 1, "method": "backend_info", "params": []any{}}} {
				if status, answer := s.post(t, path, in, nil, m.cert(t), "", ""); status != 403 {
					t.Errorf("%s by certificate: %d %s", path, status, answer)
				}
				if status, answer := s.post(t, path, in, nil, nil, m.HostID, m.HostKey); status != 401 {
					t.Errorf("%s by key: %d %s", path, status, answer)
				}
			}
			if status, answer := s.post(t, "/v1/join", enrol.JoinRequest{HostID: m.HostID, OneTimePassword: "once more", CSR: csr}, nil, nil, "", ""); status != 401 {
				t.Errorf("by one-time password: %d %s", status, answer)
			}
		}
		resp, body := r.get(t, "/v1/crl")
		list, err := x509.ParseRevocationList([]byte(body))
		if resp.StatusCode != 200 || err != nil || len(list.RevokedCertificateEntries) != 1 {
			t.Errorf("%s, %v", resp.Status, err)
		}
		if !strings.Contains(fmt.Sprint(call(t, c, "journal_getEntries", m.HostID)), "revoke") {
			t.Error("the journal does not know")
		}
		// The way back is a one-time password by an administrator.
		call(t, c, "host_updateObject", map[string]any{"type": "OpsiClient", "id": m.HostID, "oneTimePassword": "welcome"})
		back := newMachine(t, "m")
		status, answer := http.StatusServiceUnavailable, ""
		for deadline := time.Now().Add(20 * time.Second); status == http.StatusServiceUnavailable && time.Now().Before(deadline); { // it guessed above, and waits for that
			status, answer = r.post(t, "/v1/join", enrol.JoinRequest{HostID: m.HostID, OneTimePassword: "welcome", CSR: back.csr}, &back.joined, nil, "", "")
		}
		if status != 200 || back.HostKey == m.HostKey || back.HostKey == "" {
			t.Fatalf("%d %s", status, answer)
		}
		if status, answer := r.post(t, "/v1/contact", contactOf("", 3), nil, back.cert(t), "", ""); status != 200 {
			t.Errorf("%d %s", status, answer)
		}
		if status, _ := r.post(t, "/v1/contact", contactOf("", 4), nil, m.cert(t), "", ""); status != 403 {
			t.Errorf("the former certificate: %d", status)
		}
	})
}

// Attack 61: a machine that was asleep for a year renews with the key that it has,
// unless it was revoked meanwhile.
func TestAttack61_AsleepForAYear(t *testing.T) {
	now := time.Now()
	var mu sync.Mutex
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	r := start(t, server.Config{Data: t.TempDir(), Now: clock})
	c := r.client(t, "admin", password)
	text, _ := makeToken(t, c, map[string]any{"uses": 2})
	good, bad := newMachine(t, "good"), newMachine(t, "bad")
	for _, m := range []*machine{good, bad} {
		if status, answer := m.join(t, r, text); status != 200 {
			t.Fatal(status, answer)
		}
	}
	call(t, c, "host_revoke", bad.HostID)
	mu.Lock()
	now = now.Add(365 * 24 * time.Hour)
	mu.Unlock()
	if status, answer := r.post(t, "/v1/contact", contactOf("", 1), nil, good.cert(t), good.HostID, good.HostKey); status != 403 || !strings.Contains(answer, "renews it") {
		t.Errorf("a certificate that is over: %d %s", status, answer)
	}
	key, csr := newRequest(t)
	if status, answer := r.post(t, "/v1/renew", enrol.Renewal{CSR: csr}, nil, bad.cert(t), bad.HostID, bad.HostKey); status != 403 {
		t.Errorf("the revoked one: %d %s", status, answer)
	}
	var out enrol.Renewed
	if status, answer := r.post(t, "/v1/renew", enrol.Renewal{CSR: csr}, &out, good.cert(t), "", ""); status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
	var lost enrol.Renewed // the answer was lost: the same again
	if status, answer := r.post(t, "/v1/renew", enrol.Renewal{CSR: csr}, &lost, good.cert(t), "", ""); status != 200 || lost.Chain != out.Chain {
		t.Fatalf("%d %s", status, answer)
	}
	if status, answer := r.post(t, "/v1/contact", contactOf("", 2), nil, certificate(t, out.Chain, key), "", ""); status != 200 {
		t.Errorf("%d %s", status, answer)
	}
}
