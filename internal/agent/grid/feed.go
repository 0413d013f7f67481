package grid

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

// Feed has the agent follow a foreign feed, if its own file names one: nothing that
// was signed for it counts here. A feed that cannot be followed is said, and keeps
// the agent from nothing else.
func Feed(g *run.Group, c Config, file *conf.File, st *store.Store) error {
	own, err := conf.Load(file, nil)
	if err != nil || own.String("feed", "url") == "" {
		return err
	}
	s, err := feed.New(feed.Config{
		Source: feed.Source{URL: own.String("feed", "url"), Fingerprint: own.String("feed", "fingerprint"), Site: own.String("feed", "site"), CA: own.String("feed", "ca")},
		Dir:    filepath.Join(c.DataDir, "feed"), Store: st, Log: c.Log, Now: time.Now,
		Note: func(tx *store.Tx, failed bool, text string) error {
			e := timeline.Entry{Category: timeline.RunActions, Text: "feed: " + text}
			if failed {
				e.Category = timeline.Error
			}
			return timeline.Write(tx, e)
		},
		Interval: func(ctx context.Context) (every time.Duration, err error) {
			s, err := c.Settings(ctx)
			if err != nil {
				return 0, err
			}
			return time.Duration(s.Int("feed", "interval")) * time.Second, nil
		},
	})
	if err != nil {
		c.Log.Error("Feed not followed", "error", err)
		return nil
	}
	g.Add("feed", run.Supervise("feed", run.Func(s.Serve), c.Log))
	return nil
}
