package report

import (
	"context"
	"log/slog"
	"time"
)

// lookEvery is how often the folder is looked into.
const lookEvery = 2 * time.Second

// Inbox takes what the scripts left while the server did not answer.
type Inbox struct {
	Folder string
	Take   func(context.Context, Report) error
	Log    *slog.Logger
}

// Serve takes reports until ctx ends.
func (i *Inbox) Serve(ctx context.Context) error {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		taken, err := Drain(i.Folder, func(r Report) error { return i.Take(ctx, r) },
			func(name string, err error) { i.Log.Warn("Report of a tunnel dropped", "file", name, "error", err) })
		if err != nil && ctx.Err() == nil {
			i.Log.Warn("Reports of tunnels wait", "error", err)
		} else if taken > 0 {
			i.Log.Info("Reports of tunnels taken", "number", taken)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}
