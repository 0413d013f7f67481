package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"

	"golang.org/x/crypto/acme/autocert"

	"github.com/fernwerk/fernwerk/internal/backend/lease"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/server/acme"
)

// publicName adds the certificates of public names to what the server shows.
func (s *Server) publicName(m *member, own *tls.Config) (*tls.Config, error) {
	c := s.cfg.ACME
	if len(c.Names) == 0 {
		return own, nil
	}
	// Clients before this release, and opsi's, do not say that they want our own.
	if host, _, err := net.SplitHostPort(s.reach); err == nil && slices.Contains(c.Names, host) {
		s.cfg.Log.Warn("Machines reach the server by a public name: clients of opsi and older agents cannot check its public certificate", "name", host,
			"hint", "set address to another name of this server, or use the public name for people only")
	}
	cfg := acme.Config{Names: c.Names, Directory: c.Directory, Email: c.Email, Log: s.cfg.Log, Cache: autocert.DirCache(s.path("acme"))}
	if m.presence != nil { // others serve the name, too
		cfg.Cache = sealedCache{m}
		cfg.Alone = func(ctx context.Context, fn func(context.Context) error) error {
			return m.leases.Do(ctx, "acme", "", func(ctx context.Context, _ *lease.Held) error { return fn(ctx) })
		}
	}
	if c.DirectoryCA != "" {
		var err error
		if cfg.Roots, err = os.ReadFile(c.DirectoryCA); err != nil {
			return nil, fmt.Errorf("cannot read acme.directory_ca: %w", err)
		}
	}
	if c.HTTPListen != "" {
		l, err := net.Listen("tcp", c.HTTPListen)
		if err != nil {
			return nil, fleet.WithHint(fmt.Errorf("cannot listen for HTTP-01 on %s: %w", c.HTTPListen, err), "leave acme.http_listen out, or end what listens there")
		}
		cfg.HTTP = l
		s.add(func() error {
			if err := l.Close(); !errors.Is(err, net.ErrClosed) {
				return err
			}
			return nil
		})
	}
	public, err := acme.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("cannot use acme.directory_ca: %w", err)
	}
	s.group.Add("public name", public)
	return public.TLS(own), nil
}

// sealedCache keeps certificates and the account's key for all servers of the
// database, sealed. What proves the name to the authority is there as well: it may
// ask any of them.
type sealedCache struct{ m *member }

const acmeSecret = "acme "

func (c sealedCache) Get(ctx context.Context, key string) ([]byte, error) {
	data, err := c.m.Get(ctx, acmeSecret+key)
	if err == nil && data == nil {
		err = autocert.ErrCacheMiss
	}
	return data, err
}

func (c sealedCache) Put(ctx context.Context, key string, data []byte) error {
	return c.m.Replace(ctx, acmeSecret+key, data)
}

func (c sealedCache) Delete(ctx context.Context, key string) error {
	return c.m.Remove(ctx, acmeSecret+key)
}
