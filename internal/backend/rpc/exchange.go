package rpc

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/rpc/wire"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// compressAbove is the size in bytes from which opsi compresses a body.
const compressAbove = 10_000

// exchange is one HTTP request and what is known of it so far.
type exchange struct {
	*Handler
	w     http.ResponseWriter
	r     *http.Request
	actor methods.Actor
	codec *wire.Codec
	spool *wire.Spool // the answer
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
	p := wire.NewPrinter(x.codec, x.spool)
	err := p.List(len(batch), func(i int) error {
		if err := x.r.Context().Err(); err != nil {
			return err // nobody listens any more
		}
		req, err := parseRequest(batch[i])
		_, err = x.run(p, req, err)
		return err
	})
	if err != nil {
		x.refuse(err)
		return
	}
	x.send(http.StatusOK)
}

func (x *exchange) single(v any) {
	req, err := parseRequest(v)
	if err != nil {
		x.refuse(err)
		return
	}
	failure, err := x.run(wire.NewPrinter(x.codec, x.spool), req, nil)
	if err != nil {
		x.refuse(err)
		return
	}
	status := http.StatusOK
	if failure != nil {
		x.w.Header().Set("X-Opsi-Error", headerText(x.told(failure)))
		if fleet.CodeOf(failure) == fleet.Unavailable { // opsi clients heed the status only
			x.retryAfter(failure)
			status = http.StatusServiceUnavailable
		}
	}
	x.send(status)
}

// run does one call, unless err says that there is none, and prints its answer.
// A call that fails, be it while its result is printed, has its error printed
// instead, and returned as failure. err is of the printing.
func (x *exchange) run(p *wire.Printer, req request, wrong error) (failure, err error) {
	mark := x.spool.Len()
	if failure = wrong; failure == nil {
		failure = x.call(p, req)
	}
	if failure == nil {
		return nil, nil
	}
	x.spool.Truncate(mark)
	return failure, p.Print(req.answer(nil, x.fault(req.method, failure)))
}

// call runs one method and prints the answer. A panic in it is an error of this
// call only.
func (x *exchange) call(p *wire.Printer, req request) (err error) {
	defer func() {
		if p := recover(); p != nil {
			x.Log.ErrorContext(x.r.Context(), "method panicked", "method", req.method, "actor", x.actor.ID, "request", x.request(),
				"panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("%s panicked: %v", req.method, p)
		}
	}()
	x.request()
	call := x.Backend.Call
	if s, ok := x.Backend.(methods.Streamer); ok {
		call = s.Stream
	}
	result, err := call(x.r.Context(), x.actor, req.method, req.params)
	if err != nil {
		return err
	}
	return p.Print(req.answer(result, nil))
}

// told is the text of an error that the caller gets. That of an internal one is
// for the log; it may hold what is no business of the caller.
func (x *exchange) told(err error) string {
	gone := errors.Is(err, context.Canceled) && x.r.Context().Err() != nil
	if fleet.CodeOf(err) == fleet.Internal && !gone {
		return fmt.Sprintf("internal error (request %s)", x.request())
	}
	return err.Error()
}

// fault is what the caller learns of an error.
func (x *exchange) fault(method string, err error) *fault {
	if err == nil {
		return nil
	}
	f := &fault{code: fleet.CodeOf(err), class: fleet.ClassOf(err), text: x.told(err), hint: fleet.HintOf(err)}
	if errors.Is(err, context.Canceled) && x.r.Context().Err() != nil {
		return f // the caller went away
	}
	if f.code == fleet.Internal {
		x.Log.ErrorContext(x.r.Context(), "call failed", "method", method, "actor", x.actor.ID, "request", x.request(), "error", err)
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
		x.codec = wire.JSON
		x.w.Header().Set("WWW-Authenticate", `Basic realm="opsi Service"`)
		x.print(map[string]any{"id": nil, "result": nil, "error": f.text})
		x.send(http.StatusUnauthorized)
		return
	case fleet.Unavailable:
		x.retryAfter(err)
	}
	x.print((&request{id: int64(0)}).answer(nil, f))
	x.send(statusOf(f.code))
}

func (x *exchange) retryAfter(err error) {
	wait := usualWait
	if e, ok := errors.AsType[*RetryAfter](err); ok {
		wait = min(max(int(math.Ceil(e.Wait.Seconds())), shortestWait), longestWait)
	}
	x.w.Header().Set("Retry-After", strconv.Itoa(wait))
}

// print makes a value the whole answer. It is small, and needs no disk.
func (x *exchange) print(v any) {
	x.spool = &wire.Spool{}
	if err := wire.NewPrinter(x.codec, x.spool).Print(v); err != nil {
		panic(err) // a fault is plain data
	}
}

// send sends what was printed. What cannot be sent whole is broken off, so that
// nobody takes it for whole.
func (x *exchange) send(status int) {
	header := x.w.Header()
	header.Set("Content-Type", x.codec.MediaType)
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Add("Vary", "Accept, Accept-Encoding")
	encoding := ""
	if x.spool.Len() > compressAbove {
		encoding = wire.Acceptable(x.r.Header.Get("Accept-Encoding"))
	}
	if encoding != "" {
		header.Set("Content-Encoding", encoding)
	}
	if err := x.sendBody(status, encoding); err != nil && x.r.Context().Err() == nil {
		x.Log.WarnContext(x.r.Context(), "Answer broken off", "actor", x.actor.ID, "request", x.request(), "error", err)
		panic(http.ErrAbortHandler)
	}
}

func (x *exchange) sendBody(status int, encoding string) error {
	begin := func(size int64) {
		if size >= 0 {
			x.w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
		}
		x.w.WriteHeader(status)
	}
	data, inMemory := x.spool.Bytes()
	switch {
	case encoding == "":
		begin(x.spool.Len())
		_, err := x.spool.WriteTo(x.w)
		return err
	case inMemory:
		packed, err := wire.Pack(data, encoding)
		if err != nil {
			return err
		}
		begin(int64(len(packed)))
		_, err = x.w.Write(packed)
		return err
	}
	packer, err := wire.NewPacker(x.w, encoding)
	if err != nil {
		return err
	}
	begin(-1)
	_, err = x.spool.WriteTo(packer)
	return errors.Join(err, packer.Close())
}
