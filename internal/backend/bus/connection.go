package bus

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/pin"
	"github.com/fernwerk/fernwerk/internal/kit/retry"
)

// Options says where a bus is and who connects.
type Options struct {
	Server         string // https://server:4447
	User, Password string
	TLS            *tls.Config // the trust in the server; see [pin.Config]
	UserAgent      string
	Compression    string // "", "lz4" or "gzip"
}

// Connection is the client's end of a bus. Read has one caller at a time; Write
// may have many.
type Connection struct {
	ws          *websocket.Conn
	compression string
	transport   *http.Transport
}

// The time that a new connection may take, and a write.
const (
	dialTime  = 30 * time.Second
	writeTime = time.Minute // a message is not good for longer
)

// Dial connects. A server that is busy, and one that stops, says in the error
// when it wants to be asked again (package retry heeds it); one that has no bus
// is NotHere.
func Dial(ctx context.Context, o Options) (*Connection, error) {
	u, err := url.Parse(o.Server)
	if err != nil || u.Scheme != "https" {
		return nil, fleet.Errorf(fleet.Invalid, "cannot connect to the bus: %q is no https:// address", o.Server)
	}
	u.Path = Path
	if o.Compression != "" {
		u.RawQuery = "compression=" + url.QueryEscape(o.Compression)
	}
	// A transport of its own: small buffers, which stay as long as the connection.
	transport := &http.Transport{Proxy: pin.Direct(nil), TLSClientConfig: o.TLS.Clone(), TLSHandshakeTimeout: dialTime / 2,
		DialContext: (&net.Dialer{Timeout: dialTime / 2}).DialContext, ReadBufferSize: 2 << 10, WriteBufferSize: 2 << 10, DisableCompression: true}
	client := &http.Client{Transport: transport, // the password follows to no other place
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	header := http.Header{"User-Agent": {o.UserAgent}}
	if o.User != "" {
		header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(o.User+":"+o.Password)))
	}
	dialing, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	ws, resp, err := websocket.Dial(dialing, u.String(), &websocket.DialOptions{HTTPClient: client, HTTPHeader: header})
	if err != nil {
		transport.CloseIdleConnections()
		return nil, refused(u.Host, resp, err)
	}
	ws.SetReadLimit(MaxMessage)
	return &Connection{ws: ws, compression: o.Compression, transport: transport}, nil
}

// refused makes an error of an answer that is no bus.
func refused(host string, resp *http.Response, err error) error {
	if resp == nil {
		return fleet.Errorf(fleet.Unavailable, "cannot connect to the bus of %s: %w", host, err)
	}
	code := fleet.NotHere
	switch resp.StatusCode {
	case http.StatusUnauthorized:
		code = fleet.Unauthenticated
	case http.StatusForbidden:
		code = fleet.Denied
	case http.StatusServiceUnavailable, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusGatewayTimeout:
		code = fleet.Unavailable
	}
	refusal := fleet.Errorf(code, "cannot connect to the bus of %s: %s", host, resp.Status)
	if wait := seconds(resp.Header.Get("Retry-After")); wait > 0 && code == fleet.Unavailable {
		return fleet.Errorf(code, "cannot connect to the bus of %s: %w", host, retry.After(errors.New(resp.Status), wait))
	}
	return refusal
}

// Limits of a wait that a server names; opsi's.
const (
	shortestWait = time.Second
	longestWait  = 2 * time.Hour
)

func seconds(text string) time.Duration {
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		return 0
	}
	return min(max(time.Duration(min(n, 1<<20))*time.Second, shortestWait), longestWait)
}

// CloseReason is what a server says to one whom it sends away for a while, with
// status 1013.
func CloseReason(wait time.Duration) string {
	return fmt.Sprintf("Retry-After: %d", int(wait.Seconds()))
}

var retryAfter = regexp.MustCompile(`(?i)retry-after:\s*(\d+)`)

// Read waits for the next message. Pings are answered while it waits. After an
// error the connection is of no use, except that a message which cannot be read
// is Invalid or TooLarge and the next one may be fine.
func (c *Connection) Read(ctx context.Context) (Message, error) {
	_, data, err := c.ws.Read(ctx)
	if err == nil {
		return Decode(data, c.compression)
	}
	closed, ok := errors.AsType[websocket.CloseError](err)
	if ok && closed.Code == websocket.StatusTryAgainLater {
		wait := time.Minute
		if m := retryAfter.FindStringSubmatch(closed.Reason); m != nil {
			wait = seconds(m[1])
		}
		err = retry.After(errors.New("the server wants to be asked again later"), wait)
	}
	return Message{}, fleet.Errorf(fleet.Unavailable, "cannot read from the bus: %w", err)
}

// Write sends a message.
func (c *Connection) Write(ctx context.Context, m Message) error {
	data, err := Encode(m, c.compression)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	if err := c.ws.Write(ctx, websocket.MessageBinary, data); err != nil {
		return fleet.Errorf(fleet.Unavailable, "cannot write to the bus: %w", err)
	}
	return nil
}

// Ping asks the other side for a sign of life; somebody must be in Read.
func (c *Connection) Ping(ctx context.Context) error { return c.ws.Ping(ctx) }

// Close says goodbye if the line allows, and gives everything back.
func (c *Connection) Close() {
	c.ws.Close(websocket.StatusNormalClosure, "")
	c.transport.CloseIdleConnections()
}
