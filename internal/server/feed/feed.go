// Package feed keeps and shows the update script for bare nodes.
//
// The server cannot make one: the key that signs is elsewhere. It takes what an
// administrator publishes if the signature is good by the key that it has, and if
// the serial is not lower than that of the script before; so it neither falls
// back by mistake nor shows what every node would refuse. Script and key are one
// row of the database: all servers on it show the same.
//
//	GET /feed/script.asc  the signed script
//	GET /feed/key.asc     the public key, for a node's first boot
//	GET /feed/serial      the script's serial number
//
// Nothing in them is secret, and nodes trust the signature, not the line. The
// same paths, and no others, are therefore also served without TLS where
// fernwerkd.toml has `[feed] listen`. Requests may be conditional: the time of the
// last change rises by at least a second with each publication, so that `wget -N`
// misses none.
package feed

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/port"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/feed"
)

// Publication is the row.
type Publication struct {
	Name      string `col:"name,ident"` // the one feed of this fleet
	PublicKey string `col:"publicKey"`
	Script    string `col:"script"`
	Changed   int64  `col:"changed"` // seconds since 1970
}

// Class is the class of Publication.
var Class = fleet.LocalClass[Publication]("feed")

const theOne = "feed"

// Feed is the feed of a server.
type Feed struct {
	Store *store.Store
	Log   *slog.Logger
	// Listener is where the feed is served without TLS; nil for nowhere.
	Listener net.Listener

	loading sync.Mutex
	last    atomic.Pointer[copied]
}

// copied is what strangers are shown: one copy for all of them, for a second.
type copied struct {
	Publication
	serial string
	until  time.Time
}

// copyLife is how old it may be: another server may have published meanwhile.
const copyLife = time.Second

// copy is what is published, as it is now or was a moment ago.
func (f *Feed) copy(ctx context.Context) (*copied, error) {
	if c := f.last.Load(); c != nil && time.Now().Before(c.until) {
		return c, nil
	}
	f.loading.Lock()
	defer f.loading.Unlock()
	was := f.last.Load()
	if was != nil && time.Now().Before(was.until) {
		return was, nil
	}
	p, err := f.load(ctx)
	if err != nil {
		return nil, err
	}
	now := &copied{Publication: p, until: time.Now().Add(copyLife)}
	if was != nil && was.Publication == p { // it is verified, and others read it
		now.Publication, now.serial = was.Publication, was.serial
	} else {
		signed, err := signedOf(p)
		if err != nil {
			return nil, err
		}
		now.serial = fmt.Sprintln(signed.Serial)
	}
	f.last.Store(now)
	return now, nil
}

func held(tx *store.Tx) (p Publication, err error) {
	rows, err := store.All[Publication](tx, Class, fleet.Filter{"name": theOne})
	if err == nil && len(rows) == 1 {
		p = rows[0]
	}
	return p, err
}

// Publish takes a script. key is needed the first time; another key than the one
// that is here counts only with replace.
func (f *Feed) Publish(ctx context.Context, by store.Origin, key, script string, replace bool) (state port.FeedState, err error) {
	err = f.Store.Update(ctx, by, func(tx *store.Tx) error {
		before, err := held(tx)
		if err != nil {
			return err
		}
		public, err := chooseKey(before.PublicKey, key, replace)
		if err != nil {
			return err
		}
		signed, err := public.Open([]byte(script))
		if err != nil {
			return fmt.Errorf("cannot publish the feed: %w", err)
		}
		var last feed.Held
		if before.Script != "" {
			was, err := signedOf(before)
			if err != nil {
				return err
			}
			last = feed.Held{Serial: was.Serial, Digest: was.Digest}
			if was.Site != signed.Site && !replace {
				return fleet.Errorf(fleet.Conflict, "cannot publish the feed: it is of site %s, the one here of %s", signed.Site, was.Site)
			}
		}
		if err := signed.Follows(last, tx.Now()); err != nil {
			return fmt.Errorf("cannot publish the feed: %w", err)
		}
		printed, err := public.Print()
		if err != nil {
			return err
		}
		after := Publication{Name: theOne, PublicKey: string(printed), Script: script, Changed: max(tx.Now().Unix(), before.Changed+1)}
		if before.PublicKey == after.PublicKey && before.Script == after.Script {
			after.Changed = before.Changed
		}
		state = stateOf(after, public, signed)
		if err := tx.Put(Class, Class.Encode(after)); err != nil {
			return err
		}
		return tx.Note("feed", theOne, "publish", fleet.Row{"serial": signed.Serial, "fingerprint": state.Fingerprint, "sha256": state.SHA256})
	})
	f.loading.Lock() // whoever loads now may have the one before
	f.last.Store(nil)
	f.loading.Unlock()
	if err == nil {
		f.Log.Info("Feed published", "serial", state.Serial, "fingerprint", state.Fingerprint, "actor", by.Actor)
	}
	return state, err
}

