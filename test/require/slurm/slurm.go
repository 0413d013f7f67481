// Package slurm starts a private Slurm for tests: munge, slurmctld, and a slurmd
// a node, each node in a network of its own that a bridge joins. It needs root
// and the packages that test/setup.sh installs.
//
// As with package oar, everything lives in namespaces that end with the process
// that started them.
package slurm

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Server is a running Slurm.
type Server struct {
	Dir    string
	Prefix []string // argument vector that runs what follows it beside the server

	hold io.Closer
	init *exec.Cmd
	nets int
}

// Bin tells whether the programs are there.
func Bin() error {
	for _, file := range []string{"/usr/sbin/slurmctld", "/usr/sbin/slurmd", "/usr/bin/scontrol", "/usr/sbin/munged", "/usr/bin/unshare", "/usr/bin/nsenter"} {
		if _, err := os.Stat(file); err != nil {
			return err
		}
	}
	return nil
}

const configuration = `ClusterName=test
SlurmctldHost=hub(10.134.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
SlurmctldPidFile=%[1]s/slurmctld.pid
SlurmdPidFile=%[1]s/slurmd.%%n.pid
StateSaveLocation=%[1]s/state
SlurmdSpoolDir=%[1]s/state/%%n
SlurmctldLogFile=%[1]s/slurmctld.log
SlurmdLogFile=%[1]s/slurmd.%%n.log
SelectType=select/cons_tres
MaxNodeCount=1000
TreeWidth=65533
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
ReturnToService=2
SwitchType=switch/none
MpiDefault=none
PartitionName=all Nodes=ALL Default=YES
`

const rooms = `
set -e
read -r pid _ </proc/self/stat
mount --make-rprivate /
mount -t proc proc /proc
hostname hub
mount -t tmpfs none /run
mkdir /run/munge /run/netns
chown munge /run/munge
mount --bind "$1/munge" /etc/munge
mount --bind "$1/etc" /etc/slurm
mount --bind "$1/hosts" /etc/hosts
ip link set lo up
ip link add br0 type bridge
ip addr add 10.134.0.1/16 dev br0
ip link set br0 up
su -s /bin/sh munge -c '/usr/sbin/munged --log-file="$0/log" --seed-file="$0/seed"' "$1/munge" >/dev/null 2>&1 </dev/null
slurmctld >/dev/null 2>&1 </dev/null
echo "$pid"
while read -r _; do :; done
rm -rf "$1" # it holds copies of secrets
`

// Start makes a server in dir, a folder that is there and that all users may pass.
func Start(dir string) (*Server, error) {
	s := &Server{Dir: dir}
	if err := s.start(); err != nil {
		s.Close()
		return nil, fmt.Errorf("cannot start the test's Slurm: %w", err)
	}
	return s, nil
}

func (s *Server) start() (err error) {
	script := `set -e; cd "$1"; umask 022; mkdir etc state munge; cp /etc/hosts .; echo 10.134.0.1 hub >>hosts
dd if=/dev/urandom of=munge/munge.key bs=1 count=128 2>/dev/null; chmod 400 munge/munge.key; chmod 700 munge; chown -R munge munge`
	if out, err := exec.Command("sh", "-c", script, "files", s.Dir).CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	if err := os.WriteFile(filepath.Join(s.Dir, "etc", "slurm.conf"), fmt.Appendf(nil, configuration, s.Dir), 0o644); err != nil {
		return err
	}
	s.init = exec.Command("unshare", "--uts", "--mount", "--net", "--pid", "--fork", "--kill-child", "sh", "-c", rooms, "rooms", s.Dir)
	if s.hold, err = s.init.StdinPipe(); err != nil {
		return err
	}
	said, err := s.init.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.init.Start(); err != nil {
		return err
	}
	var pid int
	if _, err := fmt.Fscan(said, &pid); err != nil {
		return fmt.Errorf("no namespaces: %w", err)
	}
	s.Prefix = []string{"nsenter", fmt.Sprint("--target=", pid), "--uts", "--mount", "--net", "--pid", "--"}
	return s.ready()
}

