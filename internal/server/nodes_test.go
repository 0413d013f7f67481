package server_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/server"
	"github.com/fernwerk/fernwerk/internal/server/config"
	"github.com/fernwerk/fernwerk/internal/server/grid"
	"github.com/fernwerk/fernwerk/internal/server/presence/report"
	"github.com/fernwerk/fernwerk/test/require/bind"
)

// freePort is a port of loopback that was free a moment ago, by TCP.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func theType() map[string]any {
	return map[string]any{"id": "vnode", "addressRange": "10.134.0.0/16", "namePattern": "vnode-{a}-{b}", "domain": "grid.example.org", "deadName": "remove"}
}

// ask asks the server's DNS until the answer is as wanted.
func resolves(t *testing.T, address, name, want string) {
	t.Helper()
	c := &dns.Client{Timeout: 2 * time.Second}
	q := new(dns.Msg)
	q.SetQuestion(name, dns.TypeA)
	got := ""
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		m, _, err := c.Exchange(q, address)
		if err != nil {
			t.Fatal(err)
		}
		got = dns.RcodeToString[m.Rcode]
		for _, rr := range m.Answer {
			got = rr.(*dns.A).A.String()
		}
		if got == want {
			return
		}
		<-time.After(20 * time.Millisecond)
	}
	t.Fatalf("%s is %q, want %q", name, got, want)
}

// The seed's client-up and client-down, for an OpenVPN that somebody else runs:
// the node's name resolves while its tunnel is up, the history says so, and a
// report that was left while the server was down counts when it is there again.
func TestForeignOpenVPN(t *testing.T) {
	address := freePort(t)
	cfg := server.Config{Data: shortDir(t), DNS: config.DNS{Zone: "grid.example.org", Listen: address}, TunnelGrace: 1}
	r := start(t, cfg)
	c := r.client(t, "admin", password)
	call(t, c, "nodeType_insertObject", theType())
	call(t, c, "host_createOpsiClient", "client317.grid.example.org")

	folder := filepath.Join(r.dir, grid.Reports)
	env := map[string]string{"common_name": "client317", "ifconfig_pool_remote_ip": "10.134.7.38", "trusted_ip": "192.0.2.57", "time_unix": "1790000000"}
	hand := func(up bool) bool {
		t.Helper()
		near, err := rpc.NewClient(rpc.Options{URL: "unix://" + filepath.Join(r.dir, server.Socket)})
		if err != nil {
			t.Fatal(err)
		}
		said, err := report.FromOpenVPN(up, func(name string) string { return env[name] }, report.Options{Tunnel: "openvpn", Domain: "grid.example.org", NodeType: "vnode"})
		if err != nil {
			t.Fatal(err)
		}
		queued, err := said.Hand(t.Context(), func(ctx context.Context, method string, args ...any) (any, error) {
			return near.Call(ctx, methods.Actor{}, method, methods.Pos(args...))
		}, folder)
		if err != nil {
			t.Fatal(err)
		}
		return queued
	}
	resolves(t, address, "vnode-7-38.grid.example.org.", "NXDOMAIN")
	if hand(true) {
		t.Error("a server that runs finds the report later")
	}
	resolves(t, address, "vnode-7-38.grid.example.org.", "10.134.7.38")
	resolves(t, address, "client317.grid.example.org.", "10.134.7.38")
	records := call(t, c, "dns_getRecords").([]any)
	if len(records) != 3 { // two names, and the way back
		t.Errorf("%v", records)
	}
	if hand(false) {
		t.Error("a server that runs finds the report later")
	}
	resolves(t, address, "vnode-7-38.grid.example.org.", "NXDOMAIN")
	env["time_unix"] = "1790000100"
	r.stop()
	if !hand(true) {
		t.Error("a report to nobody is lost")
	}
	r = start(t, cfg)
	resolves(t, address, "vnode-7-38.grid.example.org.", "10.134.7.38")
	c = r.client(t, "admin", password)
	var ops []string
	for _, e := range call(t, c, "journal_getEntries", "client317.grid.example.org").([]any) {
		if e := e.(map[string]any); e["actor"] == "presence" {
			ops = append(ops, e["operation"].(string))
		}
	}
	if got := strings.Join(ops, " "); got != "up down up" {
		t.Errorf("the history says %q", got)
	}
	fact := call(t, c, "presence_getObjects", []any{"client317.grid.example.org"}).([]any)[0].(map[string]any)
	if fact["up"] != true || fact["name"] != "vnode-7-38.grid.example.org" || fact["clientAddress"] != "192.0.2.57" {
		t.Errorf("%v", fact)
	}
}

