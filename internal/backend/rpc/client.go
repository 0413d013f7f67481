package rpc

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/rpc/wire"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/pin"
)

// Options says where a Client finds its server and who it is.
type Options struct {
	// URL is the server: https://server:4447, with or without /rpc (port 4447
	// if none is named), or unix:///path/of/socket. Plain HTTP is refused.
	URL string
	// User is the account or host id; "" sends no password at all, for the
	// socket and for client certificates.
	User string
	// Password is asked for at each request, so that a host key that changed
	// on disk counts at once.
	Password func(context.Context) (string, error)
	// TLS is the trust in the server; see [pin.Config]. Nil is the system's.
	TLS *tls.Config
	// Proxy picks a proxy, as in [http.Transport]; nil is the environment's.
	// A loopback server is never asked through one.
	Proxy func(*http.Request) (*url.URL, error)
	// UserAgent names the program to the server.
	UserAgent string
	// Header is sent with each request.
	Header http.Header
	// Session is one that the server began earlier, see [Client.Session].
	Session string
	// Patience is for how long nothing is sent after a server wanted to be asked later,
	// whatever it said: a person may wait for the answer. 0 is opsi's two hours. What is
	// tried again by itself heeds all that the server said.
	Patience time.Duration
	// Limit is the most bytes of one answer, unpacked; 256 MiB if it is 0.
	Limit int64
}

// Client is the Backend on the other side of the wire. It may be used by many
// goroutines; they share one session.
type Client struct {
	url  *url.URL // of /rpc
	opts Options
	http *http.Client
	id   atomic.Int64

	mu    sync.Mutex
	peer  peer
	asked bool      // whether peer is known
	until time.Time // nothing is sent before
	whole time.Time // the server does not want to be asked before
}

var _ methods.Backend = (*Client)(nil)

// NewClient makes a client; it connects with the first call.
func NewClient(opts Options) (*Client, error) {
	u, err := url.Parse(opts.URL)
	if err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "cannot use server address: %w", err)
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	transport := &http.Transport{
		Proxy:               pin.Direct(opts.Proxy),
		DialContext:         dialer.DialContext,
		TLSClientConfig:     opts.TLS.Clone(),
		TLSHandshakeTimeout: 10 * time.Second,
		ForceAttemptHTTP2:   true,
		IdleConnTimeout:     90 * time.Second,
		DisableCompression:  true, // we know more encodings
	}
	switch {
	case u.Scheme == "unix" && u.Path != "":
		path := u.Path
		transport.Proxy = nil
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", path)
		}
		u = &url.URL{Scheme: "http", Host: "localhost"}
	case u.Scheme != "https" || u.Hostname() == "":
		return nil, fleet.WithHint(fleet.Errorf(fleet.Invalid, "cannot use server address %q: it is no https address", u.Redacted()),
			"write it as https://SERVER:4447")
	case u.Port() == "":
		u.Host += ":4447"
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/rpc"
	}
	u = &url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path} // a password in the address is not ours to send
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	if opts.Session != "" {
		jar.SetCookies(u, []*http.Cookie{{Name: sessionCookie, Value: opts.Session, Path: "/", Secure: u.Scheme == "https"}})
	}
	return &Client{url: u, opts: opts, http: &http.Client{
		Transport: transport,
		Jar:       jar,
		// Neither a password nor a request follows to another place.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// sessionCookie is opsi's.
const sessionCookie = "opsiconfd-session"

// Session is the session that the server began or prolonged, "" if there is none.
func (c *Client) Session() string {
	for _, cookie := range c.http.Jar.Cookies(c.url) {
		if cookie.Name == sessionCookie {
			return cookie.Value
		}
	}
	return ""
}

// Transport is what carries the calls, for requests to the same server that are
// none: they use the same connections.
func (c *Client) Transport() http.RoundTripper { return c.http.Transport }

// Call asks the server; the actor is whom the server takes us for.
func (c *Client) Call(ctx context.Context, _ methods.Actor, method string, params methods.Params) (any, error) {
	req := request{id: c.id.Add(1), method: method, params: params}
	v, err := c.post(ctx, "call "+method, req.encode())
	if err != nil {
		return nil, err
	}
	return c.result(v, req)
}

// result opens the envelope of one answer.
func (c *Client) result(v any, req request) (any, error) {
	m, ok := v.(map[string]any)
	if !ok {
		return nil, fleet.Errorf(fleet.Internal, "cannot call %s: %s did not answer it", req.method, c.url.Host)
	}
	if m["error"] != nil {
		return nil, parseFault(m["error"])
	}
	if m["id"] != req.id {
		return nil, fleet.Errorf(fleet.Internal, "cannot call %s: %s answered another call", req.method, c.url.Host)
	}
	return m["result"], nil
}

// post sends a request body and decodes the body of the answer. What says in
// errors what was to be done.
func (c *Client) post(ctx context.Context, what string, v any) (any, error) {
	p, known := c.server()
	data, err := wire.JSON.Marshal(v)
	if err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "cannot %s: parameters: %w", what, err)
	}
	if !known && len(data) > compressAbove {
		// Large and unknown whether it may be packed: greet first. A small
		// request saves the round trip and learns from its answer.
		if _, err := c.Greet(ctx); err != nil {
			return nil, err
		}
		p, _ = c.server()
	}
	codec, encoding := p.codec(), ""
	if codec != wire.JSON {
		data, err = codec.Marshal(v)
	}
	if err == nil && len(data) > compressAbove {
		encoding = p.encoding()
		data, err = wire.Pack(data, encoding)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot %s: %w", what, err)
	}
	return c.do(ctx, what, http.MethodPost, c.url.Path, data, http.Header{
		"Content-Type": {codec.MediaType}, "Content-Encoding": {encoding}, "Accept": {codec.MediaType},
	})
}

