package session

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// At is the same account at another server of the fleet: a depot server, whose
// certificate is of the same authority.
func (s *Source) At(a Account, server string) (*Connection, error) {
	a.Server = server
	return s.Open(a)
}

// DepotURL is where the depot server of a row answers, from its depotWebdavUrl.
func DepotURL(host fleet.Row) (string, error) {
	u, err := url.Parse(host.Str("depotWebdavUrl"))
	if err != nil || u.Hostname() == "" {
		return "", fleet.WithHint(fleet.Errorf(fleet.Unavailable, "cannot reach depot %s: nobody knows its address", host.Str("id")), "its server tells it when it starts")
	}
	return "https://" + u.Host, nil
}

// Copy has the depot copy a product from another one, and tells how far it is,
// in bytes.
func (c *Connection) Copy(ctx context.Context, product, from string, force bool, progress func(done, total int64)) (fleet.Row, error) {
	query := url.Values{"from": {from}}
	if force {
		query.Set("force", "true")
	}
	address := c.Account.Server + "/v1/packages/" + url.PathEscape(product) + "/pull?" + query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.send(ctx, req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxAnswer)
	if resp.StatusCode != http.StatusOK {
		lines.Scan()
		return nil, refusal(resp, lines.Bytes())
	}
	for lines.Scan() {
		var line struct {
			Progress *struct{ Done, Total int64 }
			Result   fleet.Row
			Error    json.RawMessage
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			break
		}
		switch {
		case line.Error != nil:
			return nil, refusal(resp, lines.Bytes())
		case line.Result != nil:
			return line.Result, nil
		case line.Progress != nil:
			progress(line.Progress.Done, line.Progress.Total)
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, fleet.WithHint(fleet.Errorf(fleet.Unavailable, "%s ended the connection in the middle of a copy", strings.TrimPrefix(c.Account.Server, "https://")),
		"run the command again: what is complete is not copied once more")
}
