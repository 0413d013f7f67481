package server

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/fleet/node"
	"github.com/fernwerk/fernwerk/internal/kit/openvpn"
	"github.com/fernwerk/fernwerk/internal/server/access"
	"github.com/fernwerk/fernwerk/internal/server/ca"
	"github.com/fernwerk/fernwerk/internal/server/config"
	"github.com/fernwerk/fernwerk/internal/server/enrolment/identity"
	"github.com/fernwerk/fernwerk/internal/server/presence"
	"github.com/fernwerk/fernwerk/internal/server/tunnel"
)

// site is a server with a tunnel and hosts that have its certificates.
type tunnelSite struct {
	t          *testing.T
	store      *store.Store
	authority  *ca.Authority
	nodes      *presence.Presence
	served     *tunnel.Server
	identities *identity.Identities
	serials    map[string]string // by host id, of the tunnel's certificate
}

func newTunnelSite(t *testing.T) *tunnelSite {
	t.Helper()
	dir, err := os.MkdirTemp("", "fwt") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &Server{cfg: Config{Data: dir, Listen: "127.0.0.1:0", AdminPassword: "secret", TunnelGrace: 2, Tunnels: []config.Tunnel{{Name: "vpns", Remote: "hub.example.org", Serve: true}}}}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(s.defaults())
	must(s.takeFolder())
	l, err := s.listen()
	must(err)
	l.Close()
	st, err := s.openStore(t.Context())
	must(err)
	m, err := s.join(t.Context(), st)
	must(err)
	authority, err := s.first(t.Context(), st, m, access.New(st, s.cfg.Log, s.cfg.Now))
	must(err)
	_, err = s.keepAuthority(t.Context(), st, m, authority)
	must(err)
	signed, err := s.contentTrust(t.Context(), st, m)
	must(err)
	n, err := s.openGrid(t.Context(), st, m, &joining{authority: authority}, signed)
	must(err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- st.Serve(ctx) }()
	t.Cleanup(func() { stop(); <-ended; s.Close() })
	site := &tunnelSite{t: t, store: st, authority: authority, nodes: n.Presence, served: n.Tunnels.Servers[0], identities: identity.New(st, authority, time.Now), serials: map[string]string{}}
	site.update(func(tx *store.Tx) error {
		for _, ty := range []fleet.NodeType{{ID: "vnode", AddressRange: "10.134.0.0/16", Domain: "grid.test", Tunnel: "openvpn", Routes: []string{"129.88.70.0/26"}, DNSServers: []string{"129.88.70.61"}, SearchDomain: "grid.test"},
			{ID: "meshnode", AddressRange: "10.135.0.0/16", Domain: "mesh.test", Tunnel: "mesh"}, {ID: "far", AddressRange: "10.136.0.0/16", Domain: "far.test", Tunnel: "both"}, {ID: "plain", Tunnel: "both"}} {
			if err := tx.Put(fleet.NodeTypes, fleet.NodeTypes.Encode(ty)); err != nil {
				return err
			}
		}
		return nil
	})
	return site
}

func (s *tunnelSite) update(fn func(*store.Tx) error) {
	s.t.Helper()
	if err := s.store.Update(context.Background(), store.Origin{Actor: "test"}, fn); err != nil {
		s.t.Fatal(err)
	}
}

func newTestKey() *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return k
}

// join makes a host of a node type, with a certificate of the tunnel.
func (s *tunnelSite) join(id, nodeType string) {
	s.t.Helper()
	s.update(func(tx *store.Tx) error {
		if err := tx.Put(fleet.Hosts, fleet.Row{"type": fleet.OpsiClient, "id": id}); err != nil {
			return err
		}
		key := newTestKey().Public()
		keyID, err := enrol.KeyID(key)
		if err != nil {
			return err
		}
		if _, err := s.identities.Begin(tx, key, identity.Row{HostID: id, NodeType: nodeType, KeyID: keyID}); err != nil {
			return err
		}
		c, err := s.authority.Issue(tx, newTestKey().Public(), enrol.Grant{Purpose: enrol.Tunnel, HostID: id, NodeType: nodeType, Tunnel: "vpns"})
		s.serials[id] = c.Serial
		return err
	})
}

