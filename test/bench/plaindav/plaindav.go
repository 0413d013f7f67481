// Package plaindav is a WebDAV client as simple as can be, to measure beside.
package plaindav

import (
	"context"
	"crypto/tls"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"

	"github.com/fernwerk/fernwerk/internal/agent/identity"
	"github.com/fernwerk/fernwerk/internal/kit/pin"
)

// Client downloads as a simple client does, opsi's among them: one connection,
// a PROPFIND for each folder, a GET for each file, one after the other, with
// the host's key as password.
type Client struct {
	client  *http.Client
	base    string // of the server
	product string
	id      identity.Identity
}

// New makes a client of a product on the server at a base address.
func New(base, product string, id identity.Identity) (*Client, error) {
	cfg, err := pin.Config("127.0.0.1", []byte(id.CA), "")
	if err != nil {
		return nil, err
	}
	return &Client{base: base, product: product, id: id, client: &http.Client{Transport: &http.Transport{TLSClientConfig: cfg, MaxConnsPerHost: 1,
		DisableCompression: true, TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}}}, nil
}

func (w *Client) do(ctx context.Context, method, name string, header http.Header) (*http.Response, error) {
	address, err := url.JoinPath(w.base, "depot", w.product, (&url.URL{Path: name}).EscapedPath())
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return nil, err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	req.SetBasicAuth(w.id.HostID, w.id.HostKey)
	return w.client.Do(req)
}

// List asks for a folder, and returns the names of its files.
func (w *Client) List(ctx context.Context, folder string) (names []string, err error) {
	resp, err := w.do(ctx, "PROPFIND", folder+"/", http.Header{"Depth": {"1"}})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusMultiStatus {
		return nil, fmt.Errorf("PROPFIND of %s: %s", folder, resp.Status)
	}
	var answer struct {
		Responses []struct {
			Href       string    `xml:"href"`
			Collection *struct{} `xml:"propstat>prop>resourcetype>collection"`
		} `xml:"response"`
	}
	if err := xml.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, fmt.Errorf("PROPFIND of %s: %w", folder, err)
	}
	for _, r := range answer.Responses {
		u, err := url.Parse(r.Href)
		if err != nil {
			return nil, err
		}
		if r.Collection == nil {
			names = append(names, path.Base(u.Path))
		}
	}
	return names, nil
}

// Get downloads a file.
func (w *Client) Get(ctx context.Context, name, to string) (n int64, err error) {
	resp, err := w.do(ctx, "GET", name, nil)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("GET of %s: %s", name, resp.Status)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return 0, err
	}
	f, err := os.Create(to)
	if err != nil {
		return 0, err
	}
	n, err = io.Copy(f, resp.Body)
	return n, errors.Join(err, f.Close())
}

// Close ends its connection.
func (w *Client) Close() { w.client.CloseIdleConnections() }
