//go:build unix

package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// supervisor runs the server until the pipe on its standard input ends; words on it stop the
// server at once and start it again. Its arguments are the folder and the server's command line; no
// data is part of the script.
const supervisor = `
dir=$1; shift
"$@" </dev/null & server=$!
trap '' INT TERM HUP
while read -r word; do
	case $word in
	stop) kill -QUIT "$server"; wait "$server" ;;
	start) "$@" </dev/null & server=$! ;;
	esac
done
kill -QUIT "$server"
wait "$server"
rm -rf "$dir"
`

const patience = 60 * time.Second

// Start makes a cluster and returns when it answers, after about two seconds.
func Start() (*Server, error) {
	bin, err := Bin()
	if err != nil {
		return nil, err
	}
	owner, err := owner()
	if err != nil {
		return nil, err
	}
	// Not os.TempDir: the path of a Unix socket has room for about 100 bytes.
	dir, err := os.MkdirTemp("/tmp", "fernwerk-postgres-")
	if err != nil {
		return nil, fmt.Errorf("cannot make a folder for the test PostgreSQL: %w", err)
	}
	s, err := start(bin, dir, owner)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return s, nil
}

func start(bin, dir string, owner *syscall.Credential) (*Server, error) {
	if owner != nil {
		if err := os.Chown(dir, int(owner.Uid), int(owner.Gid)); err != nil {
			return nil, err
		}
	}
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "--pgdata="+data, "--auth=trust", "--username=postgres",
		"--no-sync", "--encoding=UTF8", "--locale=C", "--locale-provider=icu", "--icu-locale=en-US")
	initdb.Dir = dir
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: owner}
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, failed("initialise", err, out)
	}

	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command("/bin/sh", "-c", supervisor, "supervisor", dir,
		filepath.Join(bin, "postgres"), "-D", data, "-k", dir,
		"-c", "listen_addresses=", "-c", "fsync=off", "-c", "full_page_writes=off",
		"-c", "max_connections=300", "-c", "shared_buffers=64MB")
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = log, log // not ours: go test waits for whoever holds them
	// A group of its own, so that Ctrl-C reaches the tests first and the server ends after them.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: owner, Setpgid: true}
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &Server{
		URL:  "postgres:///postgres?" + url.Values{"host": {dir}, "user": {"postgres"}}.Encode(),
		Dir:  dir,
		tell: func(word string) error { _, err := io.WriteString(pipe, word+"\n"); return err },
		stop: func() error {
			pipe.Close()
			if err := cmd.Wait(); err != nil {
				return fmt.Errorf("cannot stop the test PostgreSQL: %w", err)
			}
			return os.RemoveAll(dir) // the empty folder itself, where its owner may not delete it
		},
	}
	if err := answers(s.URL); err != nil {
		words, _ := os.ReadFile(log.Name())
		s.stop()
		return nil, failed("start", err, words)
	}
	return s, nil
}

// Interrupt stops the server, as a crash does, until Resume. Whoever is connected loses that.
func (s *Server) Interrupt() error {
	if err := s.tell("stop"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, s.URL)
		if err != nil {
			return ctx.Err()
		}
		conn.Close(ctx)
	}
}

// Resume starts the server again, with its data, and waits until it answers.
func (s *Server) Resume() error {
	if err := s.tell("start"); err != nil {
		return err
	}
	return answers(s.URL)
}

// answers waits until the server takes a connection and is done with starting up.
func answers(server string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, server)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no answer within %v: %w", patience, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// owner is whom the server runs as: nil for the caller, an unprivileged user for root, because
// postgres refuses to run as root.
func owner() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			continue
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			continue
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("cannot start the test PostgreSQL: root may not run it, and there is no user postgres or nobody")
}