// A name server that is there already follows, also when it was away meanwhile.
func TestForeignNameServer(t *testing.T) {
	b := bind.Start(t, map[string]string{"grid.example.org": "", "134.10.in-addr.arpa": ""})
	secret := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(secret, []byte(bind.Secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := start(t, server.Config{Data: t.TempDir(), TunnelGrace: 1, DNS: config.DNS{
		Keys:   map[string]config.DNSKey{bind.KeyName: {SecretFile: secret}},
		Update: []config.DNSUpdate{{Server: b.Address, Zone: "grid.example.org", Reverse: []string{"134.10.in-addr.arpa"}, Key: bind.KeyName}}}})
	c := r.client(t, "admin", password)
	call(t, c, "nodeType_insertObject", theType())
	up := func(host, epoch, address string) {
		t.Helper()
		call(t, c, "host_createOpsiClient", host)
		call(t, c, "presence_up", host, "openvpn", epoch, int64(1_790_000_000), address, nil, "vnode")
	}
	up("client1.example.org", "1", "10.134.7.38")
	resolves(t, b.Address, "vnode-7-38.grid.example.org.", "10.134.7.38")
	b.Stop()
	up("client2.example.org", "1", "10.134.7.39")
	call(t, c, "presence_down", "client1.example.org", "openvpn", "1")
	b.Run()
	resolves(t, b.Address, "vnode-7-39.grid.example.org.", "10.134.7.39")
	resolves(t, b.Address, "vnode-7-38.grid.example.org.", "NXDOMAIN")
	if back := b.Ask("-x", "10.134.7.39"); back != "vnode-7-39.grid.example.org." {
		t.Errorf("its address points to %q", back)
	}
}

// Without [dns] nobody answers DNS, and what follows from presence is there all
// the same.
func TestWithoutDNS(t *testing.T) {
	r := start(t, server.Config{Data: t.TempDir()})
	c := r.client(t, "admin", password)
	if _, err := c.Call(t.Context(), methods.Actor{}, "dns_getRecords", methods.Params{}); fleet.CodeOf(err) != fleet.NotHere {
		t.Errorf("%v", err)
	}
	call(t, c, "nodeType_insertObject", theType())
	call(t, c, "host_createOpsiClient", "client1.example.org")
	call(t, c, "presence_up", "client1.example.org", "openvpn", "1", int64(1_790_000_000), nil, nil, "vnode")
	if all := call(t, c, "presence_getObjects").([]any); len(all) != 1 {
		t.Errorf("%v", all)
	}
	req, err := http.NewRequestWithContext(t.Context(), "GET", r.URL()+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("admin", password)
	web := http.Client{Transport: &http.Transport{TLSClientConfig: r.trust(t)}}
	defer web.CloseIdleConnections()
	resp, err := web.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(page), "fernwerk_presence_sessions_begun_total 1") || strings.Contains(string(page), "fernwerk_dns_") {
		t.Errorf("%v: %.300s", err, page)
	}
}

// A type whose names or addresses are another's is refused.
func TestNodeType_Refused(t *testing.T) {
	r := start(t, server.Config{Data: t.TempDir()})
	c := r.client(t, "admin", password)
	call(t, c, "nodeType_insertObject", theType())
	for name, change := range map[string]map[string]any{
		"overlap": {"id": "gpu", "addressRange": "10.134.7.0/24", "namePattern": "gpu-{b}"}, "names": {"id": "gpu", "addressRange": "10.135.0.0/16"},
		"host part": {"id": "gpu", "addressRange": "10.135.0.1/16", "namePattern": "gpu-{a}-{b}"}, "property": {"id": "gpu", "addressRange": "10.135.0.0/16", "namePattern": "gpu-{a}-{b}", "properties": []any{"a=b;c"}},
	} {
		row := theType()
		for k, v := range change {
			row[k] = v
		}
		for _, method := range []string{"nodeType_insertObject", "nodeType_updateObjects"} {
			arg := any(row)
			if method == "nodeType_updateObjects" {
				arg = []any{row}
			}
			if _, err := c.Call(t.Context(), methods.Actor{}, method, methods.Pos(arg)); err == nil {
				t.Errorf("%s: %s takes it", name, method)
			}
		}
	}
	if _, err := c.Call(t.Context(), methods.Actor{}, "nodeType_updateObject", methods.Pos(map[string]any{"id": "vnode", "routes": []any{"10.0.0.1/8"}})); fleet.CodeOf(err) != fleet.Invalid {
		t.Errorf("a change is not checked as a whole: %v", err)
	}
}