func (s *tunnelSite) judge(id, serial string) (tunnel.Admission, error) {
	return s.served.Judge(s.t.Context(), tunnel.Claim{HostID: id, Serial: serial})
}

// Only a certificate of ours, for this tunnel, that is neither over nor revoked, of a
// host that is there and of a kind that enters tunnels, opens the tunnel.
func TestTunnel_Judges(t *testing.T) {
	s := newTunnelSite(t)
	for id, nodeType := range map[string]string{"good.x.test": "vnode", "other.x.test": "vnode", "revoked.x.test": "vnode", "gone.x.test": "vnode", "mesh.x.test": "meshnode", "far.x.test": "far", "plain.x.test": "plain", "no.x.test": ""} {
		s.join(id, nodeType)
	}
	a, err := s.judge("good.x.test", s.serials["good.x.test"])
	if err != nil {
		t.Fatal(err)
	}
	lines, err := a.Push.Lines()
	text := strings.Join(lines, "\n")
	if err != nil || !strings.HasPrefix(text, "ifconfig-push 10.134.") {
		t.Errorf("%v %s", err, text)
	}
	// What the seed pushes.
	for _, want := range []string{`push "route 129.88.70.0 255.255.255.192"`, `push "dhcp-option DNS 129.88.70.61"`, `push "dhcp-option DOMAIN grid.test"`} {
		if !strings.Contains(text, want) {
			t.Errorf("it lacks %s", want)
		}
	}
	issue := func(g enrol.Grant) (serial string) {
		s.update(func(tx *store.Tx) error {
			c, err := s.authority.Issue(tx, newTestKey().Public(), g)
			serial = c.Serial
			return err
		})
		return serial
	}
	short := issue(enrol.Grant{Purpose: enrol.Tunnel, HostID: "good.x.test", NodeType: "vnode", Tunnel: "vpns", Life: time.Second})
	s.update(func(tx *store.Tx) error { return s.identities.Revoke(tx, "revoked.x.test", "stolen") })
	s.update(func(tx *store.Tx) error {
		return tx.Remove(fleet.Hosts, fleet.Row{"type": fleet.OpsiClient, "id": "gone.x.test"})
	})
	for wait := time.Now().Add(1500 * time.Millisecond); time.Now().Before(wait); {
		<-time.After(50 * time.Millisecond)
	}
	for name, c := range map[string][2]string{
		"a host's certificate": {"good.x.test", issue(enrol.Grant{Purpose: enrol.Host, HostID: "good.x.test", NodeType: "vnode"})},
		"of another tunnel":    {"good.x.test", issue(enrol.Grant{Purpose: enrol.Tunnel, HostID: "good.x.test", NodeType: "vnode", Tunnel: "other"})},
		"another's":            {"good.x.test", s.serials["other.x.test"]},
		"not on record":        {"good.x.test", "abcdef"},
		"over":                 {"good.x.test", short},
		"revoked":              {"revoked.x.test", s.serials["revoked.x.test"]},
		"of a host that went":  {"gone.x.test", s.serials["gone.x.test"]},
		"of a mesh node":       {"mesh.x.test", s.serials["mesh.x.test"]},
		"of another network":   {"far.x.test", s.serials["far.x.test"]},
		"without addresses":    {"plain.x.test", s.serials["plain.x.test"]},
		"without a node type":  {"no.x.test", s.serials["no.x.test"]},
	} {
		if a, err := s.judge(c[0], c[1]); err == nil {
			t.Errorf("%s: it is let in: %+v", name, a)
		} else if code := fleet.CodeOf(err); code != fleet.Denied && code != fleet.NotFound {
			t.Errorf("%s: it is refused as %s: %v", name, code, err)
		}
	}
}

