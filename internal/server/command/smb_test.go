package command_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/test/require"
)

// A real Samba serves the depot with what the command printed: read only, with
// the one account, and without what is the server's own.
func TestSambaServesTheDepot(t *testing.T) {
	require.Root(t) // smbd takes on the user who owns the files
	smbd, testparm, smbpasswd, smbclient := require.Tool(t, "smbd"), require.Tool(t, "testparm"), require.Tool(t, "smbpasswd"), require.Tool(t, "smbclient")
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	for name, text := range map[string]string{
		"depot/office/setup.sh": "echo office", "depot/office/sub/Ärger %20#.txt": "odd name", "depot/office/.hidden": "a product's own",
		"depot/.manifests/office-1": "no client's business", "depot/.staging/x/tree/half": "half", "ca/ca.key": "secret", "depot/.lock": "",
	} {
		path := filepath.Join(data, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{"depot/office/inside": "setup.sh", "depot/office/outside": "../../ca/ca.key"} {
		if err := os.Symlink(target, filepath.Join(data, link)); err != nil {
			t.Fatal(err)
		}
	}
	printed := fernwerkd(t, "depot", "smb-conf", "--data", data, "--user", me.Username)
	share := filepath.Join(dir, "fernwerk.conf")
	write(t, share, printed)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := fmt.Sprint(listener.Addr().(*net.TCPAddr).Port)
	listener.Close()
	conf := filepath.Join(dir, "smb.conf")
	text := "[global]\nserver role = standalone server\ninterfaces = 127.0.0.1\nbind interfaces only = yes\nsmb ports = " + port + "\ndisable netbios = yes\nload printers = no\nlog file = " + filepath.Join(dir, "log") + "\n"
	for _, name := range []string{"private dir", "lock directory", "state directory", "cache directory", "pid directory", "ncalrpc dir"} {
		folder := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		text += name + " = " + folder + "\n"
	}
	write(t, conf, text+"include = "+share+"\n")
	out, err := exec.Command(testparm, "-s", conf).CombinedOutput()
	if err != nil || strings.Contains(string(out), "Unknown parameter") || strings.Contains(string(out), "WARNING") || !strings.Contains(string(out), "[opsi_depot]") {
		t.Fatalf("testparm: %v\n%s", err, out)
	}
	add := exec.Command(smbpasswd, "-c", conf, "-a", "-s", me.Username)
	add.Stdin = strings.NewReader("right\nright\n")
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("smbpasswd: %v\n%s", err, out)
	}
	server := exec.Command(smbd, "-F", "--no-process-group", "-s", conf)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Process.Kill(); server.Wait() })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ask := func(password, command string) (string, error) {
		c := exec.CommandContext(ctx, smbclient, "//127.0.0.1/opsi_depot", "-p", port, "-s", conf, "-U", me.Username+"%"+password, "-c", command)
		c.Dir = dir
		out, err := c.CombinedOutput()
		return string(out), err
	}
	for { // until it listens
		if conn, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
			conn.Close()
			break
		}
		select {
		case <-ctx.Done():
			t.Fatal("smbd does not listen")
		case <-time.After(20 * time.Millisecond):
		}
	}
	for name, want := range map[string]string{`office\setup.sh`: "echo office", `office\inside`: "echo office", `office\.hidden`: "a product's own", `office\sub\Ärger %20#.txt`: "odd name"} {
		if out, err := ask("right", `get "`+name+`" got`); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
			continue
		}
		if got, err := os.ReadFile(filepath.Join(dir, "got")); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if out, err := ask("right", "ls"); err != nil || strings.Contains(out, ".staging") || strings.Contains(out, ".manifests") || !strings.Contains(out, "office") {
		t.Errorf("ls: %v\n%s", err, out)
	}
	for _, command := range []string{`get .manifests\office-1 got`, `get office\outside got`, `get ..\ca\ca.key got`, `put smb.conf office\new`, `del office\setup.sh`, `mkdir new`} {
		if out, err := ask("right", command); err == nil && !strings.Contains(out, "NT_STATUS_") {
			t.Errorf("%s: %s", command, out)
		}
	}
	if _, err := os.Stat(filepath.Join(data, "depot", "office", "setup.sh")); err != nil {
		t.Error(err)
	}
	if out, err := ask("wrong", "ls"); err == nil {
		t.Errorf("a wrong password: %s", out)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// fernwerkd runs the program of this test.
func fernwerkd(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "COMMAND_TEST=run")
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("fernwerkd %v: %v\n%s", args, err, &problems)
	}
	return string(out)
}

func TestMain(m *testing.M) {
	if os.Getenv("COMMAND_TEST") != "" {
		os.Exit(program())
	}
	os.Exit(m.Run())
}
