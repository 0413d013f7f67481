package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/rpc/wire"
	"github.com/fernwerk/fernwerk/internal/kit/pin"
	"github.com/fernwerk/fernwerk/test/e2e/site"
)

// stream asks for all rows of a large class in every form, and measures what the
// server needs for it beyond what it needs at rest.
func (b *bench) stream(ctx context.Context, s *site.Server) error {
	ca, err := os.ReadFile(s.CAFile())
	if err != nil {
		return err
	}
	trust, err := pin.Config("127.0.0.1", ca, "")
	if err != nil {
		return err
	}
	worst, rows := int64(0), b.hosts*products
	for _, form := range []struct {
		codec    *wire.Codec
		encoding string
	}{{wire.JSON, "gzip"}, {wire.JSON, ""}, {wire.Msgpack, "lz4"}, {wire.Msgpack, "zstd"}} {
		// Once to have all that is kept for later, then for the figure.
		if _, err := largeAnswer(ctx, s, trust, form.codec, form.encoding, "host_getIdents"); err != nil {
			return err
		}
		idle, err := memory(s.PID(), "VmRSS")
		if err != nil {
			b.without("memory of large answers", err)
			return nil
		}
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.PID()), []byte("5"), 0); err != nil {
			return err
		}
		began := time.Now()
		size, err := largeAnswer(ctx, s, trust, form.codec, form.encoding, "productOnClient_getObjects")
		if err != nil {
			return err
		}
		took := time.Since(began)
		peak, err := memory(s.PID(), "VmHWM")
		if err != nil {
			return err
		}
		b.say("%d rows as %s, %q: %d bytes in %.2f s; the server needed %d MiB more than the %d MiB before", rows, form.codec.MediaType,
			form.encoding, size, took.Seconds(), (peak-idle)>>20, idle>>20)
		worst = max(worst, peak-idle)
	}
	b.less(service, fmt.Sprintf("memory for an answer of %d rows", rows), "bytes", float64(max(worst, 1)), goal, 64<<20, 1)
	return nil
}

// largeAnswer asks as the administrator, and reads to the end.
func largeAnswer(ctx context.Context, s *site.Server, trust *tls.Config, codec *wire.Codec, encoding, method string) (int64, error) {
	body, err := codec.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": []any{}})
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL()+"/rpc", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.SetBasicAuth("admin", site.Password)
	req.Header.Set("Content-Type", codec.MediaType)
	req.Header.Set("Accept-Encoding", encoding)
	transport := &http.Transport{TLSClientConfig: trust, DisableCompression: true}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Encoding") != encoding && method != "host_getIdents" {
		return 0, fmt.Errorf("the server answers %s with %s, %q", method, resp.Status, resp.Header.Get("Content-Encoding"))
	}
	return io.Copy(io.Discard, resp.Body)
}

// memory is a line of /proc/PID/status, in bytes.
func memory(pid int, name string) (int64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("no %s of process %d", name, pid)
}