func signedOf(p Publication) (feed.Signed, error) {
	key, err := feed.ReadKey([]byte(p.PublicKey))
	if err != nil {
		return feed.Signed{}, err
	}
	return key.Open([]byte(p.Script))
}

func chooseKey(before, given string, replace bool) (*feed.PublicKey, error) {
	if given == "" {
		if before == "" {
			return nil, fleet.Errorf(fleet.Invalid, "cannot publish the feed: the server has no key for it yet, and none came with it")
		}
		return feed.ReadKey([]byte(before))
	}
	key, err := feed.ReadKey([]byte(given))
	if err != nil || before == "" || replace {
		return key, err
	}
	old, err := feed.ReadKey([]byte(before))
	if err != nil {
		return nil, err
	}
	if old.Fingerprint() != key.Fingerprint() {
		return nil, fleet.WithHint(fleet.Errorf(fleet.Conflict, "cannot publish the feed: the server has the key %s, this is %s", old.Fingerprint(), key.Fingerprint()),
			"nodes never fetch a key again: all that know the old one stop taking updates. If that is meant: --replace-key")
	}
	return key, nil
}

// State says what is published; NotFound if nothing is.
func (f *Feed) State(ctx context.Context) (port.FeedState, error) {
	p, err := f.load(ctx)
	if err != nil {
		return port.FeedState{}, err
	}
	key, err := feed.ReadKey([]byte(p.PublicKey))
	if err != nil {
		return port.FeedState{}, err
	}
	signed, err := key.Open([]byte(p.Script))
	return stateOf(p, key, signed), err
}

func stateOf(p Publication, key *feed.PublicKey, s feed.Signed) port.FeedState {
	return port.FeedState{Site: s.Site, Serial: s.Serial, Expires: s.Expires.Format(time.DateOnly), Fingerprint: key.Fingerprint(),
		SHA256: hex.EncodeToString(s.Digest[:]), Published: time.Unix(p.Changed, 0).UTC().Format(time.DateTime)}
}

func (f *Feed) load(ctx context.Context) (p Publication, err error) {
	err = f.Store.View(ctx, func(tx *store.Tx) error {
		p, err = held(tx)
		return err
	})
	if err == nil && p.Script == "" {
		err = fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot show the feed: none is published"), "make one with: fernwerk feed init DIR")
	}
	return p, err
}

// Handler serves the paths, and nothing else.
func (f *Feed) Handler() http.Handler {
	mux := http.NewServeMux()
	for path, of := range map[string]func(*copied) string{
		"/feed/script.asc": func(c *copied) string { return c.Script },
		"/feed/key.asc":    func(c *copied) string { return c.PublicKey },
		"/feed/serial":     func(c *copied) string { return c.serial },
	} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) { f.serve(w, r, of) })
	}
	return mux
}

func (f *Feed) serve(w http.ResponseWriter, r *http.Request, of func(*copied) string) {
	p, err := f.copy(r.Context())
	switch {
	case fleet.CodeOf(err) == fleet.NotFound:
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	case err != nil:
		f.Log.Error("Feed not served", "error", err)
		w.Header().Set("Retry-After", "30")
		http.Error(w, "the feed cannot be read now", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-cache")
	http.ServeContent(w, r, "", time.Unix(p.Changed, 0), strings.NewReader(of(p)))
}

// What the listener without TLS allows a stranger: the texts are short.
const (
	requestTime = 20 * time.Second
	answerTime  = 5 * time.Minute
	maxHeader   = 16 << 10
	stopTime    = 2 * time.Second
)

// Serve serves the listener without TLS until ctx ends.
func (f *Feed) Serve(ctx context.Context) error {
	srv := &http.Server{Handler: f.Handler(), ReadTimeout: requestTime, WriteTimeout: answerTime, IdleTimeout: requestTime, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(f.Log.Handler(), slog.LevelDebug)}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
		defer cancel()
		err := srv.Shutdown(within)
		if errors.Is(err, context.DeadlineExceeded) {
			err = srv.Close()
		}
		stopped <- err
	})
	defer stop()
	if err := srv.Serve(f.Listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("cannot serve the feed: %w", err)
	}
	return <-stopped
}