func (s *Server) ready() error {
	return until("slurmctld answers", func() bool {
		out, err := s.Run("scontrol", "ping")
		return err == nil && strings.Contains(out, "is UP")
	})
}

// Run runs a program beside the server and returns what it printed. A daemon
// must not hold its output.
func (s *Server) Run(argv ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	argv = append(append([]string{}, s.Prefix...), argv...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("cannot run %s: %w\n%s", argv[len(s.Prefix)], err, out)
	}
	return string(out), nil
}

// Node starts a node's slurmd, which registers by itself.
func (s *Server) Node(name string, address netip.Addr) error {
	s.nets++
	script := `set -e
ip netns add "$1"
ip link add "v$1" type veth peer name eth0 netns "$1"
ip link set "v$1" master br0
ip link set "v$1" up
ip -n "$1" link set lo up
ip -n "$1" link set eth0 up
ip -n "$1" addr add "$3/16" dev eth0
nsenter --net="/run/netns/$1" slurmd -Z -N "$2" -b --conf "CPUs=1 RealMemory=100" >/dev/null 2>&1 </dev/null`
	if _, err := s.Run("sh", "-c", script, "node", fmt.Sprint("n", s.nets), name, address.String()); err != nil {
		return err
	}
	return until(name+" registers", func() bool {
		out, err := s.Run("scontrol", "-o", "show", "node", name)
		return err == nil && strings.Contains(out, "NodeName="+name+" ")
	})
}

// Configure sets lines of slurm.conf, and restarts slurmctld.
func (s *Server) Configure(lines ...string) error {
	path := filepath.Join(s.Dir, "etc", "slurm.conf")
	was, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	said := map[string]bool{}
	for _, line := range lines {
		key, _, _ := strings.Cut(line, "=")
		said[key] = key != "PartitionName" && key != "NodeSet" // of those there are several
	}
	var text strings.Builder
	for line := range strings.Lines(string(was)) {
		if key, _, _ := strings.Cut(line, "="); !said[key] {
			text.WriteString(line)
		}
	}
	text.WriteString(strings.Join(lines, "\n") + "\n")
	if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
		return err
	}
	return s.Restart()
}

// Rekey makes another munge key, and restarts munged and slurmctld.
func (s *Server) Rekey() error {
	_, err := s.Run("sh", "-ec", `dd if=/dev/urandom of="$1/munge/munge.key" bs=1 count=128 2>/dev/null
kill "$(cat /run/munge/munged.pid)"
while [ -e /run/munge/munged.pid ]; do sleep 0.1; done
su -s /bin/sh munge -c '/usr/sbin/munged --log-file="$0/log" --seed-file="$0/seed"' "$1/munge" >/dev/null 2>&1 </dev/null`, "rekey", s.Dir)
	if err != nil {
		return err
	}
	return s.Restart()
}

// Restart ends slurmctld by its process id, and starts it again.
func (s *Server) Restart() error {
	if _, err := s.Run("sh", "-c", `pid=$(cat "$1/slurmctld.pid") && kill "$pid" && while read -r _ _ state _ <"/proc/$pid/stat" && [ "$state" != Z ]; do sleep 0.1; done 2>/dev/null; slurmctld >/dev/null 2>&1 </dev/null`, "restart", s.Dir); err != nil {
		return err
	}
	return s.ready()
}

func until(what string, done func() bool) error {
	for late := time.Now().Add(30 * time.Second); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(late) {
			return fmt.Errorf("not within 30 s: %s", what)
		}
	}
	return nil
}

// Close ends everything.
func (s *Server) Close() error {
	if s.hold != nil {
		s.hold.Close()
		if s.init.Process != nil {
			s.init.Wait()
		}
	}
	return nil
}
