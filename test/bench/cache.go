package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/agent/identity"
	"github.com/fernwerk/fernwerk/test/bench/peer"
	"github.com/fernwerk/fernwerk/test/bench/tree"
	"github.com/fernwerk/fernwerk/test/e2e/site"
)

// patience bounds one transfer of ours.
const patience = 5 * time.Minute

// cacheSuite measures how a product reaches the cache of a laptop over a slow
// line: 20 Mbit/s, 40 ms.
func cacheSuite(ctx context.Context, b *bench) error {
	const suite = "cache"
	programs, err := site.Build(ctx, filepath.Join(b.scratch, "bin"))
	if err != nil {
		return err
	}
	t, err := b.copyTree(ctx)
	if err != nil {
		return err
	}
	b.say("%s: %d files in %d folders, %d bytes; line of %d bytes a second, %v", b.source, len(t.Files), len(t.Folders), t.Bytes,
		site.Branch.Rate, site.Branch.RTT)
	packed, err := b.compressed(ctx, t)
	if err != nil {
		b.without("tar | zstd -3", err)
	}
	server := &site.Server{Programs: programs, Data: filepath.Join(b.scratch, "server"), Log: filepath.Join(b.scratch, "server.log")}
	b.say("$ fernwerkd serve --data DIR --listen 127.0.0.1:0")
	if err := server.Start(ctx); err != nil {
		return err
	}
	defer server.Kill()
	if err := server.Install(ctx, t.Dir); err != nil {
		return err
	}

	fresh, err := b.laptop(ctx, server, "fresh.bench.test")
	if err != nil {
		return err
	}
	defer fresh.close()
	quick, err := fresh.sync(ctx, t)
	if err != nil {
		return err
	}
	fresh.close()
	b.say("cold sync, just installed: %.2f s, %d bytes", quick.Seconds, quick.Bytes)
	if err := settled(ctx, filepath.Join(server.Data, "cache", "chunks")); err != nil {
		return err
	}
	away, err := b.laptop(ctx, server, "away.bench.test")
	if err != nil {
		return err
	}
	defer away.close()
	cold, err := away.sync(ctx, t)
	if err != nil {
		return err
	}
	b.say("cold sync, streams made: %.2f s, %d bytes", cold.Seconds, cold.Bytes)
	if packed > 0 {
		ideal := float64(packed) / float64(site.Branch.Rate)
		const peer = "tar | zstd -3 on an ideal line"
		b.more(suite, "cold sync, just installed: goodput", "of the line", ideal/quick.Seconds, peer, 1, 0.90)
		b.more(suite, "cold sync, streams made: goodput", "of the line", ideal/cold.Seconds, peer, 1, 0.97)
		b.less(suite, "cold sync, just installed: bytes", "bytes", float64(quick.Bytes), "tar | zstd -3", float64(packed), 0)
		b.less(suite, "cold sync, streams made: bytes", "bytes", float64(cold.Bytes), "tar | zstd -3", float64(packed), 0)
	}
	download, files, err := b.sequential(ctx, server, away.line, away.id, t)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("one WebDAV request after the other, extrapolated from %d files", files)
	b.less(suite, "cold sync: time", "s", cold.Seconds, name, download.Seconds, 1)
	b.less(suite, "cold sync: bytes", "bytes", float64(cold.Bytes), name, float64(download.Bytes), 1)
	plain, err := b.listed(ctx, away.line, away.id, t)
	if err != nil {
		return err
	}
	b.less(suite, "cold sync by .files alone: time", "s", plain.Seconds, name, download.Seconds, 1)
	b.less(suite, "cold sync by .files alone: bytes", "bytes", float64(plain.Bytes), name, float64(download.Bytes), 1)

	daemon, err := peer.StartRsync(ctx, b.scratch, t, b.say)
	if err != nil {
		b.without("rsync -az", err)
	} else {
		defer daemon.Close()
	}
	dir := filepath.Join(b.scratch, "rsync")
	if daemon != nil {
		theirs, err := daemon.Fetch(ctx, dir)
		if err != nil {
			return err
		}
		b.say("rsync: %.2f s, %d bytes", theirs.Seconds, theirs.Bytes)
		if err := t.Same(dir); err != nil {
			return err
		}
		b.less(suite, "cold sync, just installed: time", "s", quick.Seconds, "rsync -az", theirs.Seconds, 0)
		b.less(suite, "cold sync, streams made: time", "s", cold.Seconds, "rsync -az", theirs.Seconds, 1)
		b.less(suite, "cold sync: bytes", "bytes", float64(cold.Bytes), "rsync -az", float64(theirs.Bytes), 1)
	}

	if err := t.Edit(); err != nil {
		return err
	}
	if err := server.Install(ctx, t.Dir); err != nil {
		return err
	}
	small, err := away.sync(ctx, t)
	if err != nil {
		return err
	}
	b.say("10 files changed, 1 new, 1 gone: %.2f s, %d bytes", small.Seconds, small.Bytes)
	if daemon != nil {
		theirs, err := daemon.Fetch(ctx, dir)
		if err != nil {
			return err
		}
		if err := t.Same(dir); err != nil {
			return err
		}
		b.less(suite, "10 files changed: time", "s", small.Seconds, "rsync -az", theirs.Seconds, 0)
		b.less(suite, "10 files changed: bytes", "bytes", float64(small.Bytes), "rsync -az", float64(theirs.Bytes), 0.97)
	}
	return nil
}

