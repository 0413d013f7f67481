// Package access decides who sends a request: a person with an account, or a
// host with its key, as opsi clients do it.
//
// Credentials come as HTTP Basic, and once accepted as a session cookie. People
// have accounts with a role, kept as the local class [Accounts]. Hosts are rows
// of the fleet: their name is the host id (or hardware address, or system
// UUID), their password the host key, or once the one-time password that an
// administrator gave them.
//
// # Sessions
//
// A session is a sealed token in the client's cookie: who it is, a proof of the
// stored credential, since when and how long. No server keeps it, so a herd of
// logins writes nothing, a restart ends nobody's session, and every server with
// the same key ([Access.SealWith]) accepts it. It lives 120 seconds beyond its
// last use, or what the client asked for when it began; with use the token is
// made anew. A session is good only while the stored credential is the one that
// it began with, so that changing a password or a host key, or deleting the host, ends it
// at once, everywhere. What is ended before (a logout, an administrator) is a
// row until the token would have ended by itself; see [Ended]. A password is
// checked for a session, not for every request: checking is made to be slow.
//
// # Failed logins
//
// An account may ask for a one-time code besides the password. Each code counts
// once, among all servers of a database.
//
// Who fails several times under one name waits longer and longer for the next
// try under that name. There is no limit by address: a branch office is one
// address. A right host key is always accepted: nobody guesses 128 random bits,
// and nobody shall be able to lock a host out by failing in its name.
//
// Logins of people, failed logins and refusals stand in the journal, counted
// together, so that nobody fills a disk by failing.
package access

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Cookie is the name of the session cookie; opsi clients look for it.
const Cookie = "opsiconfd-session"

// What a login tells a host of its identity when it used another name, or a
// one-time password; opsi clients write both into their configuration.
const (
	newHostID  = "X-Opsi-New-Host-Id"
	newHostKey = "X-Opsi-New-Host-Key"
)

// noContact is set by a depot server that asks for whom it may answer: it is not
// the host's own address that the question comes from.
const noContact = "X-Fernwerk-No-Contact"

// What a login tells of how it was made, and where it takes a one-time code.
const (
	authMethods = "X-Opsi-Auth-Methods"
	mfaCode     = "X-Opsi-Mfa-Otp"
)

// Access authenticates requests.
type Access struct {
	store    *store.Store
	log      *slog.Logger
	now      func() time.Time
	sealer   sealer
	ended    ended
	failures *failures
	codes    *failures // wrong one-time codes
	attempts *attempts
	server   string
	checks   chan struct{} // a slot for each password check that may run
	seen     *seen

	begun, resumed, ends atomic.Int64 // sessions since the start, see Count
}

// New makes an Access over a store that was opened with [Accounts] and
// [EndedSessions]. now is the clock. Its sessions end with the process, unless
// [Access.SealWith] names a key.
func New(s *store.Store, log *slog.Logger, now func() time.Time) *Access {
	var key [32]byte
	rand.Read(key[:])
	return &Access{
		store: s, log: log, now: now, sealer: newSealer(key), ended: ended{byName: map[string]Ended{}},
		failures: newFailures(longestWait), codes: newFailures(longestCodeWait),
		attempts: newAttempts(s, log), checks: make(chan struct{}, 2), seen: newSeen(),
	}
}

// SealWith makes sessions good wherever the key is. It is called before the first
// request.
func (a *Access) SealWith(key [32]byte) { a.sealer = newSealer(key) }

// Count says how many sessions began, how many requests came with one that was
// good, and how many were ended before their time, since the start.
func (a *Access) Count() (begun, resumed, ended int64) {
	return a.begun.Load(), a.resumed.Load(), a.ends.Load()
}

// principal is somebody known, with the credential that proved it.
type principal struct {
	actor  methods.Actor
	groups []string          // that a person is bound to
	proof  [sha256.Size]byte // of the stored credential
}

// Authenticate says who sends a request. It sets the session cookie, and the
// headers by which a host learns its id and key, on w. Without credentials, or
// with wrong ones, the error is Unauthenticated; while a name waits after
// failures it is Unavailable.
func (a *Access) Authenticate(w http.ResponseWriter, r *http.Request) (methods.Actor, error) {
	header := r.Header.Get("Authorization")
	p, ok, err := a.resume(w, r, header)
	if err != nil {
		return methods.Actor{}, err
	}
	if !ok {
		if p, err = a.login(w, r, header); err != nil {
			return methods.Actor{}, err
		}
		a.begin(w, r, p, header)
	}
	p.actor.Address = address(r)
	if p.actor.Role == methods.Host && r.Header.Get(noContact) == "" {
		a.seen.note(p.actor.ID, p.actor.Address, a.now())
	}
	return p.actor, nil
}

