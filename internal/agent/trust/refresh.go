package trust

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/fleet/trust"
)

// origin is who writes here.
var origin = store.Origin{Actor: "agent"}

// Refresh asks the server for newer documents. Where nothing is new that is one
// small answer. Whatever fails, what is held goes on counting; an error of the code
// Unavailable says that nobody could be asked, NotFound that the server or the
// machine has no trust root.
func (k *Keeper) Refresh(ctx context.Context) error {
	k.refreshing.Lock()
	defer k.refreshing.Unlock()
	err := k.refresh(ctx)
	if err != nil {
		k.refused(ctx, err)
		return err
	}
	k.mu.Lock()
	st := k.state
	st.Problem = ""
	t := k.trusted
	k.mu.Unlock()
	return k.keep(ctx, t, st, true)
}

func (k *Keeper) refresh(ctx context.Context) error {
	demand, err := k.Demand()
	if err != nil {
		return err
	}
	if err := k.begin(ctx, demand.Pin); err != nil {
		return err
	}
	tag := k.tag()
	if w := k.held().Wants(); len(w) > 0 {
		tag = "" // the last time ended halfway
	}
	stamp, err := k.timestamp(ctx, tag)
	if err != nil && !errors.Is(err, errNotModified) {
		return err
	}
	if err := k.follow(ctx); err != nil {
		return err
	}
	if errors.Is(err, errNotModified) {
		if k.tag() == tag {
			return nil
		}
		if stamp, err = k.timestamp(ctx, ""); err != nil { // a new root may want it anew
			return err
		}
	}
	t := k.held().Clone()
	newer, err := t.UpdateTimestamp(stamp.data)
	if err != nil {
		return err
	}
	if newer { // from here on nothing older is believed, also after a crash
		if err := k.step(ctx, t, ""); err != nil {
			return err
		}
	}
	if err := k.lists(ctx); err != nil {
		return err
	}
	if err := k.configuration(ctx); err != nil {
		return err
	}
	return k.step(ctx, k.held(), stamp.tag)
}

func (k *Keeper) tag() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state.Tag
}

func (k *Keeper) timestamp(ctx context.Context, tag string) (answer, error) {
	return k.get(ctx, trust.FileName(trust.RoleTimestamp, 0), trust.MaxSize(trust.RoleTimestamp), tag)
}

// begin makes sure that there is a root: that of the pin.
func (k *Keeper) begin(ctx context.Context, pin Pin) error {
	if pin.Version < 1 {
		return fleet.WithHint(fleet.Errorf(fleet.NotFound, "this machine was given no trust root"),
			"fernwerk-agent trust pin VERSION SHA256 gives it one; fernwerk trust status on the server prints both")
	}
	if k.follows(pin) {
		return nil
	}
	name := trust.FileName(trust.RoleRoot, pin.Version)
	a, err := k.get(ctx, name, trust.MaxSize(trust.RoleRoot), "")
	if err != nil {
		return err
	}
	sum := sha256.Sum256(a.data)
	want, err := hex.DecodeString(pin.SHA256)
	if err != nil || subtle.ConstantTimeCompare(sum[:], want) != 1 {
		return fleet.Errorf(fleet.Denied, "cannot believe %s: its SHA-256 is %x, and %s is pinned", name, sum, pin.SHA256)
	}
	t, err := trust.NewTrusted(a.data)
	if err != nil {
		return err
	}
	if t.Root().Version != pin.Version {
		return fleet.Errorf(fleet.Denied, "cannot believe %s: it is root %d", name, t.Root().Version)
	}
	// What was held under another pin is forgotten with the floor that it was.
	if err := k.keep(ctx, nil, state{}, false); err != nil {
		return err
	}
	return k.keep(ctx, t, state{Version: pin.Version, SHA256: pin.SHA256}, false)
}

// follow goes from root to root, as many as there are. Each is durable before the
// next is asked for.
func (k *Keeper) follow(ctx context.Context) error {
	for {
		t := k.held().Clone()
		a, err := k.get(ctx, trust.FileName(trust.RoleRoot, t.Root().Version+1), trust.MaxSize(trust.RoleRoot), "")
		if fleet.CodeOf(err) == fleet.NotFound {
			return nil
		}
		if err != nil {
			return err
		}
		if err := t.UpdateRoot(a.data); err != nil {
			return err
		}
		k.Log.Info("content trust: next root", "version", t.Root().Version)
		if err := k.step(ctx, t, ""); err != nil {
			return err
		}
	}
}

