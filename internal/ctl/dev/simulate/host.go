package simulate

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/rpc/wire"
)

const (
	// patience bounds one check-in, or one connect.
	patience = 60 * time.Second
	// maxAnswer bounds what a server may answer, in bytes.
	maxAnswer = 16 << 20
)

// host is a simulated agent.
type host struct {
	crowd   *crowd
	id, key string
	basic   string // credentials

	mu       sync.Mutex // one check-in at a time
	conn     net.Conn
	in       *bufio.Reader
	cookie   string
	begun    int // check-ins sent
	answered int // the last that was answered
}

// busyError says that the server put the host off.
type busyError struct{ wait time.Duration }

func (e *busyError) Error() string { return "server is busy" }

// checkIn does one check-in, and connects first if there is no connection.
func (h *host) checkIn(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.begun++
	used := h.conn != nil
	err := h.exchange(ctx, h.begun)
	if used && h.conn == nil && errors.Is(err, io.EOF) { // idle for too long: agents connect anew, too
		err = h.exchange(ctx, h.begun)
	}
	if err == nil {
		h.answered = h.begun
	}
	return err
}

func (h *host) exchange(ctx context.Context, n int) error {
	if err := h.connect(ctx); err != nil {
		return err
	}
	body, err := wire.Msgpack.Marshal(h.body(n, time.Now()))
	if err != nil {
		return err
	}
	b := make([]byte, 0, 512+len(body))
	b = fmt.Appendf(b, "POST /rpc HTTP/1.1\r\nHost: %s\r\nUser-Agent: fernwerk-simulate/%s\r\nAuthorization: Basic %s\r\n"+
		"Content-Type: application/msgpack\r\nAccept-Encoding: zstd\r\nContent-Length: %d\r\n", h.crowd.address, h.crowd.Version, h.basic, len(body))
	if h.cookie != "" {
		b = fmt.Appendf(b, "Cookie: %s\r\n", h.cookie)
	}
	b = append(append(b, "\r\n"...), body...)
	h.conn.SetDeadline(time.Now().Add(patience))
	if _, err = h.conn.Write(b); err == nil {
		err = h.read()
	}
	if _, busy := errors.AsType[*busyError](err); err != nil && !busy {
		h.close()
	}
	return err
}

func (h *host) connect(ctx context.Context) error {
	if h.conn != nil {
		return nil
	}
	d := &tls.Dialer{NetDialer: &net.Dialer{Timeout: patience}, Config: h.crowd.tls}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := d.DialContext(ctx, "tcp", h.crowd.address)
	if err != nil {
		return err
	}
	h.conn, h.in = conn, bufio.NewReaderSize(conn, 2048)
	return nil
}

func (h *host) close() {
	if h.conn != nil {
		h.conn.Close()
		h.conn, h.in = nil, nil
	}
}

// read reads the answer: nil if all that was asked for was done.
func (h *host) read() error {
	resp, err := http.ReadResponse(h.in, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := wire.Unpack(resp.Body, resp.Header.Get("Content-Encoding"), maxAnswer, nil)
	if err != nil {
		return err
	}
	for _, c := range resp.Cookies() {
		h.cookie = c.Name + "=" + c.Value
	}
	switch {
	case resp.StatusCode == http.StatusServiceUnavailable:
		seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
		if err != nil {
			return errors.New("server is busy and does not say for how long")
		}
		if resp.Close {
			h.close()
		}
		return &busyError{time.Duration(seconds) * time.Second}
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("status %d: %.200s", resp.StatusCode, resp.Header.Get("X-Opsi-Error"))
	}
	v, err := wire.Msgpack.Unmarshal(data, maxAnswer, nil)
	if err != nil {
		return err
	}
	answers, _ := v.([]any)
	if len(answers) != 3 {
		return fmt.Errorf("%d answers to 3 calls", len(answers))
	}
	for _, a := range answers {
		m, _ := a.(map[string]any)
		if fault, failed := m["error"].(map[string]any); failed {
			return fmt.Errorf("server says: %v", fault["message"])
		}
	}
	first, _ := answers[0].(map[string]any)
	if requests, _ := first["result"].([]any); len(requests) != 1 {
		return fmt.Errorf("%d action requests, want 1", len(requests))
	}
	return nil
}
