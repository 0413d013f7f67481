package rpc

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/pin"
	"github.com/fernwerk/fernwerk/internal/kit/retry"
)

// later is a RetryAfter. Package retry, which is for what nobody waits for, heeds all
// that the server said.
func later(wait, whole time.Duration) error { return retry.After(&RetryAfter{wait}, whole) }

// held is a RetryAfter while the server does not want to be asked.
func (c *Client) held() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if wait := time.Until(c.until); wait > 0 {
		return later(wait, max(wait, time.Until(c.whole)))
	}
	return nil
}

// hold has nothing sent for a time, at most for the client's patience.
func (c *Client) hold(whole time.Duration) error {
	wait := whole
	if c.opts.Patience > 0 {
		wait = min(wait, c.opts.Patience)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until, c.whole = time.Now().Add(wait), time.Now().Add(whole)
	return later(wait, whole)
}

// refused makes an error of an answer with another status than 200.
func (c *Client) refused(what string, resp *http.Response, body any) error {
	m, _ := body.(map[string]any)
	fault, isFault := m["error"].(map[string]any)
	switch {
	case resp.StatusCode == http.StatusServiceUnavailable:
		after := c.hold(parseRetryAfter(resp.Header.Get("Retry-After")))
		if isFault {
			err := parseFault(fault)
			err.Err = after
			return err
		}
		return fleet.Errorf(fleet.Unavailable, "cannot %s: %s is busy: %w", what, c.url.Host, after)
	case isFault:
		return parseFault(fault)
	}
	said, _ := m["error"].(string)
	said = cmp.Or(said, resp.Header.Get("X-Opsi-Error"), resp.Status)
	err := fleet.Errorf(codeOfStatus(resp.StatusCode), "cannot %s: %s refused: %s", what, c.url.Host, said)
	switch {
	case resp.StatusCode == http.StatusUnauthorized && c.opts.User != "":
		return fleet.WithHint(err, "is the password of %s right?", c.opts.User)
	case resp.StatusCode == http.StatusNotFound:
		return fleet.WithHint(err, "is %s the address of a Fernwerk or opsi server?", c.url)
	}
	return err
}

func codeOfStatus(status int) fleet.Code {
	for _, f := range faults {
		if f.status == status {
			return f.code
		}
	}
	if status == http.StatusBadGateway || status == http.StatusGatewayTimeout || status == http.StatusTooManyRequests {
		return fleet.Unavailable
	}
	return fleet.Internal
}

// unreached makes an error of a failed exchange. A server that is not the one
// we trust is nobody we know; waiting does not help there.
func (c *Client) unreached(what string, err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // it repeats the address
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok || errors.Is(err, pin.ErrUntrusted) {
		return fleet.WithHint(fleet.Errorf(fleet.Unauthenticated, "cannot %s: cannot trust %s: %w", what, c.url.Host, err),
			"%s", cmp.Or(fleet.HintOf(err), "is this the server that the CA certificate belongs to?"))
	}
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("cannot %s: %w", what, err)
	}
	return fleet.WithHint(fleet.Errorf(fleet.Unavailable, "cannot %s: cannot reach %s: %w", what, c.url.Host, err),
		"is the server up? try: fernwerk status")
}
