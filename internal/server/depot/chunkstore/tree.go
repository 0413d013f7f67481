package chunkstore

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/chunkindex"
)

// serveTree sends the index. The entity tag is the tree's digest. A client that
// names an older index which the cache still has (Available-Dictionary, and dcz
// in Accept-Encoding: RFC 9842) gets the difference to it, some hundred bytes
// for a small change of 10,000 files.
func (s *Store) serveTree(w http.ResponseWriter, r *http.Request) {
	product := r.PathValue("product")
	c, err := s.open(r.Context(), product)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	c.root.Close() // only the index is needed
	h := w.Header()
	h.Set("ETag", `"`+hex.EncodeToString(c.Digest[:])+`"`)
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Vary", "Accept-Encoding, Available-Dictionary")
	name, encoding, err := s.indexFor(r, product, c.catalog)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	f, err := os.Open(s.cache.path(product, name))
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	defer f.Close()
	h.Set("Content-Encoding", encoding)
	if info, err := f.Stat(); err == nil && r.Header.Get("Range") == "" {
		h.Set("Content-Length", fmt.Sprint(info.Size()))
	}
	http.ServeContent(w, r, "", time.Time{}, f) // If-None-Match, Range
}

// indexFor returns the cache file that answers the request.
func (s *Store) indexFor(r *http.Request, product string, c *catalog) (name, encoding string, err error) {
	if base, ok := dictionary(r.Header); ok {
		name, err := s.delta(product, c, base)
		if err == nil {
			return name, "dcz", nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			s.log.Warn("cannot send a difference of tree indexes", "product", product, "err", err)
		}
	}
	name, err = s.cache.indexFile(product, c.Digest)
	if err != nil { // the cache was deleted, memory still has it
		if err = s.cache.putIndex(product, c.Index); err == nil {
			name, err = s.cache.indexFile(product, c.Digest)
		}
	}
	return name, "zstd", err
}

// dictionary reads which dictionary the client has.
func dictionary(h http.Header) (sum [sha256.Size]byte, ok bool) {
	coded, ok := strings.CutPrefix(h.Get("Available-Dictionary"), ":")
	if coded, ok = strings.CutSuffix(coded, ":"); !ok || !accepts(h, "dcz") {
		return sum, false
	}
	b, err := base64.StdEncoding.DecodeString(coded)
	if err != nil || len(b) != len(sum) {
		return sum, false
	}
	return [sha256.Size]byte(b), true
}

func accepts(h http.Header, coding string) bool {
	for _, line := range h.Values("Accept-Encoding") {
		for part := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(part), coding) {
				return true
			}
		}
	}
	return false
}

// delta finds or makes the difference of c's index to the one whose text has
// the sum base.
func (s *Store) delta(product string, c *catalog, base [sha256.Size]byte) (string, error) {
	name := fmt.Sprintf("%x-%x%s", c.Digest, base, deltaSuffix)
	if _, err := os.Stat(s.cache.path(product, name)); err == nil {
		return name, nil
	}
	_, err, _ := s.flight.Do(name, func() (any, error) {
		file, err := s.cache.baseFile(product, base)
		if err != nil {
			return nil, err
		}
		old, err := s.cache.text(product, file)
		if err != nil {
			return nil, err
		}
		if sha256.Sum256(old) != base {
			return nil, fmt.Errorf("%q is not what its name says", file)
		}
		packed, err := pack(c.Text(), old)
		if err != nil {
			return nil, err
		}
		return nil, s.cache.put(product, name, append(chunkindex.DeltaHeader(base), packed...))
	})
	return name, err
}

// pack compresses a text, with another one as dictionary if there is one. The
// window covers both, up to chunkindex.MaxTextWindow.
func pack(text, dict []byte) ([]byte, error) {
	window := zstd.MinWindowSize
	for window < len(text)+len(dict) && window < chunkindex.MaxTextWindow {
		window *= 2
	}
	options := []zstd.EOption{zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithWindowSize(window),
		zstd.WithEncoderConcurrency(1)}
	if len(dict) > 0 {
		options = append(options, zstd.WithEncoderDictRaw(0, dict))
	}
	e, err := zstd.NewWriter(nil, options...)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	return e.EncodeAll(text, nil), nil
}

// refuse answers a request that nothing has been sent for yet.
func (s *Store) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return // nobody listens any more
	}
	code := fleet.CodeOf(err)
	status := http.StatusInternalServerError
	switch code {
	case fleet.NotFound:
		status = http.StatusNotFound
	case fleet.Invalid:
		status = http.StatusBadRequest
	case fleet.TooLarge:
		status = http.StatusRequestEntityTooLarge
	case fleet.Conflict:
		status = http.StatusConflict
	case fleet.Denied:
		status = http.StatusForbidden
	case fleet.Unauthenticated:
		status = http.StatusUnauthorized
	case fleet.Locked, fleet.Unavailable:
		status = http.StatusServiceUnavailable
	}
	text := err.Error()
	if status == http.StatusInternalServerError {
		text = "the depot cannot serve this product now; its log says why"
	}
	if status >= 500 || code == fleet.Conflict {
		s.log.Warn("depot request failed", "product", r.PathValue("product"), "err", err)
	}
	for _, name := range []string{"ETag", "Content-Encoding", "Content-Length", "Trailer", "Cache-Control"} {
		w.Header().Del(name)
	}
	http.Error(w, text, status)
}
