// Package feed follows a feed of somebody else: the clear-signed update script
// that bare nodes follow, on a machine with an agent.
//
// It is off unless the machine's own configuration names an address and the
// fingerprint of the key; the server cannot say either. There is one source. The
// key is fetched once, and counts only if it has the fingerprint; scripts are
// verified as package fleet/feed says, never fall back, and are not taken after
// they expired, by a clock that never runs backwards.
//
// What runs is the text that was verified: a private copy with that digest, by
// /bin/sh, one at a time, with a limit on time and output. It keeps its own
// markers, so an update that failed is tried again at the next round, also when
// nothing new came.
//
//	DIR/key.asc     the pinned key
//	DIR/script.asc  the script that was taken last
//	DIR/run/        while it runs
package feed

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/feed"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
	"github.com/fernwerk/fernwerk/internal/kit/pin"
	"github.com/fernwerk/fernwerk/internal/kit/secureexec"
)

// Source is whom to follow, of the machine's own configuration.
type Source struct {
	URL         string // of the folder with script.asc and key.asc
	Fingerprint string
	Site        string // "" takes any that the key signed
	CA          string // PEM file of the authority for https; "" is the system's
}

// Held is what was taken last.
type Held struct {
	Name        string `col:"name,ident"`
	Fingerprint string `col:"fingerprint"` // another key begins anew
	Serial      int64  `col:"serial"`
	Digest      string `col:"digest"`
	Clock       int64  `col:"clock"` // Unix seconds; no time before it is believed
	Changed     string `col:"changed"`
}

// Rows is the class of Held.
var Rows = fleet.LocalClass[Held]("feedHeld")

const theOne = "feed"

const (
	fetchTime = 2 * time.Minute
	runTime   = 2 * time.Hour
	grace     = 10 * time.Second
	output    = 256 << 10
)

// Config is what a Service is made from.
type Config struct {
	Source   Source
	Dir      string
	Interval func(context.Context) (time.Duration, error)
	Store    *store.Store // opened with [Rows]
	// Note writes a line for the machine's people: what was done, or what failed.
	Note func(tx *store.Tx, failed bool, text string) error
	Log  *slog.Logger
	Now  func() time.Time
}

// Service follows one source.
type Service struct {
	cfg  Config
	said string // the last complaint, which is not repeated
}

// New makes a Service. A source that cannot be meant is refused.
func New(cfg Config) (*Service, error) {
	s := cfg.Source
	u, err := url.Parse(s.URL)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "":
		return nil, fleet.Errorf(fleet.Invalid, "cannot follow the feed: url %q is not http://SERVER:PORT/feed or https://SERVER:PORT/feed", s.URL)
	case len(strings.ReplaceAll(s.Fingerprint, " ", "")) != 40:
		return nil, fleet.WithHint(fleet.Errorf(fleet.Invalid, "cannot follow the feed: fingerprint is not that of a key, 40 hexadecimal digits"), "fernwerk feed status shows it at the feed's server")
	case runtime.GOOS == "windows":
		return nil, fleet.Errorf(fleet.NotHere, "cannot follow the feed: its script is one of a Unix shell")
	}
	cfg.Source.URL = strings.TrimSuffix(s.URL, "/")
	return &Service{cfg: cfg}, nil
}

// Serve follows the feed until ctx ends.
func (s *Service) Serve(ctx context.Context) error {
	for {
		if err := s.Round(ctx); err != nil && ctx.Err() == nil {
			s.complain(ctx, err)
		}
		every, err := s.cfg.Interval(ctx)
		if err != nil && ctx.Err() == nil {
			return err
		}
		wait := time.NewTimer(every - every/10 + rand.N(every/5+1))
		select {
		case <-ctx.Done():
			wait.Stop()
			return nil
		case <-wait.C:
		}
	}
}

// complain tells of what is wrong, once.
func (s *Service) complain(ctx context.Context, err error) {
	if err.Error() == s.said {
		return
	}
	s.said = err.Error()
	s.cfg.Log.Warn("Feed not followed", "error", err, "hint", fleet.HintOf(err))
	s.note(ctx, true, err.Error())
}

func (s *Service) note(ctx context.Context, failed bool, text string) {
	err := s.cfg.Store.Update(ctx, store.Origin{Actor: "agent"}, func(tx *store.Tx) error {
		return s.cfg.Note(tx, failed, text)
	})
	if err != nil && ctx.Err() == nil {
		s.cfg.Log.Error("Timeline not written", "error", err)
	}
}

// Round fetches, verifies and runs once.
func (s *Service) Round(ctx context.Context) error {
	if err := secureexec.PrivateDir(s.cfg.Dir); err != nil {
		return err
	}
	client, err := s.client()
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	key, err := s.key(ctx, client)
	if err != nil {
		return err
	}
	held, err := s.held(ctx, key)
	if err != nil {
		return err
	}
	file, changed, err := s.script(ctx, client, held)
	if err != nil {
		return err
	}
	signed, err := key.Open(file)
	if err != nil {
		return err
	}
	if s.cfg.Source.Site != "" && signed.Site != s.cfg.Source.Site {
		return fleet.Errorf(fleet.Denied, "the script is refused: it is for site %s, this machine follows %s", signed.Site, s.cfg.Source.Site)
	}
	now := s.cfg.Now()
	if err := signed.Follows(held.asFeed(), now); err != nil {
		return err
	}
	if err := atomicfile.WriteFile(s.path("script.asc"), file, 0o600); err != nil {
		return err
	}
	after := signed.After(held.asFeed(), now)
	err = s.cfg.Store.Update(ctx, store.Origin{Actor: "agent"}, func(tx *store.Tx) error {
		if after.Serial != held.Serial {
			if err := s.cfg.Note(tx, false, fmt.Sprintf("serial %d of site %s taken", signed.Serial, signed.Site)); err != nil {
				return err
			}
		}
		return tx.Put(Rows, Rows.Encode(Held{Name: theOne, Fingerprint: key.Fingerprint(), Serial: after.Serial,
			Digest: hex.EncodeToString(after.Digest[:]), Clock: after.Clock.Unix(), Changed: changed}))
	})
	if err != nil {
		return err
	}
	return s.run(ctx, signed)
}

