// Package updating joins run-once updates with the server, which is asked what is
// offered and told what came of it, and with the control interface. It stands above
// these parts, which do not know each other.
package updating

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/update"
)

const (
	maxOffer = 256 << 10        // bytes of what a server answers: all numbers that there are
	exchange = 15 * time.Minute // on the slowest line: a server that answers no more must not hold updates up for ever
)

// Publisher is a server.
type Publisher struct {
	Server string // its address
	// HTTP makes a client of it, with what shows who we are.
	HTTP   func() (*http.Client, func(*http.Request) error, error)
	Remote methods.Backend // the same server, for reports
	Log    *slog.Logger

	mu     sync.Mutex
	client *http.Client // kept from one question to the next
	sign   func(*http.Request) error
}

// Ask asks for what is offered, unless it still has a tag; what it returns beside
// the offer is the new one.
func (p *Publisher) Ask(ctx context.Context, tag string) (*update.Offer, string, error) {
	ctx, cancel := context.WithTimeout(ctx, exchange)
	defer cancel()
	client, sign, err := p.connection()
	if err != nil {
		return nil, "", err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(p.Server, "/")+"/v1/updates", nil)
	if err == nil {
		err = sign(r)
	}
	if err != nil {
		return nil, "", err
	}
	if tag != "" {
		r.Header.Set("If-None-Match", tag)
	}
	resp, err := client.Do(r)
	if err != nil {
		return nil, "", fleet.Errorf(fleet.Unavailable, "cannot reach the server: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxOffer+1))
	switch {
	case err != nil:
		return nil, "", fleet.Errorf(fleet.Unavailable, "cannot read the server's answer: %w", err)
	case resp.StatusCode == http.StatusNotModified && tag != "":
		return nil, tag, nil
	case resp.StatusCode == http.StatusNotFound:
		return nil, "", fleet.Errorf(fleet.NotFound, "the server publishes no updates")
	case resp.StatusCode != http.StatusOK:
		return nil, "", fleet.Errorf(fleet.Unavailable, "the server answers %s", resp.Status)
	case len(body) > maxOffer:
		return nil, "", fleet.Errorf(fleet.TooLarge, "the server's answer has more than %d bytes", maxOffer)
	}
	var o update.Offer
	if err := json.Unmarshal(body, &o); err != nil {
		return nil, "", fleet.Errorf(fleet.Invalid, "cannot read the server's answer: %w", err)
	}
	return &o, resp.Header.Get("ETag"), nil
}

// connection is the client that is kept.
func (p *Publisher) connection() (*http.Client, func(*http.Request) error, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.client == nil {
		client, sign, err := p.HTTP()
		if err != nil {
			return nil, nil, err
		}
		p.client, p.sign = client, sign
	}
	return p.client, p.sign, nil
}

// Report tells what came of an attempt.
func (p *Publisher) Report(ctx context.Context, r update.Report) error {
	ctx, cancel := context.WithTimeout(ctx, exchange)
	defer cancel()
	plain, err := methods.Plain(r, nil)
	if err != nil {
		return err
	}
	known, err := p.Remote.Call(ctx, methods.Actor{}, "update_report", methods.Pos(plain))
	if err == nil && known == false {
		p.Log.Warn("The server does not know an update that was run here", "number", r.Number, "id", r.ID, "state", r.State)
	}
	return err
}
