package agent

import (
	"context"
	"path/filepath"
	"time"

	"github.com/fernwerk/fernwerk/internal/agent/feed"
	"github.com/fernwerk/fernwerk/internal/agent/timeline"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet/conf"
	"github.com/fernwerk/fernwerk/internal/kit/run"
)

// followFeed has the agent follow a foreign feed, if its own file names one. A
// feed that cannot be followed is said, and keeps the agent from nothing else.
func (a *Agent) followFeed(g *run.Group) error {
	own, err := conf.Load(a.file, nil)
	if err != nil || own.String("feed", "url") == "" {
		return err
	}
	s, err := feed.New(feed.Config{
		Source: feed.Source{URL: own.String("feed", "url"), Fingerprint: own.String("feed", "fingerprint"), Site: own.String("feed", "site"), CA: own.String("feed", "ca")},
		Dir:    filepath.Join(a.cfg.DataDir, "feed"), Store: a.store, Log: a.cfg.Log, Now: time.Now,
		Note: func(tx *store.Tx, failed bool, text string) error {
			e := timeline.Entry{Category: timeline.RunActions, Text: "feed: " + text}
			if failed {
				e.Category = timeline.Error
			}
			return timeline.Write(tx, e)
		},
		Interval: func(ctx context.Context) (every time.Duration, err error) {
			s, err := a.now(ctx)
			if err != nil {
				return 0, err
			}
			return time.Duration(s.Int("feed", "interval")) * time.Second, nil
		},
	})
	if err != nil {
		a.cfg.Log.Error("Feed not followed", "error", err)
		return nil
	}
	g.Add("feed", run.Supervise("feed", run.Func(s.Serve), a.cfg.Log))
	return nil
}
