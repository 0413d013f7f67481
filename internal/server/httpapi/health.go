package httpapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
)

// healthRetry is when to ask a failing server again, in seconds.
const healthRetry = "5"

// health says to anybody whether the server can work, and to administrators and
// the bearer of the token which part cannot. Whoever wants to see that must be
// known: without a database only the token is.
func (s *Server) health() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		parts, err := s.Parts.Health(r.Context())
		body, status := map[string]any{"status": "ok"}, http.StatusOK
		if err != nil {
			body["status"], status = "failing", http.StatusServiceUnavailable
			w.Header().Set("Retry-After", healthRetry)
		}
		if s.mayLook(w, r) {
			body["parts"], body["replica"] = parts, s.Replica
			if err != nil {
				body["error"] = err.Error()
			}
		}
		answer(w, status, body)
	})
}

func (s *Server) mayLook(w http.ResponseWriter, r *http.Request) bool {
	if s.bears(r) {
		return true
	}
	if r.Header.Get("Authorization") == "" && r.Header.Get("Cookie") == "" {
		return false
	}
	actor, err := s.Parts.Authenticate(w, r)
	return err == nil && actor.Role == methods.Administrator
}

// bears tells whether a request carries the token (RFC 6750).
func (s *Server) bears(r *http.Request) bool {
	scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if s.Parts.Token == "" || !strings.EqualFold(scheme, "Bearer") {
		return false
	}
	want, got := sha256.Sum256([]byte(s.Parts.Token)), sha256.Sum256([]byte(strings.TrimSpace(given)))
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1
}
