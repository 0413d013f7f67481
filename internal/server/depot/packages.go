package depot

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Listed is one product of the depot.
type Listed struct {
	Product        string `json:"product"`
	ProductType    string `json:"productType"`
	Name           string `json:"name"`
	ProductVersion string `json:"productVersion"`
	PackageVersion string `json:"packageVersion"`
	Locked         bool   `json:"locked"`
	// Of the tree; Digest is "" for a row that was not made by an installation.
	Files          int64  `json:"files"`
	Bytes          int64  `json:"bytes"`
	ManifestDigest string `json:"manifestDigest"`
}

// List is what the depot has, by product id.
func (d *Depot) List(ctx context.Context) ([]Listed, error) {
	if err := d.await(ctx); err != nil {
		return nil, err
	}
	out := []Listed{}
	err := d.Store.View(ctx, func(tx *store.Tx) error {
		rows, err := store.All[fleet.ProductOnDepot](tx, fleet.ProductsOnDepots, fleet.Filter{"depotId": d.DepotID})
		if err != nil {
			return err
		}
		trees, err := store.All[treeRow](tx, depotTrees, fleet.Filter{"depotId": d.DepotID})
		if err != nil {
			return err
		}
		byProduct := map[string]treeRow{}
		for _, t := range trees {
			byProduct[t.Product] = t
		}
		for _, r := range rows {
			l := Listed{Product: string(r.ProductID), ProductType: r.ProductType, ProductVersion: r.ProductVersion, PackageVersion: r.PackageVersion, Locked: r.Locked}
			if t := byProduct[l.Product]; t.ProductVersion == l.ProductVersion && t.PackageVersion == l.PackageVersion {
				l.Files, l.Bytes, l.ManifestDigest = t.Files, t.Bytes, t.Digest
			}
			p, err := tx.Get(fleet.Products, fleet.Row{"id": l.Product, "productVersion": l.ProductVersion, "packageVersion": l.PackageVersion})
			if err != nil && fleet.CodeOf(err) != fleet.NotFound {
				return err
			}
			l.Name = p.Str("name")
			out = append(out, l)
		}
		return nil
	})
	return out, err
}

// Packages answers
//
//	GET    /v1/packages                 the list ([]Listed)
//	PUT    /v1/packages/{filename}      install the package in the body (Report)
//	DELETE /v1/packages/{product}       remove the product (Removed)
//
// PUT and DELETE take ?force=true; PUT takes ?properties=package to replace the
// depot's property values by the package's defaults (keep is the default, as in
// opsi-package-manager). Errors are
//
//	{"error": {"code": "invalid", "message": "...", "hint": "..."}}
//
// Changing is for administrators, which the caller has made sure of.
func (d *Depot) Packages() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/packages", func(w http.ResponseWriter, r *http.Request) {
		list, err := d.List(r.Context())
		d.answer(w, r, list, err)
	})
	mux.HandleFunc("PUT /v1/packages/{filename}", d.servePut)
	mux.HandleFunc("DELETE /v1/packages/{product}", func(w http.ResponseWriter, r *http.Request) {
		force, err := flag(r, "force")
		var gone *Removed
		if err == nil {
			gone, err = d.Remove(r.Context(), d.Origin(r), r.PathValue("product"), force)
		}
		d.answer(w, r, gone, err)
	})
	return mux
}

func (d *Depot) servePut(w http.ResponseWriter, r *http.Request) {
	var opts Options
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
	var report *Report
	if err == nil {
		body := &patient{r: r.Body, control: http.NewResponseController(w)}
		report, err = d.Install(r.Context(), d.Origin(r), r.PathValue("filename"), body, r.ContentLength, opts)
	}
	d.answer(w, r, report, err)
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

// patience is how long a sender may be silent.
const patience = 2 * time.Minute

// patient reads a body for as long as it keeps coming, whatever the server's
// own limits are, and lets the answer wait for the installation.
type patient struct {
	r       io.Reader
	control *http.ResponseController
}

func (p *patient) Read(b []byte) (int, error) {
	// Servers that cannot set deadlines have none.
	_ = p.control.SetReadDeadline(time.Now().Add(patience))
	n, err := p.r.Read(b)
	if err != nil {
		_ = p.control.SetReadDeadline(time.Time{})
		_ = p.control.SetWriteDeadline(time.Time{})
	}
	return n, err
}

func (d *Depot) answer(w http.ResponseWriter, r *http.Request, v any, err error) {
	status := http.StatusOK
	if err != nil {
		if r.Context().Err() != nil {
			return // nobody listens any more
		}
		status = statusOf(err)
		message := err.Error()
		if status == http.StatusInternalServerError {
			d.Log.ErrorContext(r.Context(), "package request failed", "method", r.Method, "path", r.URL.Path, "err", err)
		}
		v = map[string]any{"error": map[string]string{"code": string(fleet.CodeOf(err)), "message": message, "hint": fleet.HintOf(err)}}
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
		if errors.Is(err, errFull) {
			return http.StatusInsufficientStorage
		}
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}
