// Package samba starts a private Samba server for tests: one share, read only,
// on a port of the loopback, with one account.
//
// All that it writes lies in a folder of its own. It ends with the process that
// started it, however that ends: a small supervisor waits for the end of a pipe
// that only this process holds open.
package samba

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Server is a running Samba server.
type Server struct {
	Address  string // host:port
	Share    string // its name
	User     string
	Password string
	Log      string // file

	hold io.Closer
	cmd  *exec.Cmd
}

// URL is the share's address as a depot's depotRemoteUrl has it.
func (s *Server) URL() string { return "smb://" + s.Address + "/" + s.Share }

// Bin finds the programs.
func Bin() (string, error) {
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin", "/usr/bin"} {
		if _, err := os.Stat(filepath.Join(dir, "smbd")); err == nil {
			return dir, nil
		}
	}
	return exec.LookPath("smbd")
}

const configuration = `[global]
server role = standalone server
security = user
map to guest = never
username map = %[1]s/users
private dir = %[1]s/private
lock directory = %[1]s/lock
state directory = %[1]s/state
cache directory = %[1]s/cache
pid directory = %[1]s/pid
ncalrpc dir = %[1]s/ncalrpc
log file = %[1]s/log
interfaces = 127.0.0.1
bind interfaces only = yes
smb ports = %[2]s
disable netbios = yes
load printers = no
server signing = mandatory
server smb encrypt = desired
server min protocol = SMB2_10
%[4]s
[depot]
path = %[3]s
read only = yes
`

// Start shares a folder. dir is for the server's own files; more are lines of
// [global]. It needs root.
func Start(dir, folder string, more ...string) (*Server, error) {
	// Another process may take the port between here and there; then the server
	// does not get ready, which is an error.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Server{Address: l.Addr().String(), Share: "depot", User: "pcpatch", Password: "Linux 123", Log: filepath.Join(dir, "log")}
	l.Close()
	_, port, _ := net.SplitHostPort(s.Address)
	for _, sub := range []string{"private", "lock", "state", "cache", "pid", "ncalrpc"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, err
		}
	}
	conf := filepath.Join(dir, "smb.conf")
	text := fmt.Sprintf(configuration, dir, port, folder, strings.Join(more, "\n"))
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "users"), []byte("root = pcpatch\n"), 0o600); err != nil {
		return nil, err
	}
	add := exec.Command("smbpasswd", "-c", conf, "-a", "-s", "root")
	add.Stdin = strings.NewReader(s.Password + "\n" + s.Password + "\n")
	if out, err := add.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("cannot make the share's account: %w\n%s", err, out)
	}
	bin, err := Bin()
	if err != nil {
		return nil, err
	}
	// The pipe ends with this process; then the server and its children do, which
	// are a process group of their own: it signals all of its group at its end.
	s.cmd = exec.Command("sh", "-c", `"$0" -F -s "$1" </dev/null >"$2.out" 2>&1 3<&- & pid=$!; read -r _; kill $pid; wait $pid`,
		filepath.Join(bin, "smbd"), conf, s.Log)
	hold, err := s.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	s.hold = hold
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start Samba: %w", err)
	}
	for late := time.Now().Add(30 * time.Second); ; {
		if conn, err := net.Dial("tcp", s.Address); err == nil {
			conn.Close()
			return s, nil
		}
		if time.Now().After(late) {
			s.Close()
			log, _ := os.ReadFile(s.Log)
			return nil, fmt.Errorf("the test's Samba does not get ready\n%s", log)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Close stops the server.
func (s *Server) Close() error {
	s.hold.Close()
	s.cmd.Wait()
	return nil
}
