package access

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
)

const (
	sessionLife = 120 * time.Second // opsi's, if the client does not ask for another
	longestLife = 24 * time.Hour    // that it may ask for, in X-opsi-session-lifetime
	// A session is about 400 bytes; these bound the memory. Whoever loses a
	// session to them sends his password again.
	maxSessions  = 50_000
	maxOfOne     = 64 // opsi allows 30 an address; here it is a principal
	sweepEvery   = time.Minute
	roomWhenFull = maxSessions / 10
)

// session is a principal who was checked. It is found by the hash of its
// token: a memory dump or a timing holds no token.
type session struct {
	principal
	header [sha256.Size]byte // of the Authorization header it began with
	until  time.Time
	life   time.Duration // from each use on
}

type sessions struct {
	mu      sync.Mutex
	byToken map[tokenHash]session
	byActor map[methods.Actor][]tokenHash // oldest first; may name sessions that have ended
	swept   time.Time
}

type tokenHash [sha256.Size]byte

func newSessions() *sessions {
	return &sessions{byToken: map[tokenHash]session{}, byActor: map[methods.Actor][]tokenHash{}}
}

func hashOf(token string) tokenHash { return sha256.Sum256([]byte(token)) }

// begin makes a session and returns its token: 32 hexadecimal digits, as opsi's.
func (s *sessions) begin(p principal, header [sha256.Size]byte, now time.Time, life time.Duration) string {
	var random [16]byte
	rand.Read(random[:])
	token := hex.EncodeToString(random[:])
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep(now)
	own := slices.DeleteFunc(s.byActor[p.actor], s.gone)
	if len(own) >= maxOfOne {
		delete(s.byToken, own[0])
		own = slices.Delete(own, 0, 1)
	}
	s.byActor[p.actor] = append(own, hashOf(token))
	s.byToken[hashOf(token)] = session{principal: p, header: header, until: now.Add(life), life: life}
	return token
}

func (s *sessions) gone(h tokenHash) bool { _, there := s.byToken[h]; return !there }

// use finds a session and prolongs it.
func (s *sessions) use(token string, now time.Time) (session, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.byToken[hashOf(token)]
	if !ok || !now.Before(found.until) {
		return session{}, false
	}
	found.until = now.Add(found.life)
	s.byToken[hashOf(token)] = found
	return found, true
}

func (s *sessions) end(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byToken, hashOf(token))
}

// sweep drops ended sessions now and then, and when there is no room at all,
// those that end soonest.
func (s *sessions) sweep(now time.Time) {
	if len(s.byToken) < maxSessions && now.Sub(s.swept) < sweepEvery {
		return
	}
	s.swept = now
	maps.DeleteFunc(s.byToken, func(_ tokenHash, v session) bool { return !now.Before(v.until) })
	if len(s.byToken) >= maxSessions {
		soonest := slices.SortedFunc(maps.Keys(s.byToken), func(a, b tokenHash) int {
			return s.byToken[a].until.Compare(s.byToken[b].until)
		})
		for _, h := range soonest[:roomWhenFull] {
			delete(s.byToken, h)
		}
	}
	for actor, own := range s.byActor {
		if own = slices.DeleteFunc(own, s.gone); len(own) == 0 {
			delete(s.byActor, actor)
		} else {
			s.byActor[actor] = own
		}
	}
}

func (a *Access) setCookie(w http.ResponseWriter, token string, life time.Duration) {
	http.SetCookie(w, cookie(token, int(life.Seconds())))
}

// lifeOf is how long a session is to live unused, in seconds in opsi's header;
// what makes no sense there is as if it were not sent.
func lifeOf(r *http.Request) time.Duration {
	seconds, err := strconv.Atoi(strings.TrimSpace(r.Header.Get("X-Opsi-Session-Lifetime")))
	if life := time.Duration(seconds) * time.Second; err == nil && seconds >= 1 && seconds <= int(longestLife.Seconds()) {
		return life
	}
	return sessionLife
}

func cookie(token string, maxAge int) *http.Cookie {
	return &http.Cookie{Name: Cookie, Value: token, Path: "/", MaxAge: maxAge, Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode}
}

// Logout ends the session of a request, if it has one.
func (a *Access) Logout(w http.ResponseWriter, r *http.Request) {
	for _, c := range r.CookiesNamed(Cookie) {
		a.sessions.end(c.Value)
	}
	http.SetCookie(w, cookie("", -1))
}
