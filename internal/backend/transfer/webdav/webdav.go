// Package webdav reads a depot's products by WebDAV: ranged GETs and nothing
// else, which every depot that opsi made answers.
//
// No PROPFIND is sent: what is there is known already (package folder). Bodies
// are taken as they are stored whatever Content-Encoding says, for depots label
// the packed files that they hold. A redirection is not followed, because the
// host key would go along.
package webdav

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/retry"
)

// Folder is a product's folder. It is a folder.Folder.
type Folder struct {
	Client  *http.Client
	Base    string // https://depot.example.org:4447/depot
	Product string
	// Prepare adds to a request what the depot wants to know of the caller; nil
	// if the connection says it all.
	Prepare func(*http.Request) error
}

// String implements folder.Folder.
func (f *Folder) String() string {
	if u, err := url.Parse(f.Base); err == nil {
		return "webdav " + u.Host
	}
	return "webdav"
}

// Open implements folder.Folder.
func (f *Folder) Open(ctx context.Context, name string, offset, length, size int64) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.address(name), nil)
	if err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "cannot ask for %q: %w", name, err)
	}
	req.Header.Set("Accept-Encoding", "identity")
	part := offset > 0 || length >= 0 && length < size
	switch {
	case part && length >= 0:
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", offset, offset+length-1))
	case part:
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	if f.Prepare != nil {
		if err := f.Prepare(req); err != nil {
			return nil, err
		}
	}
	resp, err := f.Client.Do(req)
	if err != nil {
		return nil, fleet.Errorf(fleet.Unavailable, "the depot does not answer: %w", err)
	}
	if err := fits(resp, part, offset, size); err != nil {
		resp.Body.Close()
		return nil, err
	}
	return resp.Body, nil
}

// address escapes each name by itself: a product's file may be called "50%#?".
func (f *Folder) address(name string) string {
	var b strings.Builder
	b.WriteString(strings.TrimSuffix(f.Base, "/"))
	for part := range strings.SplitSeq(f.Product+"/"+name, "/") {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(part))
	}
	return b.String()
}

// fits refuses an answer that cannot be what was asked for.
func fits(resp *http.Response, part bool, offset, size int64) error {
	switch resp.StatusCode {
	case http.StatusOK:
		if offset > 0 {
			return fleet.Errorf(fleet.NotHere, "the depot cannot begin at an offset")
		}
		if size >= 0 && resp.ContentLength >= 0 && resp.ContentLength != size {
			return otherSize(resp.ContentLength, size)
		}
		return nil
	case http.StatusPartialContent:
		first, whole, err := contentRange(resp.Header.Get("Content-Range"))
		switch {
		case err != nil:
			return err
		case !part || first != offset:
			return fleet.Errorf(fleet.Unavailable, "the depot sends another part than the one asked for")
		case size >= 0 && whole >= 0 && whole != size:
			return otherSize(whole, size)
		}
		return nil
	case http.StatusRequestedRangeNotSatisfiable:
		return fleet.Errorf(fleet.Conflict, "the file is shorter than %d bytes on the depot", offset)
	}
	return refusal(resp)
}

func otherSize(has, size int64) error {
	return fleet.Errorf(fleet.Conflict, "the file has %d bytes on the depot, not %d", has, size)
}

// contentRange reads "bytes 5-9/10" (RFC 9110, 14.4); whole is -1 where the depot
// does not say it.
func contentRange(header string) (first, whole int64, err error) {
	bad := fleet.Errorf(fleet.Unavailable, "the depot answers with the unknown range %.100q", header)
	text, ok := strings.CutPrefix(header, "bytes ")
	if !ok {
		return 0, 0, bad
	}
	span, total, ok := strings.Cut(text, "/")
	from, to, ok2 := strings.Cut(span, "-")
	if !ok || !ok2 {
		return 0, 0, bad
	}
	first, err = number(from)
	last, err2 := number(to)
	if whole = -1; total != "*" {
		var err3 error
		if whole, err3 = number(total); err3 != nil || last >= whole {
			return 0, 0, bad
		}
	}
	if err != nil || err2 != nil || last < first {
		return 0, 0, bad
	}
	return first, whole, nil
}

func number(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 63) // no sign
	return int64(n), err
}

// refusal makes an error of a status.
func refusal(resp *http.Response) error {
	code := fleet.Unavailable
	switch resp.StatusCode {
	case http.StatusUnauthorized:
		code = fleet.Unauthenticated
	case http.StatusForbidden:
		code = fleet.Denied
	case http.StatusNotFound, http.StatusGone:
		code = fleet.NotFound
	}
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		return fleet.WithHint(fleet.Errorf(fleet.Denied, "the depot sends us elsewhere: %s", resp.Status),
			"set the depot's depotWebdavUrl to the place itself; a redirection is not followed")
	}
	err := fleet.Errorf(code, "the depot says: %s", resp.Status)
	if after, bad := strconv.Atoi(resp.Header.Get("Retry-After")); bad == nil && after > 0 {
		return retry.After(err, time.Duration(min(after, 3600))*time.Second)
	}
	return err
}
