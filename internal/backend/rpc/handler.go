package rpc

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Handler answers /rpc and everything below it from a Backend. All fields
// except Limits must be set.
type Handler struct {
	Backend methods.Backend
	// Authenticate says who sends the request, before its body is read. An
	// error with code Unauthenticated asks for a password, Denied and Locked
	// are final, Unavailable may name a [RetryAfter].
	Authenticate func(*http.Request) (methods.Actor, error)
	Log          *slog.Logger
	Limits       Limits

	budget budget
}

// Limits bounds what one request may cost; 0 is the default.
type Limits struct {
	Body  int64 // bytes, before and after unpacking; 64 MiB
	Batch int   // calls in one request; 1,000
	// Memory in bytes for the bodies of all requests, a quarter of it for those
	// of one caller; 512 MiB.
	Memory int64
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{Handler: h, w: w, r: r, codec: jsonCodec}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost:
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	if err := sameSite(r); err != nil {
		x.refuse(err)
		return
	}
	var err error
	if x.actor, err = h.Authenticate(r); err != nil {
		x.actor = methods.Actor{Request: x.actor.Request}
		x.refuse(err)
		return
	}
	if r.Method == http.MethodHead { // how opsi clients greet
		w.WriteHeader(http.StatusOK)
		return
	}
	share := h.budget.share(cmp.Or(h.Limits.Memory, 512<<20), x.actor)
	defer share.release()
	body, out, err := readBody(w, r, cmp.Or(h.Limits.Body, 64<<20), share)
	x.codec = out
	if err != nil {
		x.refuse(undecodable(err))
		return
	}
	x.answer(body)
}

// sameSite refuses what a foreign web page makes a browser send along with the
// user's session or password. A GET can call any method here, so it is no safer
// than a POST.
func sameSite(r *http.Request) error {
	post := *r
	post.Method = http.MethodPost
	if err := new(http.CrossOriginProtection).Check(&post); err != nil {
		return fleet.Errorf(fleet.Denied, "cannot take request: %w", err)
	}
	return nil
}

// undecodable gives an error of the body its code.
func undecodable(err error) error {
	code := fleet.Invalid
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok || fleet.CodeOf(err) == fleet.TooLarge {
		code = fleet.TooLarge
	} else if fleet.CodeOf(err) == fleet.Unavailable {
		code = fleet.Unavailable
	}
	return fleet.Errorf(code, "cannot read request: %w", err)
}

// exchange is one HTTP request and what is known of it so far.
type exchange struct {
	*Handler
	w     http.ResponseWriter
	r     *http.Request
	actor methods.Actor
	codec *codec
}

// request names the request in the log and to the caller.
func (x *exchange) request() string {
	if x.actor.Request == "" {
		x.actor.Request = strings.ToLower(rand.Text()[:12])
	}
	return x.actor.Request
}

// answer calls what the body asks for, in order, and sends the results.
func (x *exchange) answer(body any) {
	batch, ok := body.([]any)
	if !ok {
		x.single(body)
		return
	}
	if most := cmp.Or(x.Limits.Batch, 1000); len(batch) > most {
		x.refuse(fleet.Errorf(fleet.TooLarge, "cannot take %d calls at once: the limit is %d", len(batch), most))
		return
	}
	answers := make([]any, 0, len(batch))
	for _, v := range batch {
		if x.r.Context().Err() != nil {
			return // nobody listens any more
		}
		req, err := parseRequest(v)
		var result any
		if err == nil {
			result, err = x.call(req)
		}
		answers = append(answers, req.answer(result, x.fault(req.method, err)))
	}
	x.send(http.StatusOK, answers)
}

func (x *exchange) single(v any) {
	req, err := parseRequest(v)
	if err != nil {
		x.refuse(err)
		return
	}
	result, err := x.call(req)
	f := x.fault(req.method, err)
	status := http.StatusOK
	if f != nil {
		x.w.Header().Set("X-Opsi-Error", headerText(f.text))
		if f.code == fleet.Unavailable { // opsi clients heed the status only
			x.retryAfter(err)
			status = http.StatusServiceUnavailable
		}
	}
	x.send(status, req.answer(result, f))
}

