package updates

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/scope"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/update"
)

// view is what is offered, in memory, with the answers that were made of it.
type view struct {
	updates   []offered
	withdrawn []string
	types     map[string]string            // node type by host
	decisions map[string]map[string]string // by host, then by the attempt's key
	narrows   bool                         // by groups or node types, which change without us
	read      time.Time                    // not older than this

	mu      sync.Mutex
	answers map[string]answer // by host
}

// offered is one published update.
type offered struct {
	update.Header
	name  string
	share int
	in    map[string]bool // hosts of its groups; nil is all
}

// answer is what a host gets.
type answer struct {
	tag  string
	body []byte
}

func (u *Updates) load(tx *store.Tx, began time.Time) (*view, error) {
	v := &view{decisions: map[string]map[string]string{}, answers: map[string]answer{}, read: began}
	list, err := all(tx)
	if err != nil {
		return nil, err
	}
	for _, p := range list {
		if !p.Published {
			v.withdrawn = append(v.withdrawn, p.Number)
			continue
		}
		h, err := p.read()
		if err != nil {
			return nil, err
		}
		o := offered{Header: h, name: p.Number, share: int(p.Share)}
		if len(h.Groups) > 0 {
			in, err := scope.Of(tx, h.Groups)
			if err != nil {
				return nil, err
			}
			o.in = map[string]bool{}
			for _, id := range in.Hosts() {
				o.in[id] = true
			}
		}
		v.narrows = v.narrows || len(h.Groups)+len(h.NodeTypes) > 0
		v.updates = append(v.updates, o)
	}
	if u.cfg.NodeTypes != nil {
		if v.types, err = u.cfg.NodeTypes(tx); err != nil {
			return nil, err
		}
	}
	decided, err := store.All[Run](tx, runs, fleet.Filter{"decision": []string{update.Retry, update.Skip}})
	for _, r := range decided {
		if v.decisions[r.HostID] == nil {
			v.decisions[r.HostID] = map[string]string{}
		}
		v.decisions[r.HostID][r.Attempt] = r.Decision
	}
	return v, err
}

// to tells whether an update is offered to a host.
func (v *view) to(o offered, host string) bool {
	switch {
	case !o.ForHosts(), o.in != nil && !o.in[host]:
		return false
	case len(o.NodeTypes) > 0 && !slices.Contains(o.NodeTypes, v.types[host]):
		return false
	}
	return update.Ring(host, o.ID) < o.share
}

// answer is what a host gets, made once for each view.
func (v *view) answer(host string) (answer, error) {
	v.mu.Lock()
	a, made := v.answers[host]
	v.mu.Unlock()
	if made {
		return a, nil
	}
	o := update.Offer{Offered: []string{}, Withdrawn: v.withdrawn, Decisions: v.decisions[host]}
	for _, up := range v.updates {
		if v.to(up, host) {
			o.Offered = append(o.Offered, up.name)
		}
	}
	if o.Withdrawn == nil {
		o.Withdrawn = []string{}
	}
	body, err := json.Marshal(o)
	if err != nil {
		return a, err
	}
	sum := sha256.Sum256(body)
	a = answer{tag: `"` + hex.EncodeToString(sum[:12]) + `"`, body: body}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.answers[host] = a
	return a, nil
}

// look reads what is offered anew.
func (u *Updates) look(ctx context.Context) (*view, error) {
	var v *view
	began := time.Now()
	err := u.cfg.Store.View(ctx, func(tx *store.Tx) (err error) { v, err = u.load(tx, began); return err })
	if err != nil {
		return nil, err
	}
	u.view.Store(v)
	return v, nil
}

// since is a view that is not older than a time. Many who ask at once read it once.
func (u *Updates) since(ctx context.Context, at time.Time) (*view, error) {
	u.reading.Lock()
	defer u.reading.Unlock()
	if v := u.view.Load(); v != nil && !v.read.Before(at) {
		return v, nil
	}
	return u.look(ctx)
}

// settleTime is how long memberships of groups may be behind, so that a busy
// fleet does not have them read with every commit.
const settleTime = 2 * time.Second

// follow looks again when somebody published, and when groups may have changed.
func (u *Updates) follow(ctx context.Context) error {
	ours, stop := u.cfg.Store.Watch(Topic)
	defer stop()
	others, stopOthers := u.cfg.Store.Watch(store.Revisions)
	defer stopOthers()
	var later <-chan time.Time
	for {
		v, err := u.look(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			u.cfg.Log.Warn("What is offered cannot be read", "error", err)
			later = time.After(settleTime)
		}
		for again := false; !again; {
			select {
			case <-ours:
				again = true
			case <-later:
				again, later = true, nil
			case <-others:
				if later == nil && v != nil && v.narrows {
					later = time.After(settleTime)
				}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

// Handler answers hosts that ask for updates: GET /v1/updates.
func (u *Updates) Handler(actor func(*http.Request) (methods.Actor, error), refuse func(http.ResponseWriter, *http.Request, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, err := actor(r)
		if err == nil && who.Role != methods.Host {
			err = fleet.WithHint(fleet.Errorf(fleet.Denied, "cannot offer updates to %s %s: they are for hosts", who.Role, who.ID), "look with: fernwerk update status")
		}
		v := u.view.Load()
		// Who asks for the first time may have joined a moment ago, and would wait for an
		// hour if its node type or groups were not seen yet.
		if err == nil && (v == nil || v.narrows && r.Header.Get("If-None-Match") == "") {
			v, err = u.since(r.Context(), time.Now())
		}
		var a answer
		if err == nil {
			a, err = v.answer(who.ID)
		}
		if err != nil {
			refuse(w, r, err)
			return
		}
		h := w.Header()
		h.Set("ETag", a.tag)
		h.Set("Cache-Control", "private, no-cache")
		if r.Header.Get("If-None-Match") == a.tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		h.Set("Content-Type", "application/json")
		w.Write(a.body)
	})
}