// simulated is an openvpn that has as many clients as the test says.
type simulated struct {
	t       *testing.T
	site    *tunnelSite
	conn    net.Conn
	mu      sync.Mutex
	decided chan struct{}
	got     map[uint64]netip.Addr // by number of the client
	denied  map[uint64]string
	killed  map[uint64]bool
	hosts   map[uint64]string
	in      map[uint64]int64 // those who are in, and since when
	base    int64
}

func (s *tunnelSite) simulate(ctx context.Context) *simulated {
	s.t.Helper()
	path := filepath.Join(s.served.Dir, openvpn.SocketFile)
	if err := os.MkdirAll(s.served.Dir, 0o700); err != nil {
		s.t.Fatal(err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { l.Close() })
	sim := &simulated{t: s.t, site: s, decided: make(chan struct{}, 10000), got: map[uint64]netip.Addr{}, denied: map[uint64]string{}, killed: map[uint64]bool{}, hosts: map[uint64]string{}, in: map[uint64]int64{}, base: time.Now().Unix()}
	go func() {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		sim.mu.Lock()
		sim.conn = nc
		sim.mu.Unlock()
		sim.say(">INFO:OpenVPN Management Interface Version 5 -- type 'help' for more info")
		sim.answer(nc)
	}()
	c, err := openvpn.Dial(ctx, path)
	if err != nil {
		s.t.Fatal(err)
	}
	done := make(chan struct{})
	ctx, stop := context.WithCancel(ctx)
	go func() { defer close(done); s.served.Attend(ctx, c, 4711) }()
	s.t.Cleanup(func() { stop(); <-done })
	return sim
}

func (s *simulated) say(lines ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprint(s.conn, strings.Join(lines, "\r\n")+"\r\n")
}

func (s *simulated) answer(nc net.Conn) {
	r := bufio.NewScanner(nc)
	for r.Scan() {
		word := strings.Fields(r.Text())
		var cid uint64
		if len(word) > 1 {
			fmt.Sscan(word[1], &cid)
		}
		switch word[0] {
		case "client-auth":
			var address netip.Addr
			for r.Scan() && r.Text() != "END" {
				if rest, ok := strings.CutPrefix(r.Text(), "ifconfig-push "); ok {
					address, _ = netip.ParseAddr(strings.Fields(rest)[0])
				}
			}
			s.mu.Lock()
			s.got[cid], s.in[cid] = address, s.base
			s.mu.Unlock()
			s.say("SUCCESS: client-auth command succeeded", fmt.Sprintf(">CLIENT:ADDRESS,%d,%s,1", cid, address),
				fmt.Sprintf(">CLIENT:ESTABLISHED,%d", cid), fmt.Sprintf(">CLIENT:ENV,time_unix=%d", s.base), ">CLIENT:ENV,END")
			s.decided <- struct{}{}
		case "client-deny":
			s.mu.Lock()
			s.denied[cid] = r.Text()
			s.mu.Unlock()
			s.say("SUCCESS: client-deny command succeeded")
			s.decided <- struct{}{}
		case "client-kill":
			s.mu.Lock()
			s.killed[cid] = true
			s.mu.Unlock()
			s.say("SUCCESS: client-kill command succeeded")
			s.gone(cid)
			s.decided <- struct{}{}
		case "status":
			s.say(append(s.list(), "END")...)
		default:
			s.say("SUCCESS: " + word[0])
		}
	}
}

// list is who is in, as openvpn says it.
func (s *simulated) list() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := []string{"HEADER\tCLIENT_LIST\tCommon Name\tReal Address\tVirtual Address\tVirtual IPv6 Address\tBytes Received\tBytes Sent\tConnected Since\tConnected Since (time_t)\tUsername\tClient ID\tPeer ID\tData Channel Cipher"}
	for cid, since := range s.in {
		lines = append(lines, fmt.Sprintf("CLIENT_LIST\t%s\t203.0.113.7:1194\t%s\t\t1\t1\t-\t%d\tUNDEF\t%d\t0\tAES-256-GCM", s.hosts[cid], s.got[cid], since, cid))
	}
	return lines
}