// Greet asks who the server is and whether it takes us: its Server header.
func (c *Client) Greet(ctx context.Context) (string, error) {
	_, err := c.do(ctx, "greet server", http.MethodHead, c.url.Path, nil, nil)
	p, _ := c.server()
	return p.name, err
}

// Logout ends the session, if there is one, and closes idle connections.
func (c *Client) Logout(ctx context.Context) error {
	defer c.http.CloseIdleConnections()
	if len(c.http.Jar.Cookies(c.url)) == 0 {
		return nil
	}
	if p, _ := c.server(); !p.logout() {
		_, err := c.Call(ctx, methods.Actor{}, "backend_exit", methods.Params{})
		return err
	}
	_, err := c.do(ctx, "log out", http.MethodPost, "/session/logout", nil, nil)
	return err
}

func (c *Client) server() (p peer, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.peer, c.asked
}

// do is one HTTP exchange.
func (c *Client) do(ctx context.Context, what, method, path string, body []byte, header http.Header) (any, error) {
	if err := c.held(); err != nil {
		return nil, fleet.Errorf(fleet.Unavailable, "cannot %s: %s is busy: %w", what, c.url.Host, err)
	}
	u := *c.url
	u.Path = path
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("cannot %s: %w", what, err)
	}
	for name, values := range c.opts.Header {
		req.Header[name] = values
	}
	for name, values := range header {
		if values[0] != "" {
			req.Header[name] = values
		}
	}
	req.Header.Set("Accept-Encoding", strings.Join(wire.Encodings, ", "))
	req.Header.Set("User-Agent", cmp.Or(c.opts.UserAgent, "fernwerk"))
	if c.opts.User != "" {
		password, err := c.opts.Password(ctx)
		if err != nil {
			return nil, fmt.Errorf("cannot %s: %w", what, err)
		}
		req.SetBasicAuth(c.opts.User, password)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreached(what, err)
	}
	defer resp.Body.Close()
	c.mu.Lock()
	c.peer, c.asked = parsePeer(resp.Header.Get("Server")), true
	c.mu.Unlock()
	v, err := c.read(resp)
	switch {
	case resp.StatusCode == http.StatusOK && err == nil, resp.StatusCode == http.StatusNoContent,
		method == http.MethodHead && resp.StatusCode == http.StatusMethodNotAllowed: // opsi accepts it as a greeting
		return v, nil
	case resp.StatusCode == http.StatusOK && fleet.CodeOf(err) == fleet.TooLarge:
		return nil, fleet.Errorf(fleet.TooLarge, "cannot %s: answer: %w", what, err)
	case resp.StatusCode == http.StatusOK && isNetwork(err):
		return nil, c.unreached(what, err)
	case resp.StatusCode == http.StatusOK:
		return nil, fmt.Errorf("cannot %s: cannot read answer of %s: %w", what, c.url.Host, err)
	}
	return nil, c.refused(what, resp, v)
}

// read decodes an answer; what is neither JSON nor MessagePack is no value.
func (c *Client) read(resp *http.Response) (any, error) {
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	codec := wire.CodecOf(media)
	if codec == nil || resp.Request.Method == http.MethodHead {
		return nil, nil
	}
	limit := cmp.Or(c.opts.Limit, 256<<20)
	body := &reader{r: io.LimitReader(resp.Body, limit+1)}
	data, err := wire.Unpack(body, resp.Header.Get("Content-Encoding"), limit, nil)
	if body.err != nil {
		return nil, &networkError{body.err}
	}
	if err != nil || len(data) == 0 {
		return nil, err
	}
	return codec.Unmarshal(data, limit, nil)
}

// reader remembers the network's error: what unpacks tends to replace it.
type reader struct {
	r   io.Reader
	err error
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

type networkError struct{ error }

func (e *networkError) Unwrap() error { return e.error }

func isNetwork(err error) bool { _, ok := errors.AsType[*networkError](err); return ok }
