// Package vouch decides who calls a depot server by asking its config server.
//
// A depot server has no accounts and no host keys. The credentials that come
// with a request go on to the config server, which says who that is, and counts
// failed logins by account as it always does. Its word is remembered by a hash of
// the credentials, never with them:
//
//   - for a minute nothing is asked again: a client that reads a thousand files
//     costs one question, and one who was deleted or got another key is out within
//     that minute;
//   - while the config server is away, a host that it has vouched for stays known
//     for a day, so that a branch goes on working. People are not: what they do
//     here is not reading. For half a minute after a question without an answer
//     such hosts cost none: a line that is cut answers nothing, not even no;
//   - a host's one-time password is not remembered at all: it counts once.
//
// All is in memory: after a restart everybody is asked for anew. The config
// server is told not to take the depot's address for the host's.
package vouch

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/pin"
)

// NoContact is the header by which the config server learns that a host did not
// come from the address that the question comes from.
const NoContact = "X-Fernwerk-No-Contact"

const (
	fresh    = time.Minute    // how long an answer counts without asking
	grace    = 24 * time.Hour // and for hosts while nobody can be asked
	away     = 30 * time.Second
	patience = 15 * time.Second
	// maxKnown bounds the memory, 300 bytes each. Whoever is forgotten is asked for
	// again.
	maxKnown  = 50_000
	maxHeader = 8 << 10
	maxAnswer = 64 << 10
	// maxAsking is how many questions may be under way.
	maxAsking = 64
)

// The headers in which credentials come, and those by which a host learns its
// own id and key.
var (
	credentials = []string{"Authorization", "X-Opsi-Mfa-Otp"}
	learns      = []string{"X-Opsi-New-Host-Id", newHostKey}
)

// newHostKey comes with the answer to a one-time password.
const newHostKey = "X-Opsi-New-Host-Key"

// Voucher asks one config server.
type Voucher struct {
	url    string // of its /rpc
	client *http.Client
	log    *slog.Logger
	now    func() time.Time
	salt   [32]byte
	asking chan struct{}

	mu    sync.Mutex
	mute  time.Time // since when the config server answers nothing; zero if it does
	known map[[sha256.Size]byte]word
}

// word is what the config server said of somebody.
type word struct {
	actor  methods.Actor
	cookie string // the config server's session, for the next question
	once   bool   // the password is used up by now, and must not count again
	asked  time.Time
	used   time.Time
}

// New makes a Voucher that asks at a server's address, https://HOST:PORT.
func New(server string, trust *tls.Config, log *slog.Logger, now func() time.Time) *Voucher {
	v := &Voucher{url: strings.TrimSuffix(server, "/") + "/rpc", log: log, now: now, asking: make(chan struct{}, maxAsking), known: map[[sha256.Size]byte]word{}}
	rand.Read(v.salt[:])
	v.client = &http.Client{Timeout: patience,
		Transport: &http.Transport{Proxy: pin.Direct(nil), TLSClientConfig: trust.Clone(), TLSHandshakeTimeout: patience, ForceAttemptHTTP2: true,
			MaxIdleConnsPerHost: 4, IdleConnTimeout: 90 * time.Second},
		// Nobody's credentials follow to another place.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return v
}

// Authenticate says who sends a request.
func (v *Voucher) Authenticate(w http.ResponseWriter, r *http.Request) (methods.Actor, error) {
	if header := r.Header.Get("Authorization"); header == "" || len(header) > maxHeader {
		return methods.Actor{}, fleet.Errorf(fleet.Unauthenticated, "cannot answer without user name and password")
	}
	key := v.keyOf(r)
	now := v.now()
	before, known := v.recall(key, now)
	if known && now.Sub(before.asked) < fresh {
		return at(before.actor, r), nil
	}
	lasts := known && before.actor.Role == methods.Host && now.Sub(before.asked) < grace
	if lasts && v.isMute(now) {
		return at(before.actor, r), nil
	}
	said, err := v.ask(r.Context(), w, r, before.cookie)
	switch {
	case err == nil:
		said.asked, said.used = now, now
		if !said.once {
			v.remember(key, said)
		}
		return at(said.actor, r), nil
	case fleet.CodeOf(err) != fleet.Unavailable:
		v.forget(key)
	case lasts && r.Context().Err() == nil:
		v.log.Warn("Config server is away, a known host is served", "host", before.actor.ID, "known since", before.asked, "error", err)
		return at(before.actor, r), nil
	}
	return methods.Actor{}, err
}

// Logout forgets the caller.
func (v *Voucher) Logout(_ http.ResponseWriter, r *http.Request) error {
	v.forget(v.keyOf(r))
	return nil
}

// keyOf is the hash of a request's credentials. The salt keeps what was hashed
// from being guessed by who gets hold of the hashes alone.
func (v *Voucher) keyOf(r *http.Request) [sha256.Size]byte {
	h := sha256.New()
	h.Write(v.salt[:])
	for _, name := range credentials {
		fmt.Fprintf(h, "%d:%s", len(r.Header.Get(name)), r.Header.Get(name))
	}
	return [sha256.Size]byte(h.Sum(nil))
}

func at(a methods.Actor, r *http.Request) methods.Actor {
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		a.Address = host
	}
	return a
}

