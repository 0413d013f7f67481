package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// maxAnswer is the most bytes of an answer about packages.
const maxAnswer = 64 << 20

// Packages asks /v1/packages: name is a package's file or a product, body is of
// length bytes, answer takes the JSON. What follows a "?" in name is the query;
// neither packages nor products have one in their names.
func (c *Connection) Packages(ctx context.Context, method, name string, body io.Reader, length int64, answer any) error {
	address := c.base + "/v1/packages"
	if name, query, _ := strings.Cut(name, "?"); name+query != "" {
		if name != "" {
			address += "/" + strings.ReplaceAll(url.PathEscape(name), "%2F", "/")
		}
		if query != "" {
			address += "?" + query
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return err
	}
	req.ContentLength = length
	c.authorize(req)
	if body != nil {
		req.Header.Set("Content-Type", "application/octet-stream")
		req.Header.Set("Expect", "100-continue") // who is refused need not send it all
	}
	resp, err := c.send(ctx, req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err == nil && len(data) > maxAnswer {
		err = errors.New("it is too long")
	}
	if err != nil {
		return fleet.Errorf(fleet.Unavailable, "cannot read the answer of %s: %w", c.Account.Server, err)
	}
	if resp.StatusCode != http.StatusOK {
		return refusal(resp, data)
	}
	if err := json.Unmarshal(data, answer); err != nil {
		return fmt.Errorf("cannot read the answer of %s: %w", c.Account.Server, err)
	}
	return nil
}

// send sends a request beside the methods.
func (c *Connection) send(ctx context.Context, req *http.Request) (*http.Response, error) {
	req.SetBasicAuth(c.Account.User, c.Account.Password)
	resp, err := c.http.Do(req)
	if err == nil {
		return resp, nil
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	if ctx.Err() != nil {
		return nil, err
	}
	return nil, fleet.WithHint(fleet.Errorf(fleet.Unavailable, "cannot reach %s: %w", c.Account.Server, err), "is the server up? try: fernwerk status")
}

// refusal makes an error of the JSON that a refusal carries.
func refusal(resp *http.Response, data []byte) error {
	var said struct {
		Error struct{ Code, Message, Text, Hint string }
	}
	if json.Unmarshal(data, &said) != nil || said.Error.Message+said.Error.Text == "" {
		code := fleet.Internal
		switch resp.StatusCode {
		case http.StatusUnauthorized:
			code = fleet.Unauthenticated
		case http.StatusForbidden:
			code = fleet.Denied
		case http.StatusServiceUnavailable:
			code = fleet.Unavailable
		}
		return fleet.Errorf(code, "the server refused: %s", resp.Status)
	}
	e := said.Error
	return &fleet.Error{Code: fleet.Code(e.Code), Text: e.Message + e.Text, Next: e.Hint}
}
