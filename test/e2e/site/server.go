package site

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/pin"
)

// Password is the first administrator's.
const Password = "not-a-secret-here"

// Server is a fernwerkd with its data folder. It keeps its address over starts.
type Server struct {
	Programs Programs
	Data     string
	Listen   string // HOST:PORT; a free port of the loopback interface at the first start if ""
	Log      string // file that takes what it writes to stderr
	Config   string // configuration file; none if ""

	proc  *process
	admin *rpc.Client
}

// Start starts the server and waits until it serves.
func (s *Server) Start(ctx context.Context) error {
	if s.Listen == "" {
		s.Listen = "127.0.0.1:0"
	}
	argv := []string{s.Programs.Path("fernwerkd"), "serve", "--data", s.Data, "--listen", s.Listen}
	if s.Config != "" {
		argv = append(argv, "--config", s.Config)
	}
	proc, url, err := begin(ctx, s.Log, []string{"FERNWERK_ADMIN_PASSWORD=" + Password}, argv...)
	if err != nil {
		return err
	}
	s.proc, s.Listen = proc, strings.TrimPrefix(url, "https://")
	ca, err := os.ReadFile(s.CAFile())
	if err != nil {
		return err
	}
	cfg, err := pin.Config("127.0.0.1", ca, "")
	if err != nil {
		return err
	}
	s.admin, err = rpc.NewClient(rpc.Options{URL: s.URL(), User: "admin", TLS: cfg, UserAgent: "fernwerk-site",
		Password: func(context.Context) (string, error) { return Password, nil }})
	return err
}

// URL is where the server answers, without the line.
func (s *Server) URL() string { return "https://" + s.Listen }

// CAFile is the certificate authority's certificate.
func (s *Server) CAFile() string { return filepath.Join(s.Data, "ca", "ca.pem") }

// Alive tells whether the server's process runs.
func (s *Server) Alive() bool { return s.proc.alive() }

// PID is the server's process.
func (s *Server) PID() int { return s.proc.cmd.Process.Pid }

// Kill ends the server without a word.
func (s *Server) Kill() { s.proc.kill() }

// Stop asks the server to end, and fails if it does not do so in time and with
// status 0.
func (s *Server) Stop(within time.Duration) error {
	if err := s.proc.stop(within); err != nil {
		return fmt.Errorf("cannot stop the server: %w", err)
	}
	return nil
}

// Call calls a method as the administrator, not over the line.
func (s *Server) Call(ctx context.Context, method string, args ...any) (any, error) {
	return s.admin.Call(ctx, methods.Actor{}, method, methods.Pos(args...))
}

// Rows calls a method that answers with objects.
func (s *Server) Rows(ctx context.Context, method string, args ...any) ([]fleet.Row, error) {
	v, err := s.Call(ctx, method, args...)
	if err != nil {
		return nil, err
	}
	return rpc.Rows(v)
}

// Fingerprint is the SHA-256 of the certificate authority.
func (s *Server) Fingerprint() (string, error) {
	data, err := os.ReadFile(s.CAFile())
	if err != nil {
		return "", err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return "", errors.New("the server's authority is no certificate")
	}
	sum := sha256.Sum256(block.Bytes)
	return hex.EncodeToString(sum[:]), nil
}

// Command runs the administrator's command line against the server.
func (s *Server) Command(ctx context.Context, args ...string) (string, error) {
	out, errOut, code, err := s.Programs.Run(ctx, s.Env(), "fernwerk", args...)
	if err == nil && code != 0 {
		err = fmt.Errorf("status %d: %s", code, strings.TrimSpace(errOut))
	}
	if err != nil {
		return "", fmt.Errorf("cannot run fernwerk %s: %w", strings.Join(args, " "), err)
	}
	return out, nil
}

// Env is the environment in which the command line is the administrator's.
func (s *Server) Env() []string {
	return []string{"FERNWERK_SERVER=" + s.URL(), "FERNWERK_USER=admin", "FERNWERK_PASSWORD=" + Password, "FERNWERK_CA=" + s.CAFile()}
}

// Install builds a package of a source folder (OPSI, CLIENT_DATA) and installs
// it.
func (s *Server) Install(ctx context.Context, source string) error {
	dir, err := os.MkdirTemp("", "fernwerk-package-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if _, err := s.Command(ctx, "package", "build", source, "-o", dir); err != nil {
		return err
	}
	built, err := filepath.Glob(filepath.Join(dir, "*.opsi"))
	if err != nil || len(built) != 1 {
		return fmt.Errorf("package build made %d packages (%w)", len(built), err)
	}
	_, err = s.Command(ctx, "package", "install", built[0])
	return err
}

// AddHost makes a client and returns the one-time password that it can join
// with.
func (s *Server) AddHost(ctx context.Context, id string) (password string, err error) {
	sum := sha256.Sum256([]byte(id + Password))
	password = hex.EncodeToString(sum[:16])
	_, err = s.Call(ctx, "host_createObjects", map[string]any{"type": "OpsiClient", "id": id, "oneTimePassword": password})
	return password, err
}