// heard notes whether the config server answers.
func (v *Voucher) heard(answers bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.mute = v.now(); answers {
		v.mute = time.Time{}
	}
}

func (v *Voucher) isMute(now time.Time) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return !v.mute.IsZero() && now.Sub(v.mute) < away
}

func (v *Voucher) recall(key [sha256.Size]byte, now time.Time) (word, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	w, known := v.known[key]
	if known {
		w.used = now
		v.known[key] = w
	}
	return w, known
}

func (v *Voucher) remember(key [sha256.Size]byte, w word) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, known := v.known[key]; !known && len(v.known) >= maxKnown {
		for k, old := range v.known {
			if w.used.Sub(old.asked) >= grace {
				delete(v.known, k)
			}
		}
		for k := range v.known { // whoever it is; some more, so that this is rare
			if len(v.known) < maxKnown-maxKnown/10 {
				break
			}
			delete(v.known, k)
		}
	}
	v.known[key] = w
}

func (v *Voucher) forget(key [sha256.Size]byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.known, key)
}

// question is one call; the config server's table has the method.
const question = `{"jsonrpc":"2.0","id":1,"method":"accessControl_getCaller","params":[]}`

func (v *Voucher) ask(ctx context.Context, w http.ResponseWriter, r *http.Request, cookie string) (said word, err error) {
	select {
	case v.asking <- struct{}{}:
		defer func() { <-v.asking }()
	case <-ctx.Done():
		return said, ctx.Err()
	}
	// Whoever asks may go away; that there is no answer is worth knowing.
	req, err := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodPost, v.url, strings.NewReader(question))
	if err != nil {
		return said, err
	}
	for _, name := range credentials {
		if value := r.Header.Get(name); value != "" {
			req.Header.Set(name, value)
		}
	}
	if cookie != "" {
		req.Header.Set("Cookie", cookie)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "fernwerkd depot")
	req.Header.Set(NoContact, "1")
	resp, err := v.client.Do(req)
	v.heard(err == nil)
	if err != nil {
		return said, fleet.WithHint(fleet.Errorf(fleet.Unavailable, "cannot ask the config server who that is: %w", err), "is it up? this depot server knows nobody by itself")
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return said, fleet.Errorf(fleet.Unavailable, "cannot ask the config server who that is: %w", err)
	}
	for _, name := range learns {
		if value := resp.Header.Get(name); value != "" {
			w.Header().Set(name, value)
		}
	}
	if resp.StatusCode != http.StatusOK {
		return said, refusal(resp)
	}
	var answer struct {
		Result struct{ ID, Role string }
		Error  *struct{ Message string }
	}
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(&answer); err != nil || answer.Error != nil || answer.Result.ID == "" {
		return said, fleet.Errorf(fleet.Unavailable, "cannot ask the config server who that is: it does not say")
	}
	switch role := methods.Role(answer.Result.Role); role {
	case methods.Administrator, methods.Operator, methods.Reader, methods.Depot, methods.Host:
		said.actor = methods.Actor{Role: role, ID: answer.Result.ID}
	default:
		return said, fleet.Errorf(fleet.Denied, "cannot let %.100q in: its role is %.100q", answer.Result.ID, role)
	}
	said.once = resp.Header.Get(newHostKey) != ""
	var pairs []string
	for _, c := range resp.Cookies() {
		pairs = append(pairs, c.Name+"="+c.Value)
	}
	if said.cookie = strings.Join(pairs, "; "); said.cookie == "" {
		said.cookie = cookie
	}
	return said, nil
}

// refusal is what the config server's status means here.
func refusal(resp *http.Response) error {
	switch resp.StatusCode {
	case http.StatusUnauthorized:
		return fleet.Errorf(fleet.Unauthenticated, "cannot log in: wrong name or password")
	case http.StatusForbidden:
		return fleet.Errorf(fleet.Denied, "cannot log in: the config server does not let you in")
	}
	cause := error(fleet.Errorf(fleet.Unavailable, "its answer is %s", resp.Status))
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
		cause = &rpc.RetryAfter{Wait: time.Duration(seconds) * time.Second}
	}
	return fleet.Errorf(fleet.Unavailable, "cannot ask the config server who that is: %w", cause)
}