func (s *simulated) come(cid uint64, host string) {
	s.mu.Lock()
	s.hosts[cid] = host
	s.mu.Unlock()
	s.say(fmt.Sprintf(">CLIENT:CONNECT,%d,1", cid), ">CLIENT:ENV,common_name="+host, ">CLIENT:ENV,tls_serial_hex_0="+s.site.serials[host],
		">CLIENT:ENV,trusted_ip=203.0.113.7", ">CLIENT:ENV,trusted_port=1194", ">CLIENT:ENV,END")
}

func (s *simulated) gone(cid uint64) {
	s.mu.Lock()
	delete(s.in, cid)
	s.mu.Unlock()
	s.say(fmt.Sprintf(">CLIENT:DISCONNECT,%d", cid), ">CLIENT:ENV,bytes_sent=1", ">CLIENT:ENV,END")
}

func (s *simulated) wait(n int, within time.Duration) {
	s.t.Helper()
	late := time.After(within)
	for i := range n {
		select {
		case <-s.decided:
		case <-late:
			s.t.Fatalf("%d of %d decisions within %v", i, n, within)
		}
	}
}

// present are how many nodes are up, as presence says.
func (s *tunnelSite) present() (n int) {
	err := s.store.View(context.Background(), func(tx *store.Tx) error {
		n = 0
		for nd, err := range presence.Desired(tx) {
			if err != nil {
				return err
			}
			if nd.Up {
				n++
			}
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// After an outage 300 nodes come back in the same moment: all are decided about within
// ten seconds, none has another's address, and each has the one that it had.
func TestTunnel_ThreeHundredAtOnce(t *testing.T) {
	const nodes = 300
	s := newTunnelSite(t)
	for i := range nodes {
		s.join(fmt.Sprintf("client%d.x.test", i), "vnode")
	}
	sim := s.simulate(t.Context())
	had := map[string]netip.Addr{}
	for wave := range 3 {
		began := time.Now()
		for i := range nodes {
			if wave > 0 {
				sim.gone(uint64((wave-1)*nodes + i))
			}
			sim.come(uint64(wave*nodes+i), fmt.Sprintf("client%d.x.test", i))
		}
		sim.wait(nodes, 10*time.Second)
		took := time.Since(began)
		if wave == 2 { // they come back, which is what an outage ends with
			t.Attr("decided", fmt.Sprint(took.Seconds()))
		}
		t.Logf("wave %d: %d decisions in %v, the slowest %v", wave, nodes, took.Round(time.Millisecond), s.served.Slowest().Round(time.Millisecond))
		of := map[netip.Addr]string{}
		for i := range nodes {
			cid := uint64(wave*nodes + i)
			host, a := sim.hosts[cid], sim.got[cid]
			if !a.IsValid() || of[a] != "" {
				t.Fatalf("%s has %s, as has %q", host, a, of[a])
			}
			if of[a] = host; wave > 0 && had[host] != a {
				t.Errorf("%s had %s and has %s", host, had[host], a)
			}
			had[host] = a
		}
		for by := time.Now().Add(20 * time.Second); s.present() != nodes; <-time.After(20 * time.Millisecond) {
			if time.Now().After(by) {
				t.Fatalf("presence has %d of %d", s.present(), nodes)
			}
		}
		if wave == 2 {
			t.Attr("present", fmt.Sprint(time.Since(began).Seconds()))
		}
		t.Logf("wave %d: presence has all %v after the beginning", wave, time.Since(began).Round(time.Millisecond))
	}

	// One that is revoked is out at once, and stays out.
	began := time.Now()
	s.update(func(tx *store.Tx) error { return s.identities.Revoke(tx, "client7.x.test", "stolen") })
	sim.wait(1, 5*time.Second)
	t.Logf("revoked and put out: %v", time.Since(began).Round(time.Millisecond))
	if !sim.killed[2*nodes+7] || len(sim.killed) != 1 {
		t.Errorf("put out: %v", sim.killed)
	}
	sim.come(5000, "client7.x.test")
	sim.wait(1, 5*time.Second)
	if why := sim.denied[5000]; !strings.Contains(why, "revoked") {
		t.Errorf("it comes back: %q", why)
	}
	// So is one whom an administrator disconnects; that one may come back.
	s.update(func(tx *store.Tx) error { return tunnel.Disconnect(tx, "client8.x.test", "vpns") })
	sim.wait(1, 5*time.Second)
	sim.base = time.Now().Unix() + 1
	sim.come(5001, "client8.x.test")
	sim.wait(1, 5*time.Second)
	if !sim.killed[2*nodes+8] || sim.got[5001] != had["client8.x.test"] {
		t.Errorf("put out %v, back at %s", sim.killed, sim.got[5001])
	}
}

// An address that the database gave on belongs to nobody twice: whoever still has it
// is put out first.
func TestTunnel_NoAddressTwice(t *testing.T) {
	s := newTunnelSite(t)
	s.join("one.x.test", "vnode")
	s.join("two.x.test", "vnode")
	sim := s.simulate(t.Context())
	sim.come(1, "one.x.test")
	sim.wait(1, 5*time.Second)
	address := sim.got[1]
	// The row of one went, by a mistake or a restored database, and two has its address.
	s.update(func(tx *store.Tx) error {
		return tx.Remove(fleet.Hosts, fleet.Row{"type": fleet.OpsiClient, "id": "one.x.test"})
	})
	if err := s.nodes.Up(t.Context(), presence.Session{HostID: "two.x.test", Tunnel: "other", Epoch: "1", Address: address, Since: time.Now()}); err != nil {
		t.Fatal(err)
	}
	sim.come(2, "two.x.test")
	sim.wait(2, 15*time.Second)
	sim.mu.Lock()
	defer sim.mu.Unlock()
	// Two is refused while one is in, or comes in after one was out.
	if !sim.killed[1] || sim.denied[2] == "" && sim.got[2] != address {
		t.Errorf("one put out: %v; two %q at %s", sim.killed, sim.denied[2], sim.got[2])
	}
}

// A node that flaps a hundred times within a second ends as what it was last, whatever
// order its reports took, and disturbs no other.
func TestAttack66_TunnelFlaps(t *testing.T) {
	s := newTunnelSite(t)
	s.join("flap.x.test", "vnode")
	s.join("calm.x.test", "vnode")
	sim := s.simulate(t.Context())
	sim.come(0, "calm.x.test")
	sim.wait(1, 5*time.Second)
	up := func(want bool) {
		t.Helper()
		for by := time.Now().Add(40 * time.Second); ; <-time.After(20 * time.Millisecond) {
			var n node.Node
			err := s.store.View(t.Context(), func(tx *store.Tx) (err error) { n, _, err = presence.One(tx, "flap.x.test"); return err })
			if err == nil && n.Up == want {
				return
			}
			if time.Now().After(by) {
				t.Fatalf("up shall be %v: %+v %v", want, n, err)
			}
		}
	}
	for i := range uint64(100) {
		sim.come(i+1, "flap.x.test")
		sim.wait(1, 10*time.Second)
		if i < 99 {
			sim.gone(i + 1)
		}
	}
	up(true)
	if n := s.present(); n != 2 {
		t.Errorf("%d nodes are up", n)
	}
	sim.mu.Lock()
	address := sim.got[1]
	for cid, a := range sim.got {
		if cid > 0 && a != address {
			t.Errorf("it had %s and then %s", address, a)
		}
	}
	sim.mu.Unlock()
	sim.gone(100)
	sim.gone(100) // told twice
	up(false)
	if n := s.present(); n != 1 {
		t.Errorf("%d nodes are up", n)
	}
}
