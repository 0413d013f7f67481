// Package packages is the depot for an administrator's program: /v1/packages
// lists, installs, removes, compares and copies products. Packages come as
// bodies of any size, at whatever pace they come.
package packages

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/transfer"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/patience"
	"github.com/fernwerk/fernwerk/internal/server/depot"
)

// handler answers for one depot.
type handler struct{ *depot.Depot }

// Handler answers
//
//	GET    /v1/packages                 the list ([]Listed)
//	PUT    /v1/packages/{filename}      install the package in the body (Report)
//	DELETE /v1/packages/{product}       remove the product (Removed)
//	GET    /v1/packages/{product}/verify  compare its tree with what was installed (Verified)
//	POST   /v1/packages/{product}/pull?from=DEPOT  copy it from another depot
//
// The answer of a pull is a line of JSON now and then, {"progress": {"done",
// "total", "wire"}} in bytes, and at the end {"result": Pulled} or the error.
//
// PUT, DELETE and POST take ?force=true; PUT takes ?properties=package to replace the
// depot's property values by the package's defaults (keep is the default, as in
// opsi-package-manager). Errors are
//
//	{"error": {"code": "invalid", "message": "...", "hint": "..."}}
//
// Changing is for administrators, which the caller has made sure of.
func Handler(of *depot.Depot) http.Handler {
	d := handler{of}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/packages", func(w http.ResponseWriter, r *http.Request) {
		list, err := d.List(r.Context())
		d.answer(w, r, list, err)
	})
	mux.HandleFunc("PUT /v1/packages/{filename}", d.servePut)
	mux.HandleFunc("GET /v1/packages/{product}/verify", func(w http.ResponseWriter, r *http.Request) {
		v, err := d.Verify(r.Context(), r.PathValue("product"))
		d.answer(w, r, v, err)
	})
	mux.HandleFunc("POST /v1/packages/{product}/pull", d.servePull)
	mux.HandleFunc("DELETE /v1/packages/{product}", func(w http.ResponseWriter, r *http.Request) {
		force, err := flag(r, "force")
		var gone *depot.Removed
		if err == nil {
			gone, err = d.Remove(r.Context(), d.Actor(r), r.PathValue("product"), force)
		}
		d.answer(w, r, gone, err)
	})
	return mux
}

func (d handler) servePut(w http.ResponseWriter, r *http.Request) {
	var opts depot.Options
	var err error
	if opts.Force, err = flag(r, "force"); err == nil {
		switch keep := r.URL.Query().Get("properties"); keep {
		case "", "keep":
		case "package":
			opts.PackageDefaults = true
		default:
			err = fleet.Errorf(fleet.Invalid, "cannot use properties=%q: the values are keep and package", keep)
		}
	}
	var report *depot.Report
	if err == nil {
		body := patience.Body(w, r.Body)
		report, err = d.Install(r.Context(), d.Actor(r), r.PathValue("filename"), body, r.ContentLength, opts)
	}
	d.answer(w, r, report, err)
}

// progressEvery is how often a pull tells how far it is.
const progressEvery = 500 * time.Millisecond

func (d handler) servePull(w http.ResponseWriter, r *http.Request) {
	force, err := flag(r, "force")
	if err != nil {
		d.answer(w, r, nil, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	out, control := json.NewEncoder(w), http.NewResponseController(w)
	var told time.Time
	tell := func(v any) {
		_ = out.Encode(v) // who is gone ends the pull by his context
		_ = control.Flush()
	}
	p, err := d.Pull(r.Context(), d.Actor(r), r.PathValue("product"), r.URL.Query().Get("from"), depot.Options{Force: force}, func(p transfer.Progress) {
		if now := time.Now(); now.Sub(told) > progressEvery {
			told = now
			tell(map[string]any{"progress": map[string]any{"done": p.BytesDone, "total": p.BytesTotal, "wire": p.WireBytes}})
		}
	})
	if err != nil {
		d.Log.Warn("a product was not copied", "product", r.PathValue("product"), "err", err)
		tell(fault(err))
		return
	}
	tell(map[string]any{"result": p})
}

// fault is an error as it is answered.
func fault(err error) map[string]any {
	return map[string]any{"error": map[string]string{"code": string(fleet.CodeOf(err)), "message": err.Error(), "hint": fleet.HintOf(err)}}
}

func flag(r *http.Request, name string) (bool, error) {
	v := r.URL.Query().Get(name)
	if v == "" {
		return false, nil
	}
	b, err := strconv.ParseBool(v)
	if err != nil {
		return false, fleet.Errorf(fleet.Invalid, "cannot use %s=%q: the values are true and false", name, v)
	}
	return b, nil
}

func (d handler) answer(w http.ResponseWriter, r *http.Request, v any, err error) {
	status := http.StatusOK
	if err != nil {
		if r.Context().Err() != nil {
			return // nobody listens any more
		}
		status = statusOf(err)
		if status == http.StatusInternalServerError {
			d.Log.Error("package request failed", "method", r.Method, "path", r.URL.Path, "err", err)
		}
		v = fault(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // who is gone does not read the answer
}

func statusOf(err error) int {
	switch fleet.CodeOf(err) {
	case fleet.Invalid:
		return http.StatusBadRequest
	case fleet.NotFound:
		return http.StatusNotFound
	case fleet.Conflict, fleet.Exists:
		return http.StatusConflict
	case fleet.Locked:
		return http.StatusLocked
	case fleet.TooLarge:
		return http.StatusRequestEntityTooLarge
	case fleet.NotHere:
		return http.StatusNotImplemented
	case fleet.Unavailable:
		if errors.Is(err, depot.ErrFull) {
			return http.StatusInsufficientStorage
		}
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}
