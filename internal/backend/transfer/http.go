package transfer

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/chunkindex"
)

// HTTP is a product on a depot that serves /v1/depot (server/depot/chunkstore).
type HTTP struct {
	Client  *http.Client
	Base    string // https://depot.example.org:4447
	Product string
	// Prepare adds to a request what the depot wants to know of the caller; nil
	// if the connection says it all.
	Prepare func(*http.Request) error
}

func (h *HTTP) request(ctx context.Context, method, what string, body io.Reader) (*http.Request, error) {
	address, err := url.JoinPath(h.Base, "v1/depot", url.PathEscape(h.Product), what)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept-Encoding", "identity")
	if h.Prepare != nil {
		err = h.Prepare(req)
	}
	return req, err
}

// Tree fetches the tree's index. have is an index of an older version, or of
// perhaps the same, or nil: an unchanged one is returned itself, a changed one
// costs little more than the difference. wire is as in [Source]; nil is nothing.
// That the tree is the signed one is for the caller to check.
func (h *HTTP) Tree(ctx context.Context, have *chunkindex.Index, wire func(io.Reader) io.Reader, limits chunkindex.Limits) (*chunkindex.Index, error) {
	x, err := h.index(ctx, have, wire, limits)
	if err != nil {
		return nil, fmt.Errorf("cannot fetch the tree of %q: %w", h.Product, err)
	}
	return x, nil
}

func (h *HTTP) index(ctx context.Context, have *chunkindex.Index, wire func(io.Reader) io.Reader, limits chunkindex.Limits) (*chunkindex.Index, error) {
	req, err := h.request(ctx, "GET", "tree", nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept-Encoding", "zstd")
	var old []byte
	if have != nil {
		old = have.Text()
		sum := sha256.Sum256(old)
		req.Header.Set("If-None-Match", `"`+hex.EncodeToString(have.Digest[:])+`"`)
		req.Header.Set("Accept-Encoding", "zstd, dcz")
		req.Header.Set("Available-Dictionary", ":"+base64.StdEncoding.EncodeToString(sum[:])+":")
	}
	resp, err := h.Client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if have != nil && resp.StatusCode == http.StatusNotModified {
		return have, nil
	}
	if resp.StatusCode != http.StatusOK {
		return nil, refusal(resp)
	}
	body := io.Reader(resp.Body)
	if wire != nil {
		body = wire(body)
	}
	options := []zstd.DOption{zstd.WithDecoderMaxWindow(chunkindex.MaxTextWindow)}
	switch coding := resp.Header.Get("Content-Encoding"); {
	case coding == "dcz" && have != nil:
		header := make([]byte, 40)
		if _, err := io.ReadFull(body, header); err != nil {
			return nil, err
		}
		if !bytes.Equal(header, chunkindex.DeltaHeader(sha256.Sum256(old))) {
			return nil, errors.New("the answer is the difference to something else")
		}
		options = append(options, zstd.WithDecoderDictRaw(0, old))
	case coding != "zstd":
		return nil, fmt.Errorf("the answer has the unknown coding %q", coding)
	}
	z, err := unpacker(body, options...)
	if err != nil {
		return nil, err
	}
	defer z.Close()
	return chunkindex.Parse(z, limits)
}

// Chunks implements [Source].
func (h *HTTP) Chunks(ctx context.Context, q chunkindex.Request, wire func(io.Reader) io.Reader, fresh bool) (io.ReadCloser, error) {
	req, err := h.request(ctx, "POST", "chunks", strings.NewReader(q.Text()))
	if err != nil {
		return nil, err
	}
	if fresh {
		req.Header.Set("Cache-Control", "no-cache")
	}
	resp, err := h.Client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		return nil, refusal(resp)
	}
	// The buffer saves a read of three bytes, with its timer, for every block.
	z, err := unpacker(bufio.NewReaderSize(wire(resp.Body), 64<<10), zstd.WithDecoderMaxWindow(chunkindex.BlockSize))
	if err != nil {
		resp.Body.Close()
		return nil, err
	}
	return &answer{z, resp}, nil
}

// unpacker works in the reader's goroutine and holds one window.
func unpacker(r io.Reader, options ...zstd.DOption) (*zstd.Decoder, error) {
	return zstd.NewReader(r, append(options, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))...)
}

// answer is the unpacked body of a response.
type answer struct {
	*zstd.Decoder
	resp *http.Response
}

func (a *answer) Read(p []byte) (int, error) {
	n, err := a.Decoder.Read(p)
	if err == io.EOF {
		if why := a.resp.Trailer.Get(chunkindex.ErrorTrailer); why != "" {
			code, text, _ := strings.Cut(why, ": ")
			return n, fleet.Errorf(fleet.Code(code), "the depot says: %.1000s", text)
		}
	}
	return n, err
}

func (a *answer) Close() error {
	a.Decoder.Close()
	return a.resp.Body.Close()
}

// refusal makes an error of a status and the first line of a body.
func refusal(resp *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
	line, _, _ := strings.Cut(string(text), "\n")
	code := fleet.Unavailable
	switch resp.StatusCode {
	case http.StatusBadRequest:
		code = fleet.Invalid
	case http.StatusUnauthorized:
		code = fleet.Unauthenticated
	case http.StatusForbidden:
		code = fleet.Denied
	case http.StatusNotFound:
		code = fleet.NotFound
	case http.StatusConflict:
		code = fleet.Conflict
	case http.StatusRequestEntityTooLarge:
		code = fleet.TooLarge
	}
	return fleet.Errorf(code, "the depot says: %s: %q", resp.Status, line)
}
