package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// infoPath is the page for people.
const infoPath = "/info"

// forBrowsers lets in whoever has the host key, and has a browser ask for it.
func (s *Service) forBrowsers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := s.authenticate(r); err != nil {
			w.Header().Set("WWW-Authenticate", `Basic realm="fernwerk-agent: any user name, the host key as password", charset="UTF-8"`)
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// ownPages refuses what a browser was led to by somebody else's page. Programs say
// neither of these headers.
func ownPages(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		site, origin := r.Header.Get("Sec-Fetch-Site"), r.Header.Get("Origin")
		foreign := site != "" && site != "same-origin" && site != "none"
		if origin != "" && !foreign {
			u, err := url.Parse(origin)
			foreign = err != nil || u.Host != r.Host
		}
		if foreign {
			http.Error(w, "a page of another site asks here: refused", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// maxInfo bounds the page that is read.
const maxInfo = 16 << 20

// Info fetches the page for people.
func (c *Client) Info(ctx context.Context) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+infoPath, nil)
	if err != nil {
		return nil, err
	}
	r.SetBasicAuth(c.user, c.key)
	transport := &http.Transport{TLSClientConfig: c.tls}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(r)
	if err != nil {
		return nil, fleet.WithHint(fleet.Errorf(fleet.Unavailable, "cannot reach the agent: %w", err), "is the agent running? start it with: fernwerk-agent run")
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(io.LimitReader(resp.Body, maxInfo+1))
	switch {
	case err == nil && resp.StatusCode != http.StatusOK:
		err = errors.New(resp.Status)
	case err == nil && len(page) > maxInfo:
		err = fleet.Errorf(fleet.TooLarge, "it has more than %d bytes", maxInfo)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the agent's page: %w", err)
	}
	return page, nil
}