func (h Held) asFeed() (f feed.Held) {
	f.Serial, f.Clock = h.Serial, time.Unix(h.Clock, 0)
	sum, _ := hex.DecodeString(h.Digest)
	copy(f.Digest[:], sum)
	return f
}

func (s *Service) path(name string) string { return filepath.Join(s.cfg.Dir, name) }

// key is the pinned key: of the disk, or fetched if there is none of this
// fingerprint.
func (s *Service) key(ctx context.Context, client *http.Client) (*feed.PublicKey, error) {
	if text, err := os.ReadFile(s.path("key.asc")); err == nil {
		if key, err := feed.ReadKey(text); err == nil && key.CheckFingerprint(s.cfg.Source.Fingerprint) == nil {
			return key, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot read the feed's key: %w", err)
	}
	text, _, err := s.get(ctx, client, "key.asc", feed.MaxKey, "")
	if err != nil {
		return nil, err
	}
	key, err := feed.ReadKey(text)
	if err == nil {
		err = key.CheckFingerprint(s.cfg.Source.Fingerprint)
	}
	if err != nil {
		return nil, err
	}
	return key, atomicfile.WriteFile(s.path("key.asc"), text, 0o600)
}

// held is what was taken last of this key; of another one nothing counts.
func (s *Service) held(ctx context.Context, key *feed.PublicKey) (h Held, err error) {
	err = s.cfg.Store.View(ctx, func(tx *store.Tx) error {
		rows, err := store.All[Held](tx, Rows, fleet.Filter{"name": theOne})
		if err == nil && len(rows) == 1 && rows[0].Fingerprint == key.Fingerprint() {
			h = rows[0]
		}
		return err
	})
	return h, err
}

// script is the source's script, or the one that is here if it has no newer one.
func (s *Service) script(ctx context.Context, client *http.Client, held Held) (file []byte, changed string, err error) {
	mine, err := os.ReadFile(s.path("script.asc"))
	if err != nil || held.Serial == 0 {
		held.Changed = ""
	}
	file, changed, err = s.get(ctx, client, "script.asc", feed.MaxFile, held.Changed)
	if err == nil && file == nil {
		return mine, held.Changed, nil
	}
	return file, changed, err
}

// get fetches a file; nil if it has not changed since.
func (s *Service) get(ctx context.Context, client *http.Client, name string, limit int64, since string) (data []byte, changed string, err error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.cfg.Source.URL+"/"+name, nil)
	if err != nil {
		return nil, "", err
	}
	if since != "" {
		req.Header.Set("If-Modified-Since", since)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, "", fleet.Errorf(fleet.Unavailable, "cannot fetch the feed: %w", err)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotModified && since != "":
		return nil, since, nil
	case resp.StatusCode != http.StatusOK:
		return nil, "", fleet.Errorf(fleet.Unavailable, "cannot fetch %s: %s", req.URL, resp.Status)
	}
	data, err = io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case err != nil:
		return nil, "", fleet.Errorf(fleet.Unavailable, "cannot fetch %s: %w", req.URL, err)
	case int64(len(data)) > limit:
		return nil, "", fleet.Errorf(fleet.TooLarge, "cannot fetch %s: it is larger than %d bytes", req.URL, limit)
	}
	return data, resp.Header.Get("Last-Modified"), nil
}

func (s *Service) client() (*http.Client, error) {
	t := &http.Transport{Proxy: http.ProxyFromEnvironment, ResponseHeaderTimeout: fetchTime, MaxResponseHeaderBytes: 64 << 10}
	if s.cfg.Source.CA != "" {
		ca, err := os.ReadFile(s.cfg.Source.CA)
		if err != nil {
			return nil, fmt.Errorf("cannot read the authority of the feed's server: %w", err)
		}
		u, err := url.Parse(s.cfg.Source.URL)
		if err != nil {
			return nil, err
		}
		if t.TLSClientConfig, err = pin.Config(u.Hostname(), ca, ""); err != nil {
			return nil, err
		}
	}
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error {
		return errors.New("the feed is somewhere else: write its own address")
	}}, nil
}

// run runs the verified text. The script says by its status whether all updates
// are done.
func (s *Service) run(ctx context.Context, signed feed.Signed) error {
	dir := s.path("run")
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("cannot run the feed: %w", err)
	}
	path, err := secureexec.CopyVerified(dir, "script", bytes.NewReader(signed.Text), feed.MaxFile, [sha256.Size]byte(signed.Digest))
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var said bytes.Buffer
	result, err := secureexec.Run(ctx, secureexec.Command{
		Argv: []string{"/bin/sh", path}, Dir: "/", Env: append(secureexec.Inherit("LANG", "TZ"), "HOME=/root", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
		Out: &said, Err: &said, OutputLimit: output, Timeout: runTime, KillGrace: grace,
	})
	if err != nil {
		return fmt.Errorf("cannot run the feed: %w", err)
	}
	if said.Len() > 0 {
		s.cfg.Log.Info("Feed", "serial", signed.Serial, "output", said.String())
	}
	if failure := result.Failure(); failure != nil {
		return fmt.Errorf("not all updates of the feed are done: %w: %s", failure, lastLine(said.String()))
	}
	if said.Len() > 0 {
		s.note(ctx, false, lastLine(said.String()))
	}
	s.said = ""
	return nil
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}
