package resolver

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"github.com/fernwerk/fernwerk/test/require"
)

// The tests here are of real resolvers, each in mount, network and process namespaces
// of its own: /run is empty, and resolv.conf is the test's. The package that has the
// resolver lies over the machine's files, and is not installed.
const inside = "FERNWERK_TEST_INSIDE"

// enter runs this test again in namespaces, where setup was done, and tells whether it
// is there.
func enter(t *testing.T, setup string) (there bool) {
	t.Helper()
	if os.Getenv(inside) == t.Name() {
		return true
	}
	require.Root(t)
	for _, tool := range []string{"unshare", "ip", "getent"} {
		require.Tool(t, tool)
	}
	cmd := exec.CommandContext(t.Context(), "unshare", "-m", "-n", "-p", "--fork", "--kill-child", "--mount-proc", "sh", "-ec", network+setup+`exec "$0" -test.v -test.run "^$1\$"`, os.Args[0], t.Name())
	cmd.Env = append(os.Environ(), inside+"="+t.Name(), "HOME=/")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

const network = `
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir /run/etc /run/work
cp -a /etc/. /run/etc/
mount --bind /run/etc /etc
rm -f /etc/resolv.conf
printf 'nameserver 192.0.2.53\nsearch home.test\n' > /etc/resolv.conf
ip link set lo up
ip link add tun0 type veth peer name far
ip addr add 10.134.0.7/16 dev tun0
ip link set tun0 up
ip link add fwmesh type veth peer name far2
ip link set fwmesh up
`

// over lays a package over /usr, and its configuration into /etc.
func over(t *testing.T, name string) string {
	if os.Getenv(inside) != "" {
		return ""
	}
	dir := require.Package(t, name)
	return fmt.Sprintf(`
for part in bin sbin lib; do
	for from in %[1]s/$part %[1]s/usr/$part; do
		[ ! -d $from ] || mount -t overlay over -o lowerdir=$from:/usr/$part /usr/$part
	done
done
cp -a %[1]s/etc/. /etc/
`, dir)
}

// farServer answers names of grid.test at the far end of tun0, and nobody else's.
func farServer(t *testing.T) {
	t.Helper()
	ready, open := make(chan int), make(chan error)
	var conn net.PacketConn
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Error(err)
		}
		ready <- unix.Gettid()
		<-ready
		for _, args := range [][]string{{"addr", "add", "10.134.0.1/16", "dev", "far"}, {"link", "set", "far", "up"}} {
			if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
				t.Errorf("%v: %v %s", args, err, out)
			}
		}
		var err error
		conn, err = net.ListenPacket("udp", "10.134.0.1:53")
		open <- err
	}()
	tid := <-ready
	if out, err := exec.Command("ip", "link", "set", "far", "netns", fmt.Sprint(tid)).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	ready <- 0
	if err := <-open; err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		a := new(dns.Msg)
		a.SetReply(q)
		a.RecursionAvailable = true
		if name := q.Question[0].Name; name == "box.grid.test." {
			if q.Question[0].Qtype == dns.TypeA {
				a.Answer = append(a.Answer, &dns.A{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}, A: net.ParseIP("10.134.7.38")})
			}
		} else {
			a.Rcode = dns.RcodeNameError
		}
		w.WriteMsg(a)
	})}
	go server.ActivateAndServe()
	t.Cleanup(func() { server.Shutdown() })
}

// names tells whether the machine finds a name, as the C library looks it up.
func names(t *testing.T, name string, found bool) {
	t.Helper()
	late := time.Now().Add(20 * time.Second)
	for {
		got, err := exec.Command("getent", "ahostsv4", name).CombinedOutput()
		if (err == nil && strings.HasPrefix(string(got), "10.134.7.38 ")) == found {
			return
		}
		if time.Now().After(late) {
			text, _ := os.ReadFile("/etc/resolv.conf")
			t.Fatalf("%s: %s %v\n%s", name, got, err, text)
		}
		<-time.After(50 * time.Millisecond)
	}
}

// theJob is the same for each resolver: a part is used, by its name and by its search
// domain, a second owner's beside it, once more after a death, and it is taken back.
func theJob(t *testing.T, way string) {
	farServer(t)
	if got := choose(Auto); got != way {
		t.Fatalf("%s is told", got)
	}
	r := Resolver{Dir: t.TempDir()}
	before, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		t.Fatal(err)
	}
	apply := func(p Part) {
		t.Helper()
		if by, err := r.Apply(t.Context(), Auto, p); by != way || err != nil {
			t.Fatalf("%q %v", by, err)
		}
	}
	apply(part("tunnel vpns", "tun0", "10.134.0.1", "grid.test"))
	names(t, "box.grid.test", true)
	names(t, "box", true)
	apply(part("mesh", "fwmesh", "192.0.2.66", "mesh.test"))
	names(t, "box", true)
	if by, err := r.Again(t.Context(), "tunnel vpns"); by != way || err != nil {
		t.Fatalf("%q %v", by, err)
	}
	if err := r.Remove(t.Context(), "mesh"); err != nil {
		t.Fatal(err)
	}
	names(t, "box", true)
	// An owner without domains, and without servers.
	apply(Part{Owner: "tunnel vpns", Device: "tun0", Servers: []netip.Addr{netip.MustParseAddr("10.134.0.1")}})
	names(t, "box.grid.test", true)
	names(t, "box", false)
	apply(Part{Owner: "tunnel vpns", Device: "tun0", Search: []string{"grid.test"}})
	// Whoever noted it died before it was told, or its device has gone meanwhile.
	for _, p := range []Noted{{part("tunnel b", "tun0", "10.134.0.9"), way}, {part("tunnel c", "gone0", "10.134.0.9"), way}} {
		s, err := r.load()
		if err != nil {
			t.Fatal(err)
		}
		s.put(p)
		if err := r.save(s); err != nil {
			t.Fatal(err)
		}
	}
	for _, owner := range []string{"tunnel vpns", "tunnel b", "tunnel c"} {
		if err := r.Remove(t.Context(), owner); err != nil {
			t.Fatal(err)
		}
	}
	names(t, "box.grid.test", false)
	if after, err := os.ReadFile("/etc/resolv.conf"); err != nil || string(after) != string(before) {
		t.Errorf("%v: it was\n%s\nand is\n%s", err, before, after)
	}
}