// call runs one method. A panic in it is an error of this call only.
func (x *exchange) call(req request) (result any, err error) {
	defer func() {
		if p := recover(); p != nil {
			x.Log.ErrorContext(x.r.Context(), "method panicked", "method", req.method, "actor", x.actor.ID, "request", x.request(),
				"panic", p, "stack", string(debug.Stack()))
			result, err = nil, fmt.Errorf("%s panicked: %v", req.method, p)
		}
	}()
	x.request()
	result, err = x.Backend.Call(x.r.Context(), x.actor, req.method, req.params)
	if err != nil {
		return nil, err
	}
	if result, err = plain(result); err != nil {
		return nil, fmt.Errorf("cannot send result of %s: %w", req.method, err)
	}
	return result, nil
}

// fault is what the caller learns of an error. The text of an internal one is
// for the log; it may hold what is no business of the caller.
func (x *exchange) fault(method string, err error) *fault {
	if err == nil {
		return nil
	}
	f := &fault{code: fleet.CodeOf(err), class: fleet.ClassOf(err), text: err.Error(), hint: fleet.HintOf(err)}
	if errors.Is(err, context.Canceled) && x.r.Context().Err() != nil {
		return f // the caller went away
	}
	if f.code == fleet.Internal {
		x.Log.ErrorContext(x.r.Context(), "call failed", "method", method, "actor", x.actor.ID, "request", x.request(), "error", err)
		f.text = fmt.Sprintf("internal error (request %s)", x.request())
	}
	if _, later := errors.AsType[*RetryAfter](err); f.code == fleet.Unavailable && !later {
		// A full disk, a database that is gone: who can mend it reads the log.
		x.Log.WarnContext(x.r.Context(), "call cannot be answered now", "method", method, "actor", x.actor.ID, "request", x.request(), "error", err)
	}
	if x.actor.Role == methods.Administrator {
		f.details = err.Error()
	}
	return f
}

// refuse answers a request as a whole. The answer to a missing or wrong
// password has opsi's bare text in place of the error object, and is JSON.
func (x *exchange) refuse(err error) {
	f := x.fault("", err)
	x.w.Header().Set("X-Opsi-Error", headerText(f.text))
	switch f.code {
	case fleet.Unauthenticated:
		x.codec = jsonCodec
		x.w.Header().Set("WWW-Authenticate", `Basic realm="opsi Service"`)
		x.send(http.StatusUnauthorized, map[string]any{"id": nil, "result": nil, "error": f.text})
		return
	case fleet.Unavailable:
		x.retryAfter(err)
	}
	x.send(statusOf(f.code), (&request{id: int64(0)}).answer(nil, f))
}

func (x *exchange) retryAfter(err error) {
	wait := usualWait
	if e, ok := errors.AsType[*RetryAfter](err); ok {
		wait = min(max(int(math.Ceil(e.Wait.Seconds())), shortestWait), longestWait)
	}
	x.w.Header().Set("Retry-After", strconv.Itoa(wait))
}

func (x *exchange) send(status int, v any) {
	data, err := x.codec.marshal(v)
	encoding := ""
	if err == nil && len(data) > compressAbove {
		if encoding = acceptable(x.r.Header.Get("Accept-Encoding")); encoding != "" {
			data, err = compress(data, encoding)
		}
	}
	if err != nil {
		x.Log.ErrorContext(x.r.Context(), "cannot encode answer", "actor", x.actor.ID, "request", x.request(), "error", err)
		http.Error(x.w, "internal error (request "+x.request()+")", http.StatusInternalServerError)
		return
	}
	header := x.w.Header()
	header.Set("Content-Type", x.codec.mediaType)
	header.Set("Content-Length", strconv.Itoa(len(data)))
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Add("Vary", "Accept, Accept-Encoding")
	if encoding != "" {
		header.Set("Content-Encoding", encoding)
	}
	x.w.WriteHeader(status)
	if x.r.Method != http.MethodHead {
		x.w.Write(data) // the caller may be gone, which is his business
	}
}
