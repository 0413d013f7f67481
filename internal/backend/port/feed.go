package port

import (
	"context"

	"github.com/fernwerk/fernwerk/internal/backend/store"
)

// Feed is the update script for bare nodes that a server shows.
type Feed interface {
	Publish(ctx context.Context, by store.Origin, key, script string, replace bool) (FeedState, error)
	// State is NotFound while nothing is published.
	State(ctx context.Context) (FeedState, error)
}

// FeedState is what is published.
type FeedState struct {
	Site        string
	Serial      int64
	Expires     string // the last day, 2006-01-02
	Fingerprint string
	SHA256      string // of the script's text, in hexadecimal digits
	Published   string
}