func TestReal_File(t *testing.T) {
	if enter(t, "rm -f /usr/sbin/nothing\n") {
		theJob(t, File)
	}
}

func TestReal_Openresolv(t *testing.T) {
	if enter(t, over(t, "openresolv")+"printf 'nameserver 192.0.2.53\\nsearch home.test\\n' | resolvconf -a eth0\n") {
		theJob(t, Resolvconf)
	}
}

func TestReal_DebianResolvconf(t *testing.T) {
	if enter(t, over(t, "resolvconf")+`
mkdir -p /run/resolvconf/interface
touch /run/resolvconf/enable-updates
ln -sf ../run/resolvconf/resolv.conf /etc/resolv.conf
printf 'nameserver 192.0.2.53\nsearch home.test\n' | resolvconf -a eth0
`) {
		theJob(t, Resolvconf)
	}
}

func TestReal_Resolved(t *testing.T) {
	if os.Getenv(inside) == "" {
		require.Tool(t, "dbus-daemon")
	}
	if enter(t, over(t, "systemd-resolved")+`
echo systemd-resolve:x:992:992::/:/usr/sbin/nologin >> /etc/passwd
echo systemd-resolve:x:992: >> /etc/group
mkdir -p /run/dbus /run/systemd/resolve /run/systemd/netif/links
chown 992:992 /run/systemd/resolve
printf '[Resolve]\nDNS=127.0.0.77\nFallbackDNS=\nMulticastDNS=no\nLLMNR=no\nDNSSEC=no\n' > /etc/systemd/resolved.conf
cat > /run/bus.conf <<'END'
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="*"/><allow receive_type="*"/><allow send_destination="*"/></policy></busconfig>
END
dbus-daemon --config-file=/run/bus.conf --fork --nopidfile
ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf
/usr/lib/systemd/systemd-resolved >/run/resolved.log 2>&1 &
until resolvectl status >/dev/null 2>&1; do sleep 0.1; done
`) {
		theJob(t, Resolvectl)
	}
}

// The process is killed again and again, where resolv.conf can be replaced and where it
// is mounted and only its content can be another: the next one finds what others wrote.
func TestReal_Killed(t *testing.T) {
	if os.Getenv("FERNWERK_TEST_VICTIM") != "" {
		r := Resolver{Dir: os.Getenv("FERNWERK_TEST_VICTIM"), Path: filepath.Join(os.Getenv("FERNWERK_TEST_VICTIM"), "resolv.conf")}
		for i := 0; ; i++ {
			p := part("tunnel vpns", "tun0", "10.134.0.1", strings.Repeat("x", 1+i%60)+".test")
			if _, err := r.Apply(t.Context(), File, p); err != nil {
				t.Fatal(err)
			}
			if i%3 == 2 {
				if err := r.Remove(t.Context(), p.Owner); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if !enter(t, "") {
		return
	}
	for _, mounted := range []bool{false, true} {
		m := newMachine(t)
		if mounted {
			if out, err := exec.Command("mount", "--bind", m.Path, m.Path).CombinedOutput(); err != nil {
				t.Fatalf("%v %s", err, out)
			}
			t.Cleanup(func() { exec.Command("umount", m.Path).Run() })
		}
		noted := 0
		for range 40 {
			cmd := exec.Command(os.Args[0], "-test.run", "^TestReal_Killed$")
			cmd.Env = append(os.Environ(), "FERNWERK_TEST_VICTIM="+m.Dir)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			<-time.After(20*time.Millisecond + rand.N(60*time.Millisecond))
			cmd.Process.Kill()
			cmd.Wait()
			if s, err := m.load(); err != nil {
				t.Fatal(err)
			} else if s.Writing != nil {
				noted++
			}
			if others(m.is()) != own { // then it is torn, and that is known
				t.Logf("a death left %q", m.is())
			}
			if _, err := m.Again(t.Context(), "tunnel vpns"); err != nil {
				t.Fatal(err)
			}
			m.remove("tunnel vpns")
			if m.is() != own {
				t.Fatalf("mounted %v: %q", mounted, m.is())
			}
		}
		t.Logf("mounted %v: %d deaths in the middle of the writing", mounted, noted)
	}
}