// laptop is an agent behind a line of its own.
type laptop struct {
	server *site.Server
	agent  *site.Agent
	line   *site.Line
	id     identity.Identity
}

// laptop starts an agent that has met its server and holds nothing.
func (b *bench) laptop(ctx context.Context, s *site.Server, id string) (*laptop, error) {
	line, err := site.Connect(ctx, site.Branch, s.Listen)
	if err != nil {
		return nil, err
	}
	l := &laptop{server: s, line: line, agent: &site.Agent{Programs: s.Programs, Data: filepath.Join(b.scratch, id), Log: filepath.Join(b.scratch, id+".log")}}
	if err = l.agent.Join(ctx, line.URL(), s, id); err == nil {
		err = l.agent.Start(ctx)
	}
	if err == nil {
		l.id, err = identity.Load(l.agent.Data)
	}
	if err == nil {
		_, err = l.ended(ctx, "")
	}
	if err != nil {
		l.close()
		return nil, fmt.Errorf("%w\n%s", err, site.Tail(l.agent.Log, 20))
	}
	return l, nil
}

func (l *laptop) close() {
	l.agent.Kill()
	l.line.Close()
}

// sync requests the product and fires the timer: the time is from there until
// the caches are full, the bytes are all that the line carried meanwhile.
func (l *laptop) sync(ctx context.Context, t *tree.Tree) (peer.Cost, error) {
	if _, err := l.server.Call(ctx, "setProductActionRequestWithDependencies", product, l.id.HostID, "setup"); err != nil {
		return peer.Cost{}, err
	}
	l.line.Reset()
	began := time.Now()
	change, err := l.agent.Fire(ctx, "timer")
	if err != nil {
		return peer.Cost{}, err
	}
	took, err := l.ended(ctx, change)
	up, down := l.line.Counts()
	if err == nil {
		err = t.Same(filepath.Join(l.agent.CacheDir(), "depot", product))
	}
	if err != nil {
		return peer.Cost{}, fmt.Errorf("%w\n%s", err, site.Tail(l.agent.Log, 20))
	}
	return peer.Cost{Seconds: took.Sub(began).Seconds(), Bytes: up + down}, nil
}

// ended waits until a change has ended well, or the newest if none is named,
// and says when.
func (l *laptop) ended(ctx context.Context, change string) (time.Time, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("the agent does not come to an end"))
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		st, err := l.agent.Status(ctx)
		if err != nil && ctx.Err() == nil {
			return time.Time{}, err
		}
		for _, c := range st.Changes {
			switch {
			case change != "" && c.ID != change:
			case c.Status == "failed":
				return time.Time{}, fmt.Errorf("event %s failed: %s", c.Event, c.Text)
			case c.Status == "done":
				return time.Now(), nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return time.Time{}, context.Cause(ctx)
		}
	}
}

// settled waits until the server has compressed what it wants to: its cache has
// not grown for a while, and nothing in it is being written.
func settled(ctx context.Context, dir string) error {
	const quiet = 4 * time.Second
	var last int64
	since := time.Now()
	for ctx.Err() == nil && time.Since(since) < quiet {
		var size int64
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() && strings.HasSuffix(path, ".block") {
				var info fs.FileInfo
				if info, err = d.Info(); err == nil {
					size += info.Size()
				}
			}
			if errors.Is(err, os.ErrNotExist) {
				return nil // it was given its name meanwhile
			}
			return err
		})
		if err != nil {
			return err
		}
		if size != last || size == 0 {
			last, since = size, time.Now()
		}
		time.Sleep(100 * time.Millisecond)
	}
	return ctx.Err()
}