// lists fetches what the timestamp announces.
func (k *Keeper) lists(ctx context.Context) error {
	t := k.held().Clone()
	for {
		wants := t.Wants()
		if len(wants) == 0 {
			return nil
		}
		for _, w := range wants {
			a, err := k.get(ctx, trust.FileName(w.Role, w.Version), w.Limit, "")
			if err != nil {
				return err
			}
			if w.Role == trust.RoleSnapshot {
				err = t.UpdateSnapshot(a.data)
			} else {
				err = t.UpdateTargets(w.Role, a.data)
			}
			if err != nil {
				return err
			}
			if err := k.step(ctx, t.Clone(), ""); err != nil {
				return err
			}
		}
	}
}

// configuration fetches the signed configuration, which must be there when the next
// start has no server.
func (k *Keeper) configuration(ctx context.Context) error {
	now := map[string][]byte{}
	for _, name := range k.Names("conf/") {
		data, err := k.Content(ctx, name)
		if err != nil {
			return err
		}
		target, err := k.find(name)
		if err != nil {
			return err
		}
		now[digestText(target)] = data
	}
	err := k.Store.Update(ctx, origin, func(tx *store.Tx) error { return saveContent(tx, now) })
	if err != nil {
		return fmt.Errorf("cannot keep the signed configuration: %w", err)
	}
	k.mu.Lock()
	k.content = now
	k.mu.Unlock()
	return nil
}

// step makes one step durable, and then believes it. The tag is that of the
// timestamp once all it announces is there.
func (k *Keeper) step(ctx context.Context, t *trust.Trusted, tag string) error {
	k.mu.Lock()
	st := k.state
	k.mu.Unlock()
	st.Tag = tag
	return k.keep(ctx, t, st, false)
}

func (k *Keeper) keep(ctx context.Context, t *trust.Trusted, st state, checked bool) error {
	same := t == k.held() // then only the state changed
	err := k.Store.Update(ctx, origin, func(tx *store.Tx) error {
		if checked {
			st.Checked = tx.Stamp()
		}
		if !same || t == nil {
			if err := save(tx, t); err != nil {
				return err
			}
		}
		st.Name = "all"
		return tx.Put(states, states.Encode(st))
	})
	if err != nil {
		return fmt.Errorf("cannot keep the documents of content trust: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.trusted, k.state = t, st
	return nil
}

// Status is the trust at a glance.
type Status struct {
	Policy   enrol.Policy     `json:"policy"`
	Pinned   int64            `json:"pinned"`             // version of the root that was pinned, 0: none
	Versions map[string]int64 `json:"versions,omitempty"` // by role
	Stale    bool             `json:"stale"`
	Since    string           `json:"staleSince,omitempty"` // RFC 3339; empty: nothing was ever held
	Checked  string           `json:"checked,omitempty"`    // the server was asked last, and believed
	Problem  string           `json:"problem,omitempty"`    // what was refused since
	Clock    string           `json:"clock,omitempty"`      // what is wrong with the machine's clock
}

// Status says what is believed, and since when it is past its time.
func (k *Keeper) Status() Status {
	demand, err := k.Demand()
	s := Status{Policy: demand.Policy, Pinned: demand.Pin.Version}
	now, behind := k.now()
	k.mu.Lock()
	defer k.mu.Unlock()
	s.Checked, s.Problem = k.state.Checked, k.state.Problem
	if err != nil {
		s.Problem = err.Error()
	}
	if behind {
		s.Clock = fmt.Sprintf("the clock says %s, and documents were signed at %s: that counts", k.Now().UTC().Format(time.DateTime), now.Format(time.DateTime))
	}
	if s.Stale = true; k.trusted != nil {
		s.Versions = k.trusted.Versions()
		var since time.Time
		if since, s.Stale = k.trusted.StaleSince(now); s.Stale && !since.IsZero() {
			s.Since = since.Format(time.RFC3339)
		}
	}
	return s
}