// resume finds the session of a request. One that comes with other credentials
// than it began with does not count: the credentials do.
func (a *Access) resume(w http.ResponseWriter, r *http.Request, header string) (principal, bool, error) {
	for _, s := range a.sessionsOf(r) {
		if header != "" && headerSum(header) != s.header {
			continue
		}
		if a.ended.stale(a.store.Shared(), readEnded) {
			if err := a.readEndedSessions(r.Context()); err != nil {
				return principal{}, false, err
			}
		}
		if a.ended.counts(s) {
			continue
		}
		p, good, err := a.stillGood(r.Context(), s)
		if err != nil {
			return principal{}, false, err
		}
		if good {
			a.resumed.Add(1)
			a.prolong(w, s)
			return p, true, nil
		}
	}
	return principal{}, false, nil
}

// stillGood tells whether the stored credential is the one a session began with,
// and who that is now.
func (a *Access) stillGood(ctx context.Context, s *session) (p principal, good bool, err error) {
	err = a.store.Look(ctx, func(tx *store.Tx) error {
		p, err = a.stored(tx, methods.Actor{Role: s.role, ID: s.actor})
		good = err == nil && subtle.ConstantTimeCompare(p.proof[:], s.proof[:]) == 1 && p.actor.Role == s.role
		if fleet.CodeOf(err) == fleet.NotFound {
			err = nil
		}
		return err
	})
	return p, good, err
}

// stored is a principal as the database has it now.
func (a *Access) stored(tx *store.Tx, actor methods.Actor) (principal, error) {
	if actor.Role == methods.Host || actor.Role == methods.Depot {
		row, err := tx.Get(fleet.Hosts, fleet.Row{"id": actor.ID})
		if err != nil {
			return principal{}, err
		}
		return hostPrincipal(row), nil
	}
	acc, err := account(tx, actor.ID)
	return acc.principal(), err
}

func hostPrincipal(r fleet.Row) principal {
	role := methods.Host
	if r.Str("type") != fleet.OpsiClient {
		role = methods.Depot
	}
	return principal{methods.Actor{Role: role, ID: r.Str("id")}, nil, sha256.Sum256([]byte(r.Str("opsiHostKey")))}
}

// login checks the credentials of a request.
func (a *Access) login(w http.ResponseWriter, r *http.Request, header string) (principal, error) {
	name, password, ok := basic(header)
	if !ok || password == "" || len(name) > maxName {
		return principal{}, fleet.Errorf(fleet.Unauthenticated, "cannot answer without user name and password")
	}
	if f, isHost := hostFilter(name); isHost {
		p, found, err := a.loginHost(w, r, f, password)
		if found || err != nil {
			return p, err
		}
	}
	p, means, err := a.loginAccount(r.Context(), name, password, r.Header.Get(mfaCode), address(r))
	if err == nil {
		w.Header().Set(authMethods, means)
		a.attempts.login(p.actor, address(r))
	}
	return p, err
}

var hardwareAddress = regexp.MustCompile(`^([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}$`)

// maxName bounds what one name costs in the list of failures. A host id has at
// most 253 characters.
const maxName = 300

// The forms in which a host may name itself instead of by its id.
const (
	byHardwareAddress = "{hardware_address}"
	bySystemUUID      = "{system_uuid}"
)

// hostFilter finds the host that a user name means. A name of three labels may
// be an account as well.
func hostFilter(name string) (fleet.Filter, bool) {
	if mac, ok := strings.CutPrefix(name, byHardwareAddress); ok {
		return fleet.Filter{"hardwareAddress": mac}, hardwareAddress.MatchString(mac)
	}
	if uuid, ok := strings.CutPrefix(name, bySystemUUID); ok {
		return fleet.Filter{"systemUUID": uuid}, uuid != "" && !strings.Contains(uuid, "*")
	}
	if hardwareAddress.MatchString(name) {
		return fleet.Filter{"hardwareAddress": name}, true
	}
	return fleet.Filter{"id": name}, fleet.ValidHostID(name) == nil
}

// basic reads HTTP Basic credentials (RFC 7617). A hardware address holds
// colons itself: what follows its last one is the password then.
func basic(header string) (name, password string, ok bool) {
	scheme, encoded, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Basic") {
		return "", "", false
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if err != nil {
		return "", "", false
	}
	text := string(raw)
	name, password, ok = strings.Cut(text, ":")
	if i := strings.LastIndexByte(text, ':'); i >= 0 && hardwareAddress.MatchString(strings.TrimPrefix(text[:i], byHardwareAddress)) {
		name, password = text[:i], text[i+1:]
	}
	return strings.TrimSuffix(strings.ToLower(name), "."), password, ok
}

func address(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	host, _, _ = strings.Cut(host, "%") // the zone of a link-local address is this machine's affair
	return host
}
