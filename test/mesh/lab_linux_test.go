// Package mesh tests the mesh with the real programs, in networks that it makes:
//
//	         hub 198.51.100.1
//	          |  (198.51.100.0/24 is the world)
//	+---------+---------+-----------+
//	ra (NAT)  rb (NAT)  rc (NAT)    each router drops what nobody asked for;
//	|     |   |         |           rc gives every connection another port
//	A     C   B         D
//
// A and B are both 192.168.1.0/24, C is 192.168.3.0/24 and routed to A by ra, D is
// 10.9.0.0/24. All is in network namespaces with names of this process.
package mesh

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/test/require"
)

var bin string // folder of the programs

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "inside" { // this binary, in a namespace
		if err := inside(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	flag.Parse()
	dir, err := os.MkdirTemp("", "fwm-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	bin = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

var build = sync.OnceValue(func() error {
	if from := os.Getenv("FERNWERK_BIN"); from != "" {
		bin = from
		return nil
	}
	cmd := exec.Command("go", "build", "-o", bin, "./cmd/...")
	cmd.Dir, cmd.Env = "../..", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build the programs: %w\n%s", err, out)
	}
	return nil
})

// lab is the networks with a server in the hub.
type lab struct {
	t      *testing.T
	dir    string
	prefix string
	server *exec.Cmd
	nodes  map[string]*machine
}

// machine is a node: a namespace with an agent.
type machine struct {
	lab     *lab
	name    string
	host    string
	address netip.Addr
	agent   *exec.Cmd
}

// site says where a node is.
type site struct{ net, address, via string }

var sites = map[string]site{
	"a1": {"ra-a", "192.168.1.11/24", "192.168.1.1"},
	"a2": {"ra-a", "192.168.1.12/24", "192.168.1.1"},
	"c1": {"ra-c", "192.168.3.11/24", "192.168.3.1"},
	"b1": {"rb-b", "192.168.1.12/24", "192.168.1.1"}, // the address of a2
	"b2": {"rb-b", "192.168.1.13/24", "192.168.1.1"},
	"d1": {"rc-d", "10.9.0.11/24", "10.9.0.1"},
}

var labs atomic.Int32 // so many were made

func newLab(t *testing.T, names ...string) *lab {
	t.Helper()
	require.Root(t)
	require.Tool(t, "ip")
	require.Tool(t, "nft")
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		require.Skip(t, "/dev/net/tun", err.Error())
	}
	if err := build(); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "fwl-") // short: sockets have paths of at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{t: t, dir: dir, prefix: fmt.Sprintf("fwm%d-%d-", os.Getpid(), labs.Add(1)), nodes: map[string]*machine{}}
	t.Cleanup(func() {
		if t.Failed() {
			l.logs()
		}
		for _, name := range append(slices.Collect(maps.Keys(l.nodes)), "s") { // of agents that were killed
			if p, err := os.FindProcess(l.pid(filepath.Join(dir, name))); err == nil && p.Pid > 0 {
				p.Kill()
			}
		}
		os.RemoveAll(dir)
	})
	l.space("hub")
	l.in("hub", "ip", "link", "add", "world", "type", "bridge")
	l.in("hub", "ip", "link", "set", "world", "up")
	l.in("hub", "ip", "addr", "add", "198.51.100.1/24", "dev", "world")
	l.router("ra", "198.51.100.11", "masquerade", map[string]string{"a": "192.168.1.1/24", "c": "192.168.3.1/24"})
	l.router("rb", "198.51.100.12", "masquerade", map[string]string{"b": "192.168.1.1/24"})
	l.router("rc", "198.51.100.13", "masquerade fully-random", map[string]string{"d": "10.9.0.1/24"})
	conf := filepath.Join(dir, "fernwerkd.toml")
	l.must(os.WriteFile(conf, []byte("[mesh]\nenabled = true\nrefresh = 5\n"), 0o600))
	l.serve()
	l.admin("node-type", "create", "vnode", "--range", "10.134.0.0/16", "--domain", "grid.example.org", "--tunnel", "mesh")
	token := strings.TrimSpace(l.admin("token", "create", "--node-type", "vnode", "--uses", "20", "--policy", "plain-opsi", "--print", "token"))
	for _, n := range names {
		l.join(n, token)
	}
	for _, n := range names {
		l.nodes[n].start()
	}
	for _, n := range names {
		l.nodes[n].up()
	}
	return l
}

