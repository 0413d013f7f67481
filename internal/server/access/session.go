package access

import (
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
)

// The life of a session in seconds beyond its last use: what counts without a
// word, and what a client may ask for in lifetimeHeader. The limits are opsi's.
const (
	sessionLife     = 120 * time.Second
	longestLife     = 86400 * time.Second
	lifetimeHeader  = "X-Opsi-Session-Lifetime"
	maxToken        = 1 << 10
	tokenPurpose    = "fernwerk session 1"
	maxCookies      = 8 // of our name in one request; more are noise
	sessionIDLength = 16
	// clocksDiffer is how far the clocks of two servers may be apart. A token from
	// further ahead is of a clock that was wrong, and would live until it is right.
	clocksDiffer = 5 * time.Minute
)

// session is a principal who was checked, as its token says. The token is the
// session: sealed, it travels in the cookie, and no server keeps anything of it.
type session struct {
	id     [sessionIDLength]byte // stays when the token is made anew
	proof  [sha256.Size]byte     // of the stored credential
	header [16]byte              // of the Authorization header that it began with
	begun  time.Time             // seconds
	issued time.Time             // of this token, seconds
	life   time.Duration         // seconds
	role   methods.Role
	actor  string
}

func (s *session) name() string { return hex.EncodeToString(s.id[:]) }

// until is the token's end. A token is made anew a quarter of its life before it
// has to: the session then lives its whole life beyond the last use, and not
// every answer carries a cookie.
func (s *session) until() time.Time { return s.issued.Add(s.life + s.renewal()) }

func (s *session) renewal() time.Duration { return max(s.life/4, time.Second) }

// sealer makes and opens tokens. Servers with the same key know each other's.
type sealer struct{ cipher.AEAD }

func newSealer(key [32]byte) sealer {
	c, err := chacha20poly1305.NewX(key[:])
	if err != nil {
		panic(err) // only for a key of another size
	}
	return sealer{c}
}

// seal: nonce, then sealed: version, id, proof, header, begun, issued, life,
// length of the role, role, actor.
func (k sealer) seal(s *session) string {
	b := make([]byte, 0, 256)
	b = append(b, 1)
	b = append(b, s.id[:]...)
	b = append(b, s.proof[:]...)
	b = append(b, s.header[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(s.begun.Unix()))
	b = binary.BigEndian.AppendUint64(b, uint64(s.issued.Unix()))
	b = binary.BigEndian.AppendUint32(b, uint32(s.life/time.Second))
	b = append(b, byte(len(s.role)))
	b = append(b, s.role...)
	b = append(b, s.actor...)
	nonce := make([]byte, k.NonceSize(), k.NonceSize()+len(b)+k.Overhead())
	rand.Read(nonce)
	return base64.RawURLEncoding.EncodeToString(k.Seal(nonce, nonce, b, []byte(tokenPurpose)))
}

// open reads a token that one of us made and that has not ended.
func (k sealer) open(token string, now time.Time) (*session, bool) {
	if len(token) > maxToken {
		return nil, false
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) < k.NonceSize() {
		return nil, false
	}
	b, err := k.Open(nil, raw[:k.NonceSize()], raw[k.NonceSize():], []byte(tokenPurpose))
	const fixed = 1 + sessionIDLength + sha256.Size + 16 + 8 + 8 + 4 + 1
	if err != nil || len(b) < fixed || b[0] != 1 {
		return nil, false
	}
	s := &session{}
	take := func(n int) []byte { part := b[:n]; b = b[n:]; return part }
	take(1)
	copy(s.id[:], take(len(s.id)))
	copy(s.proof[:], take(len(s.proof)))
	copy(s.header[:], take(len(s.header)))
	s.begun = time.Unix(int64(binary.BigEndian.Uint64(take(8))), 0)
	s.issued = time.Unix(int64(binary.BigEndian.Uint64(take(8))), 0)
	s.life = time.Duration(binary.BigEndian.Uint32(take(4))) * time.Second
	role := int(take(1)[0])
	if role > len(b) {
		return nil, false
	}
	s.role, s.actor = methods.Role(take(role)), string(b)
	return s, now.Before(s.until()) && s.issued.Before(now.Add(clocksDiffer+time.Second))
}

// begin makes the session of a principal.
func (a *Access) begin(w http.ResponseWriter, r *http.Request, p principal, header string) {
	now := a.now().Truncate(time.Second)
	s := &session{proof: p.proof, header: headerSum(header), begun: now, issued: now, life: asked(r), role: p.actor.Role, actor: p.actor.ID}
	rand.Read(s.id[:])
	a.begun.Add(1)
	a.show(w, s)
}

// prolong makes the token anew when it is time. Its life stays what it was when
// the session began: by that a logout knows when the last token of the session
// ends, also one that somebody else has.
func (a *Access) prolong(w http.ResponseWriter, s *session) {
	if now := a.now().Truncate(time.Second); now.Sub(s.issued) >= s.renewal() {
		s.issued = now
		a.show(w, s)
	}
}

func (a *Access) show(w http.ResponseWriter, s *session) {
	http.SetCookie(w, cookie(a.sealer.seal(s), int(s.life.Seconds())))
}

// asked is the life that a client wants, or else the usual one.
func asked(r *http.Request) time.Duration {
	n, err := strconv.ParseUint(strings.TrimSpace(r.Header.Get(lifetimeHeader)), 10, 31)
	if wanted := time.Duration(n) * time.Second; err == nil && wanted >= time.Second && wanted <= longestLife {
		return wanted
	}
	return sessionLife
}

func headerSum(header string) [16]byte {
	sum := sha256.Sum256([]byte(header))
	return [16]byte(sum[:16])
}

// sessionsOf are the sessions that a request shows and that could count. Other
// cookies, and what is no cookie, are passed over: opsi-script sends "NULL;
// opsiconfd-session=...".
func (a *Access) sessionsOf(r *http.Request) (found []*session) {
	for i, c := range r.CookiesNamed(Cookie) {
		if i == maxCookies {
			break
		}
		if s, ok := a.sealer.open(c.Value, a.now()); ok {
			found = append(found, s)
		}
	}
	return found
}

func cookie(token string, maxAge int) *http.Cookie {
	return &http.Cookie{Name: Cookie, Value: token, Path: "/", MaxAge: maxAge, Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode}
}
