// Package oar starts a private OAR server for tests: Almighty, its PostgreSQL, and an sshd that plays the
// nodes. It needs root and the packages that test/setup.sh installs.
//
// OAR is one to a machine: its tools are setuid programs that read /etc/oar/oar.conf and nothing else,
// Almighty listens on port 6666 of every address and believes whoever comes, the pid file has a fixed
// place. Therefore each server lives in namespaces of its own, in which those files are its own copies
// and the network is a loopback that nobody else sees: servers of several tests do not meet, and the
// machine's own OAR, if it has one, is not touched. A tool is run by [Server.Prefix] in front of it.
//
// The namespaces end with the process that started them, however that ends: their first process waits
// for the end of a pipe that only this process holds open, and takes all others with it.
package oar

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/test/require/postgres"
)

// User is who submits jobs.
const User = "fwjob"

// Server is a running OAR server.
type Server struct {
	Dir    string   // its own files
	Log    string   // file
	Prefix []string // argument vector that runs what follows it beside the server
	// Database can be stopped and started again.
	Database *postgres.Server

	hold io.Closer
	init *exec.Cmd
}

// Bin tells whether the programs are there.
func Bin() error {
	for _, file := range []string{"/usr/sbin/oar-server", "/usr/sbin/oarnodesetting", "/usr/bin/oarnodes", "/usr/bin/oarsub", "/etc/oar/oar.conf", "/etc/oar/sshd_config", "/usr/sbin/sshd", "/usr/bin/unshare", "/usr/bin/nsenter"} {
		if _, err := os.Stat(file); err != nil {
			return err
		}
	}
	_, err := postgres.Bin()
	return err
}

// rooms makes the files of its first argument, a folder, those of its namespaces. The first thing it says
// is its process id as the machine sees it: /proc is still the machine's.
const rooms = `
set -e
read -r pid _ </proc/self/stat
mount --make-rprivate /
mount -t proc proc /proc
for pair in etc:/etc/oar home:/var/lib/oar log:/var/log run:/run hosts:/etc/hosts passwd:/etc/passwd shadow:/etc/shadow; do
	mount --bind "$1/${pair%%:*}" "${pair#*:}"
done
ip link set lo up
echo "$pid"
while read -r _; do :; done
rm -rf "$1" # it holds copies of secrets
`

// Start makes a server in dir, a folder that is there and that all users may pass.
func Start(dir string) (*Server, error) {
	s := &Server{Dir: dir, Log: filepath.Join(dir, "log", "oar.log")}
	err := s.start()
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("cannot start the test's OAR: %w", err)
	}
	return s, nil
}

