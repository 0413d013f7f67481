package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/test/require"
)

// The seed's send_root_key: a moment after a node came up in the tunnel, root of the
// hub logs in on it by its name, with the real ssh, which knows the node's key from
// fernwerk. The node believes signed lists only. Taken back, the key opens nothing.
func TestRootKey(t *testing.T) {
	t.Parallel() // it mostly waits, in networks of its own
	for _, tool := range []string{"ssh", "ssh-keygen"} {
		require.Tool(t, tool)
	}
	const sshd = "/usr/sbin/sshd"
	if _, err := os.Stat(sshd); err != nil {
		require.Tool(t, "sshd")
	}
	n := newTunnelNet(t, "a")
	n.configure("[dns]\nzone = \"grid.test\"\nlisten = \":53\"\n")
	n.serve()
	n.nodeType()
	trust := filepath.Join(n.dir, "trust")
	n.mustTool("trust", "init", trust, "--root-keys", "1", "--threshold", "1")
	n.mustTool("trust", "publish", trust)
	key, known := filepath.Join(n.dir, "id"), filepath.Join(n.dir, "known")
	n.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "root@hub", "-f", key)
	n.mustTool("root-key", "set", "vnode", "--from", key+".pub")
	n.mustTool("trust", "publish", trust)

	// The node: what it has of its own, and its SSH server.
	root := filepath.Join(n.dir, "a.root")
	for _, dir := range []string{"", "etc", "etc/ssh", "root"} {
		must(t, os.Mkdir(filepath.Join(root, dir), 0o755))
	}
	hostKey := filepath.Join(root, "etc/ssh/ssh_host_ed25519_key")
	n.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", hostKey)
	conf := filepath.Join(n.dir, "sshd_config")
	// StrictModes looks at /tmp as well, which everybody may write.
	must(t, os.WriteFile(conf, fmt.Appendf(nil, "HostKey %s\nAuthorizedKeysFile %s/root/.ssh/authorized_keys\nPermitRootLogin prohibit-password\nPasswordAuthentication no\nUsePAM no\nStrictModes no\nPidFile none\n", hostKey, root), 0o600))
	serve := func() *exec.Cmd {
		cmd := n.enter(t.Context(), "a", "unshare", "-m", "-u", "sh", "-ec", `hostname box-a; mount -t tmpfs none /run; mkdir /run/sshd; exec "$0" -D -e -f "$1"`, sshd, conf)
		n.background(cmd, "sshd.log")
		return cmd
	}
	daemon := serve()
	id := n.join("a")
	must(t, os.WriteFile(filepath.Join(n.data("a"), "agent.conf"), []byte("[files]\nroot = "+root+"\n"), 0o600))
	n.start("a")
	n.agentDo("a", "tunnel", "up", "vpns", "--wait", "--timeout", "20s")
	began := time.Now()
	octets := strings.Split(n.status("a").Address, ".")
	name := fmt.Sprintf("vnode-%s-%s.grid.test", octets[2], octets[3])
	resolv := filepath.Join(n.dir, "hub.resolv")
	must(t, os.WriteFile(resolv, []byte("nameserver 127.0.0.1\n"), 0o644))
	ssh := func() (string, error) {
		out, err := n.enter(t.Context(), "hub", "unshare", "-m", "sh", "-ec", `mount --bind "$0" /etc/resolv.conf; exec "$@"`, resolv,
			"ssh", "-F", "none", "-i", key, "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", "-o", "StrictHostKeyChecking=yes",
			"-o", "UserKnownHostsFile="+known, "-o", "GlobalKnownHostsFile=none", "root@"+name, "hostname").CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	knows := func() string { n.mustTool("known-hosts", "--output", known); return n.run("cat", known) }
	n.until(time.Minute, "the node's keys are known", func() bool { return strings.Contains(knows(), name+",") })
	last := ""
	n.until(time.Minute, "root of the hub logs in", func() bool {
		out, err := ssh()
		if last = out; err != nil && time.Since(began) > 50*time.Second {
			t.Logf("ssh: %v %s", err, out)
		}
		return err == nil
	})
	if last != "box-a" {
		t.Errorf("ssh led to %q", last)
	}
	t.Logf("ssh root@%s works %.1f s after the tunnel is up", name, time.Since(began).Seconds())
	if out := n.mustTool("node-file", "status", "vnode"); !strings.Contains(out, id) || !strings.Contains(out, "in place") {
		t.Error(out)
	}
	if out := n.agentDo("a", "files", "list"); !strings.Contains(out, "only a list that was signed offline counts") {
		t.Error(out)
	}
	if line := strings.Fields(knows())[0]; line != name+","+strings.Join(octets, ".")+","+id {
		t.Errorf("known as %s", line)
	}

	// Another key of the node: ssh refuses until the node told of it.
	must(t, daemon.Process.Kill())
	daemon.Wait()
	must(t, os.Remove(hostKey))
	n.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", hostKey)
	serve()
	n.until(20*time.Second, "ssh refuses the key", func() bool {
		out, err := ssh()
		return err != nil && strings.Contains(out, "Host key verification failed")
	})
	n.agentDo("a", "files", "now")
	n.until(time.Minute, "the new key is known", func() bool {
		knows()
		out, err := ssh()
		return err == nil && out == "box-a"
	})

	n.mustTool("root-key", "remove", "vnode", "--yes")
	n.mustTool("trust", "publish", trust)
	n.agentDo("a", "files", "now")
	n.until(time.Minute, "the key opens nothing", func() bool {
		out, err := ssh()
		return err != nil && strings.Contains(out, "Permission denied")
	})
	if _, err := os.Stat(filepath.Join(root, "root/.ssh/authorized_keys")); !os.IsNotExist(err) {
		t.Error("the file that was made for the key stays", err)
	}
}
