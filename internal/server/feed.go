package server

import (
	"fmt"
	"net"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/server/feed"
)

// openFeed is the script for bare nodes, and its port without TLS if it has one.
func (s *Server) openFeed(st *store.Store) (*feed.Feed, error) {
	f := &feed.Feed{Store: st, Log: s.cfg.Log}
	if s.cfg.Feed.Listen == "" {
		return f, nil
	}
	l, err := net.Listen("tcp", s.cfg.Feed.Listen)
	if err != nil {
		return nil, fleet.WithHint(fmt.Errorf("cannot listen on %s for the feed: %w", s.cfg.Feed.Listen, err), "choose another [feed] listen in fernwerkd.toml")
	}
	s.add(closing(l))
	s.cfg.Log.Info("Feed without TLS", "address", l.Addr().String())
	f.Listener = l
	return f, nil
}
