package session

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Look is what a server shows of itself to anybody.
type Look struct {
	Version     string
	Healthy     bool
	Certificate time.Time     // until when it is valid; zero without TLS
	Ahead       time.Duration // of the server's clock before ours
}

// Look asks a server how it is. Nothing secret is sent.
func (c *Connection) Look(ctx context.Context) (Look, error) {
	if Local(c.Account.Server) {
		version, err := c.Greet(ctx)
		return Look{Version: version, Healthy: err == nil}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Account.Server+"/healthz", nil)
	if err != nil {
		return Look{}, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return Look{}, fleet.Errorf(fleet.Unavailable, "cannot reach %s: %w", c.Account.Server, err)
	}
	resp.Body.Close()
	look := Look{Version: resp.Header.Get("Server"), Healthy: resp.StatusCode == http.StatusOK}
	if resp.TLS != nil && len(resp.TLS.PeerCertificates) > 0 {
		look.Certificate = resp.TLS.PeerCertificates[0].NotAfter
	}
	if seconds, err := strconv.ParseInt(resp.Header.Get("X-Date-Unix-Timestamp"), 10, 64); err == nil {
		look.Ahead = time.Until(time.Unix(seconds, 0)).Round(time.Second)
	}
	return look, nil
}
