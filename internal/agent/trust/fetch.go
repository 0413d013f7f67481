package trust

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/fernwerk/fernwerk/internal/backend/transfer/line"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// maxTag is the most bytes of a tag that is kept.
const maxTag = 128

// errNotModified is the answer that what is held is the newest.
var errNotModified = errors.New("not modified")

// answer is one file of the server.
type answer struct {
	data []byte
	tag  string
}

// get fetches a file of at most limit bytes, and reads not one more: an announced
// length is where the connection is cut, whatever the server still sends. A server that brings less
// than a KiB in the patience of one is given up.
func (k *Keeper) get(ctx context.Context, name string, limit int64, tag string) (answer, error) {
	a, err := k.fetch(ctx, name, limit, tag)
	if err == nil || errors.Is(err, errNotModified) {
		return a, err
	}
	code := fleet.CodeOf(err)
	if code == fleet.Internal { // of the line
		code = fleet.Unavailable
	}
	return a, fleet.Errorf(code, "cannot fetch %s: %w", name, err)
}

func (k *Keeper) fetch(ctx context.Context, name string, limit int64, tag string) (answer, error) {
	ctx, l := line.New(ctx, line.Options{Idle: k.Idle, Most: limit})
	defer l.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.Base+"/"+name, nil)
	if err != nil {
		return answer{}, err
	}
	if err := k.Prepare(req); err != nil {
		return answer{}, err
	}
	if tag != "" {
		req.Header.Set("If-None-Match", tag)
	}
	done := l.Wait()
	resp, err := k.Client.Do(req)
	done(0)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return answer{}, err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotModified:
		return answer{}, errNotModified
	case http.StatusNotFound:
		return answer{}, fleet.Errorf(fleet.NotFound, "the server does not have it")
	case http.StatusUnauthorized, http.StatusForbidden:
		return answer{}, fleet.Errorf(fleet.Unauthenticated, "the server does not let this machine in: %s", resp.Status)
	default:
		return answer{}, fleet.Errorf(fleet.Unavailable, "the server answers %s", resp.Status)
	}
	if resp.ContentLength > limit {
		return answer{}, fleet.Errorf(fleet.Denied, "it has %d bytes, and at most %d are announced", resp.ContentLength, limit)
	}
	// What is longer is cut here, and then is not what was signed.
	data, err := io.ReadAll(io.LimitReader(l.Reader(resp.Body), limit))
	if cause := context.Cause(ctx); cause != nil {
		err = cause // a server that notices that we hang up may end its answer neatly
	}
	if err != nil {
		return answer{}, err
	}
	a := answer{data: data}
	if tag := resp.Header.Get("ETag"); len(tag) <= maxTag {
		a.tag = tag
	}
	return a, nil
}

// Content fetches what is signed under a name, or has it already. Nothing is given
// out that is not what was signed.
func (k *Keeper) Content(ctx context.Context, name string) ([]byte, error) {
	target, err := k.find(name)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	data, ok := k.content[digestText(target)]
	k.mu.Unlock()
	if ok {
		return data, nil
	}
	if target.Length > maxContent {
		return nil, fleet.Errorf(fleet.TooLarge, "cannot fetch %s: %d bytes are more than %d", name, target.Length, maxContent)
	}
	a, err := k.get(ctx, target.ContentPath(), target.Length, "")
	if err == nil {
		err = target.Check(a.data)
	}
	if err != nil {
		err = fleet.Errorf(fleet.CodeOf(err), "cannot believe the content of %s: %w", name, err)
		k.refused(ctx, err)
		return nil, err
	}
	return a.data, nil
}

// maxContent is the most bytes of an update or a configuration.
const maxContent = 16 << 20

// refused tells of something that was not believed, once until something else is.
// That nobody answers is no refusal.
func (k *Keeper) refused(ctx context.Context, err error) {
	switch fleet.CodeOf(err) {
	case fleet.Denied, fleet.Invalid, fleet.TooLarge:
	default:
		return
	}
	k.mu.Lock()
	again := k.state.Problem == err.Error()
	k.state.Problem = err.Error()
	k.mu.Unlock()
	if again {
		return
	}
	k.Log.Error("content trust: refused", "error", err)
	if k.Refused != nil {
		k.Refused(ctx, fmt.Sprintf("refused: %v; what was believed before goes on counting", err))
	}
}
