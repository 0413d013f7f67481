package rpc

import (
	"cmp"
	"errors"
	"log/slog"
	"net/http"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/rpc/wire"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Handler answers /rpc and everything below it from a Backend. All fields
// except Limits and Scratch must be set.
type Handler struct {
	Backend methods.Backend
	// Authenticate says who sends the request, before its body is read. An
	// error with code Unauthenticated asks for a password, Denied and Locked
	// are final, Unavailable may name a [RetryAfter].
	Authenticate func(*http.Request) (methods.Actor, error)
	Log          *slog.Logger
	Limits       Limits
	// Scratch is the folder for answers that are too large for memory; empty is
	// the system's for temporary files.
	Scratch string

	memory, disk budget
}

// Limits bounds what one request may cost; 0 is the default.
type Limits struct {
	Body  int64 // bytes, before and after unpacking; 64 MiB
	Batch int   // calls in one request; 1,000
	// Memory in bytes for all requests and answers under way, a quarter of it for
	// those of one caller; 512 MiB.
	Memory int64
	// Disk in bytes for answers that are too large for memory, a quarter of it
	// for those of one caller; 4 GiB.
	Disk int64
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{Handler: h, w: w, r: r, codec: wire.JSON, spool: &wire.Spool{}}
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
	memory := h.memory.share("request", cmp.Or(h.Limits.Memory, 512<<20), x.actor)
	defer memory.release()
	body, out, err := readBody(w, r, cmp.Or(h.Limits.Body, 64<<20), memory)
	x.codec = out
	if err != nil {
		x.refuse(undecodable(err))
		return
	}
	disk := h.disk.share("answer", cmp.Or(h.Limits.Disk, 4<<30), x.actor)
	defer disk.release()
	x.spool = &wire.Spool{Dir: h.Scratch, Memory: memory.take, Disk: disk.take}
	defer x.spool.Close()
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
