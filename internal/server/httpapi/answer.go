package httpapi

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// statuses are the HTTP statuses of errors; what is not listed is 500.
var statuses = map[fleet.Code]int{
	fleet.Invalid:         http.StatusBadRequest,
	fleet.NotFound:        http.StatusNotFound,
	fleet.Exists:          http.StatusConflict,
	fleet.Conflict:        http.StatusConflict,
	fleet.Locked:          http.StatusLocked,
	fleet.Unauthenticated: http.StatusUnauthorized,
	fleet.Denied:          http.StatusForbidden,
	fleet.TooLarge:        http.StatusRequestEntityTooLarge,
	fleet.NotHere:         http.StatusNotImplemented,
	fleet.Unavailable:     http.StatusServiceUnavailable,
}

// Status is the HTTP status of an error, for parts that word it themselves.
func Status(err error) int {
	if status, listed := statuses[fleet.CodeOf(err)]; listed {
		return status
	}
	return http.StatusInternalServerError
}

// usualRetry is when to come back to a server that cannot work now, in seconds.
const usualRetry = "30"

// refuse answers an error in JSON: {"error": {"code", "message", "hint"}}.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	code := fleet.CodeOf(err)
	status, listed := statuses[code]
	text := err.Error()
	if !listed {
		status, text = http.StatusInternalServerError, "internal error (request "+w.Header().Get("X-Request-Id")+")"
	}
	if code == fleet.Unauthenticated {
		w.Header().Set("WWW-Authenticate", `Basic realm="opsi Service"`)
	}
	if later, ok := errors.AsType[*rpc.RetryAfter](err); ok {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(later.Wait.Seconds()))))
	} else if code == fleet.Unavailable {
		w.Header().Set("Retry-After", usualRetry)
	}
	answer(w, status, fault(code, text, fleet.HintOf(err)))
}

// Refuse answers an error as the table does, for parts that answer by themselves.
func Refuse(w http.ResponseWriter, r *http.Request, err error) { refuse(w, r, err) }

func notFound(w http.ResponseWriter, r *http.Request) {
	refuse(w, r, fleet.Errorf(fleet.NotFound, "cannot find %s", r.URL.Path))
}

func fault(code fleet.Code, text, hint string) map[string]any {
	f := map[string]any{"code": string(code), "message": text}
	if hint != "" {
		f["hint"] = hint
	}
	return map[string]any{"error": f}
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) // the caller may be gone, which is his business
}

const (
	pieceSize = 64 << 10
	pieceTime = 2 * time.Minute
	// renewEvery keeps the setting of deadlines out of the way of fast readers.
	renewEvery = 10 * time.Second
)

// writer counts what is sent, and gives up on a reader who stands still: each
// piece has its time, the whole has none.
type writer struct {
	http.ResponseWriter
	control *http.ResponseController
	status  int
	bytes   int64
	renewed time.Time
}

func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *writer) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.renew()
	w.ResponseWriter.WriteHeader(status)
}

func (w *writer) Write(p []byte) (written int, err error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	for {
		w.renew()
		n, err := w.ResponseWriter.Write(p[written:min(len(p), written+pieceSize)])
		written += n
		w.bytes += int64(n)
		if err != nil || written == len(p) {
			return written, err
		}
	}
}

func (w *writer) renew() {
	if now := time.Now(); now.Sub(w.renewed) > renewEvery {
		w.renewed = now
		w.control.SetWriteDeadline(now.Add(pieceTime))
	}
}