func (s *Server) start() (err error) {
	if s.Database, err = postgres.Start(); err != nil {
		return err
	}
	// OAR's user goes through to the socket.
	if err := os.Chmod(s.Database.Dir, 0o711); err != nil {
		return err
	}
	if err := s.files(); err != nil {
		return err
	}
	s.init = exec.Command("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "sh", "-c", rooms, "rooms", s.Dir)
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
	s.Prefix = []string{"nsenter", fmt.Sprint("--target=", pid), "--mount", "--net", "--pid", "--"}
	if _, err := s.Run("oar-database", "--create", "--db-type=Pg", "--db-host="+s.Database.Dir, "--db-port=5432", "--db-admin-user=postgres", "--db-admin-pass=x",
		"--db-user=oar", "--db-pass=oarpw", "--db-ro-user=oar_ro", "--db-ro-pass=oarropw", "--db-name=oar", "-y"); err != nil {
		return err
	}
	if err := s.daemon("/usr/sbin/sshd", "-f", "/etc/oar/sshd_config", "-o", "PidFile=none", "-E", filepath.Join(s.Dir, "log", "sshd")); err != nil {
		return err
	}
	return s.StartAlmighty()
}

var settings = regexp.MustCompile(`(?m)^(DB_HOSTNAME|DB_BASE_PASSWD|DB_BASE_PASSWD_RO|LOG_LEVEL|JOB_RESOURCE_MANAGER_PROPERTY_DB_FIELD|SCHEDULER_MIN_TIME_BETWEEN_2_CALLS)=.*$`)

// files copies what OAR reads and makes what it writes.
func (s *Server) files() error {
	script := `set -e; cd "$1"; umask 022
mkdir -p etc home log run/sshd run/oar job
cp -a /etc/oar/. etc/; cp -a /var/lib/oar/. home/
cp /etc/hosts /etc/passwd .; cp -p /etc/shadow .
: >log/oar.log; : >job/.bashrc
echo "$2:x:54321:54321::$1/job:/bin/bash" >>passwd; echo "$2:*:19000:0:99999:7:::" >>shadow
chown oar log/oar.log run/oar; chown 54321:54321 job job/.bashrc`
	if out, err := exec.Command("sh", "-c", script, "files", s.Dir, User).CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	conf := filepath.Join(s.Dir, "etc", "oar.conf")
	text, err := os.ReadFile(conf)
	if err != nil {
		return err
	}
	text = settings.ReplaceAll(text, []byte("# $0"))
	// No control groups: those of the machine are not the test's to change.
	text = fmt.Appendf(text, "\nDB_HOSTNAME=%q\nDB_BASE_PASSWD=\"oarpw\"\nDB_BASE_PASSWD_RO=\"oarropw\"\nLOG_LEVEL=\"3\"\n", s.Database.Dir)
	return os.WriteFile(conf, text, 0o600) // keeps its owner, oar
}

// Command is a program run beside the server, as root.
func (s *Server) Command(ctx context.Context, argv ...string) *exec.Cmd {
	argv = append(append([]string{}, s.Prefix...), argv...)
	return exec.CommandContext(ctx, argv[0], argv[1:]...)
}

// Run runs a program and returns what it printed.
func (s *Server) Run(argv ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := s.Command(ctx, argv...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("cannot run %s: %w\n%s%s", argv[0], err, &out, &errs)
	}
	return out.String(), nil
}

// daemon runs what goes on in the background. It gets no pipe: who waits for its
// end would wait for the daemon's.
func (s *Server) daemon(argv ...string) error {
	if err := s.Command(context.Background(), argv...).Run(); err != nil {
		return fmt.Errorf("cannot start %s: %w", argv[0], err)
	}
	return nil
}

// Submit runs oarsub as an ordinary user and returns the job's number.
func (s *Server) Submit(argv ...string) (string, error) {
	home := filepath.Join(s.Dir, "job")
	out, err := s.Run(append([]string{"setpriv", "--reuid=54321", "--regid=54321", "--clear-groups", "env", "-C", home,
		"PWD=" + home, "HOME=" + home, "USER=" + User, "oarsub"}, argv...)...)
	if err != nil {
		return "", err
	}
	_, id, ok := strings.Cut(out, "OAR_JOB_ID=")
	if !ok {
		return "", fmt.Errorf("oarsub names no job: %s", out)
	}
	id, _, _ = strings.Cut(id, "\n")
	return strings.TrimSpace(id), nil
}

// Node makes the sshd answer under a node's name and address.
func (s *Server) Node(name string, address netip.Addr) error {
	if err := s.Plug(address); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(s.Dir, "hosts"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = fmt.Fprintf(f, "%s %s\n", address, name)
	return err
}

// Plug gives the sshd an address, Unplug takes it away.
func (s *Server) Plug(address netip.Addr) error {
	_, err := s.Run("ip", "addr", "add", address.String()+"/32", "dev", "lo")
	return err
}

// Unplug is the end of a node: its address is gone, and so is what ran there for
// the jobs.
func (s *Server) Unplug(address netip.Addr, jobs ...string) error {
	if _, err := s.Run("ip", "addr", "del", address.String()+"/32", "dev", "lo"); err != nil {
		return err
	}
	for _, job := range jobs {
		// Its processes have its number in their environment. The process ids are those
		// of the namespace: nothing of the machine's is among them.
		if _, err := s.Run("sh", "-c", `for p in $(grep -lsz "^OAR_JOB_ID=$1\$" /proc/[0-9]*/environ | cut -d/ -f3) $(pgrep -f "[o]arexec.*[^0-9]$1\b"); do kill -KILL $p 2>/dev/null || :; done`, "end", job); err != nil {
			return err
		}
	}
	return nil
}

// StartAlmighty starts the server itself.
func (s *Server) StartAlmighty() error {
	if err := s.daemon("/usr/sbin/oar-server"); err != nil {
		return err
	}
	return until("Almighty listens", func() bool { return len(s.almighty()) > 0 && len(s.listeners()) > 0 })
}

// StopAlmighty ends it and its children, by their process ids. Modules that it started
// have its port too: as long as one is there the next Almighty would end at once.
func (s *Server) StopAlmighty() error {
	return until("Almighty has ended", func() bool {
		pids := append(s.almighty(), s.listeners()...)
		if len(pids) > 0 {
			s.Run(append([]string{"kill"}, pids...)...)
		}
		return len(pids) == 0
	})
}

// almighty are the processes of the server itself.
func (s *Server) almighty() (pids []string) {
	out, _ := s.Run("ps", "-eo", "pid=,stat=,args=")
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) > 2 && !strings.HasPrefix(f[1], "Z") && strings.Contains(line, "Almighty") {
			pids = append(pids, f[0])
		}
	}
	return pids
}

var users = regexp.MustCompile(`pid=([0-9]+)`)

// listeners are the processes that have its port, as its namespaces number them.
func (s *Server) listeners() (pids []string) {
	out, _ := s.Run("ss", "-Hltnp", "sport = :6666")
	for _, m := range users.FindAllStringSubmatch(out, -1) {
		pids = append(pids, m[1])
	}
	return pids
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
	if s.Database != nil {
		return s.Database.Close()
	}
	return nil
}