func (l *lab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) run(name string, args ...string) string {
	l.t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		l.t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// space makes a namespace.
func (l *lab) space(name string) {
	l.t.Helper()
	full := l.prefix + name
	l.run("ip", "netns", "add", full)
	l.t.Cleanup(func() { exec.Command("ip", "netns", "del", full).Run() })
	l.in(name, "ip", "link", "set", "lo", "up")
}

// in runs a command in a namespace.
func (l *lab) in(space string, args ...string) string {
	l.t.Helper()
	return l.run("ip", append([]string{"netns", "exec", l.prefix + space}, args...)...)
}

// cable connects two namespaces; the first end goes into a bridge.
func (l *lab) cable(space, bridge, name, to, toName string) {
	l.t.Helper()
	l.run("ip", "-n", l.prefix+space, "link", "add", name, "type", "veth", "peer", "name", toName, "netns", l.prefix+to)
	l.in(space, "ip", "link", "set", name, "master", bridge, "up")
	l.in(to, "ip", "link", "set", toName, "up")
}

func (l *lab) router(name, world, nat string, nets map[string]string) {
	l.t.Helper()
	l.space(name)
	l.cable("hub", "world", "to"+name, name, "wan")
	l.in(name, "ip", "addr", "add", world+"/24", "dev", "wan")
	l.in(name, "ip", "route", "add", "default", "via", "198.51.100.1")
	for n, address := range nets {
		l.in(name, "ip", "link", "add", "name", n, "type", "bridge")
		l.in(name, "ip", "link", "set", "dev", n, "up")
		l.in(name, "ip", "addr", "add", address, "dev", n)
	}
	l.in(name, "sysctl", "-qw", "net.ipv4.ip_forward=1")
	rules := `table inet fw {
 chain post { type nat hook postrouting priority 100; oifname "wan" ` + nat + `; }
 chain input { type filter hook input priority 0; iifname "wan" ct state new drop; }
 chain forward { type filter hook forward priority 0; iifname "wan" ct state new drop; }
}`
	cmd := exec.Command("ip", "netns", "exec", l.prefix+name, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		l.t.Fatalf("nft: %v\n%s", err, out)
	}
}

// start starts a program in a namespace; it is killed when the test ends.
func (l *lab) start(space, log string, env []string, args ...string) *exec.Cmd {
	l.t.Helper()
	f, err := os.OpenFile(filepath.Join(l.dir, log), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	l.must(err)
	defer f.Close()
	cmd := exec.Command("ip", append([]string{"netns", "exec", l.prefix + space}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = f, f
	l.must(cmd.Start())
	l.t.Cleanup(func() { stop(cmd) })
	return cmd
}

// stop ends a program as a service manager does, and waits.
func stop(cmd *exec.Cmd) {
	if cmd == nil || cmd.ProcessState != nil {
		return
	}
	cmd.Process.Signal(os.Interrupt)
	late := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
	defer late.Stop()
	cmd.Wait()
}

// kill ends a program and the mesh's process of its folder as a power cut does.
func (l *lab) kill(cmd *exec.Cmd, folder string) {
	l.t.Helper()
	pid := l.pid(folder)
	cmd.Process.Kill()
	cmd.Wait()
	if p, err := os.FindProcess(pid); err == nil && pid > 0 {
		p.Kill()
		l.await("the mesh's process is gone", func() error {
			if _, err := os.Stat(fmt.Sprintf("/proc/%d/exe", pid)); err == nil {
				return errors.New("it is there")
			}
			return nil
		})
	}
}

// pid is the process of a mesh's folder.
func (l *lab) pid(folder string) int {
	conn, err := net.Dial("unix", filepath.Join(folder, "mesh", "mesh.sock"))
	if err != nil {
		return 0
	}
	defer conn.Close()
	var s struct{ PID int }
	io.WriteString(conn, "status\n")
	json.NewDecoder(conn).Decode(&s)
	return s.PID
}

func (l *lab) serve() {
	l.t.Helper()
	l.server = l.start("hub", "server.log", []string{"FERNWERK_ADMIN_PASSWORD=secret-of-the-lab"}, filepath.Join(bin, "fernwerkd"), "serve",
		"--data", filepath.Join(l.dir, "s"), "--listen", "198.51.100.1:4447", "--config", filepath.Join(l.dir, "fernwerkd.toml"))
	l.within(20*time.Second, "the server answers", func() error { _, err := l.tryAdmin("whoami"); return err })
}

func (l *lab) tryAdmin(args ...string) (string, error) {
	cmd := exec.Command(filepath.Join(bin, "fernwerk"), append(args, "--server", "unix://"+filepath.Join(l.dir, "s", "fernwerkd.sock"))...)
	cmd.Env = append(os.Environ(), "HOME="+l.dir)
	var errOut strings.Builder
	cmd.Stderr = &errOut
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("fernwerk %v: %w %s", args, err, errOut.String())
	}
	return string(out), err
}

func (l *lab) admin(args ...string) string {
	l.t.Helper()
	out, err := l.tryAdmin(args...)
	l.must(err)
	return out
}

// presence is which hosts are up.
func (l *lab) presence() (map[string]bool, error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(l.dir, "s", "fernwerkd.sock"))
	}}}
	resp, err := client.Post("http://localhost/rpc", "application/json", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"presence_getObjects","params":[]}`))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var out struct {
		Result []struct {
			HostID string
			Up     bool
		}
		Error any
	}
	err = json.NewDecoder(resp.Body).Decode(&out)
	if err == nil && out.Error != nil {
		err = fmt.Errorf("%v", out.Error)
	}
	up := map[string]bool{}
	for _, f := range out.Result {
		up[f.HostID] = up[f.HostID] || f.Up
	}
	return up, err
}

// await asks until ask has no error.
func (l *lab) await(what string, ask func() error) {
	l.t.Helper()
	l.within(90*time.Second, what, ask)
}

func (l *lab) within(limit time.Duration, what string, ask func() error) time.Duration {
	l.t.Helper()
	start := time.Now()
	late := time.After(limit)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask()
		if err == nil {
			return time.Since(start)
		}
		select {
		case <-tick.C:
		case <-late:
			l.t.Fatalf("waited %v in vain until %s: %v", limit, what, err)
		}
	}
}

// join makes a node that has joined.
func (l *lab) join(name, token string) {
	l.t.Helper()
	at := sites[name]
	router, bridge, _ := strings.Cut(at.net, "-")
	l.space(name)
	l.cable(router, bridge, "to"+name, name, "lan0")
	l.in(name, "ip", "addr", "add", at.address, "dev", "lan0")
	l.in(name, "ip", "route", "add", "default", "via", at.via)
	m := &machine{lab: l, name: name}
	l.nodes[name] = m
	l.in(name, filepath.Join(bin, "fernwerk-agent"), "join", token, "--data", m.data())
	f, err := os.OpenFile(filepath.Join(m.data(), "agent.conf"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	l.must(err)
	_, err = f.WriteString("\n[mesh]\nenabled = true\n")
	l.must(errors.Join(err, f.Close()))
	var id struct{ HostID string }
	text, err := os.ReadFile(filepath.Join(m.data(), "identity.json"))
	l.must(errors.Join(err, json.Unmarshal(text, &id)))
	m.host = id.HostID
}

func (m *machine) data() string { return filepath.Join(m.lab.dir, m.name) }

func (m *machine) start() {
	m.lab.t.Helper()
	m.agent = m.lab.start(m.name, m.name+".log", nil, filepath.Join(bin, "fernwerk-agent"), "run", "--data", m.data())
}

// up waits until the machine is in the mesh, with something that answers there.
func (m *machine) up() {
	m.lab.t.Helper()
	m.lab.await(m.name+" is in the mesh", func() error {
		s, err := m.status()
		if err == nil {
			m.address = s.Address.Addr()
		}
		return err
	})
	m.lab.start(m.name, m.name+"-answers.log", nil, os.Args[0], "inside", "answer", "7777")
}

// status is `fernwerk-agent mesh status`.
type status struct {
	Address netip.Prefix
	PID     int
	Peers   []peer
}

type peer struct{ Host, Address, Path, Via, Why string }

func (m *machine) status() (s status, err error) {
	cmd := exec.Command("ip", "netns", "exec", m.lab.prefix+m.name, filepath.Join(bin, "fernwerk-agent"), "mesh", "status", "--json", "--data", m.data())
	var errOut strings.Builder
	cmd.Stderr = &errOut
	out, err := cmd.Output()
	if err != nil {
		return s, fmt.Errorf("%w: %s", err, errOut.String())
	}
	return s, json.Unmarshal(out, &s)
}

// path says how a machine reaches another.
func (m *machine) path(to *machine) (peer, error) {
	s, err := m.status()
	i := slices.IndexFunc(s.Peers, func(p peer) bool { return p.Host == to.host })
	if err == nil && i < 0 {
		err = errors.New("no word of it")
	}
	if err != nil {
		return peer{}, err
	}
	return s.Peers[i], nil
}

// reaches talks to another machine, and returns what that calls itself.
func (m *machine) reaches(to *machine, from ...string) error {
	args := []string{"netns", "exec", m.lab.prefix + m.name, os.Args[0], "inside", "ask", to.address.String(), "rtt", "1"}
	out, err := exec.Command("ip", append(args, from...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s does not reach %s: %w %s", m.name, to.name, err, out)
	}
	return nil
}

// measure is the round trip and the throughput to another machine.
func (m *machine) measure(to *machine) (rtt time.Duration, mbits float64) {
	m.lab.t.Helper()
	us, err := strconv.ParseFloat(strings.TrimSpace(m.lab.in(m.name, os.Args[0], "inside", "ask", to.address.String(), "rtt", "200")), 64)
	m.lab.must(err)
	mbits, err = strconv.ParseFloat(strings.TrimSpace(m.lab.in(m.name, os.Args[0], "inside", "ask", to.address.String(), "copy", "64")), 64)
	m.lab.must(err)
	return time.Duration(us) * time.Microsecond, mbits
}

// hubBytes is what went through the hub's interface to the world.
func (l *lab) hubBytes() (sum int64) {
	l.t.Helper()
	for _, name := range []string{"tora", "torb", "torc"} {
		for _, way := range []string{"rx_bytes", "tx_bytes"} {
			text := l.in("hub", "cat", "/sys/class/net/"+name+"/statistics/"+way)
			n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
			l.must(err)
			sum += n
		}
	}
	return sum
}

func (l *lab) logs() {
	for _, pattern := range []string{"*.log", "*/mesh/mesh.log"} {
		files, _ := filepath.Glob(filepath.Join(l.dir, pattern))
		for _, f := range files {
			text, _ := os.ReadFile(f)
			l.t.Logf("%s:\n%s", f, text[max(0, len(text)-4000):])
		}
	}
}

// inside is what this binary does in a namespace.
func inside(args []string) error {
	switch {
	case args[0] == "answer":
		l, err := net.Listen("tcp", ":7777")
		if err != nil {
			return err
		}
		for {
			conn, err := l.Accept()
			if err != nil {
				return err
			}
			go serve(conn)
		}
	case args[0] == "ask" && len(args) >= 4:
		d := net.Dialer{Timeout: 6 * time.Second}
		if len(args) > 4 {
			d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(args[4])}
		}
		ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
		defer cancel()
		conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(args[1], "7777"))
		if err != nil {
			return err
		}
		defer conn.Close()
		n, err := strconv.Atoi(args[3])
		if err != nil {
			return err
		}
		return ask(conn, args[2], n)
	}
	return errors.New("nobody knows what to do")
}

// serve echoes lines; after "copy" it swallows the rest and says how much it was.
func serve(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		if line == "copy\n" {
			n, _ := io.Copy(io.Discard, r)
			fmt.Fprintf(conn, "%d\n", n)
			return
		}
		io.WriteString(conn, line)
	}
}

func ask(conn net.Conn, what string, n int) error {
	conn.SetDeadline(time.Now().Add(50 * time.Second))
	r := bufio.NewReader(conn)
	start := time.Now()
	if what == "copy" { // n MiB
		io.WriteString(conn, "copy\n")
		block := make([]byte, 1<<20)
		for range n {
			if _, err := conn.Write(block); err != nil {
				return err
			}
		}
		conn.(*net.TCPConn).CloseWrite()
		if _, err := r.ReadString('\n'); err != nil {
			return err
		}
		fmt.Printf("%.1f\n", float64(n)*8*1.048576/time.Since(start).Seconds())
		return nil
	}
	var took []time.Duration
	for range n {
		start := time.Now()
		io.WriteString(conn, "x\n")
		if _, err := r.ReadString('\n'); err != nil {
			return err
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	fmt.Println(took[len(took)/2].Microseconds())
	return nil
}
