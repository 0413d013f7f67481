package chunkstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/chunkindex"
)

// Pieces that are compressed on the fly grow from first, so that an answer
// begins soon, to max, behind which they gain little.
const (
	firstPiece = 256 << 10
	maxPiece   = 4 << 20
)

// patience is how long a client may take for 64 KiB; a line of 4.4 kbit/s is
// fast enough.
const patience = 2 * time.Minute

// serveChunks sends the wanted chunks. What a client doubts (Cache-Control:
// no-cache, after a block from here did not unpack to the right chunks) is
// compressed again from the tree.
func (s *Store) serveChunks(w http.ResponseWriter, r *http.Request) {
	product := r.PathValue("product")
	q, err := chunkindex.ReadRequest(r.Body)
	if err != nil {
		s.refuse(w, r, fleet.Errorf(fleet.Invalid, "%w", err))
		return
	}
	c, err := s.open(r.Context(), product)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	defer c.root.Close()
	defer c.Close()
	if c.Digest != q.Tree {
		s.refuse(w, r, fleet.Errorf(fleet.Conflict, "the product %q was installed anew meanwhile; fetch its tree again", product))
		return
	}
	if last := q.Want[len(q.Want)-1].End; last > len(c.Chunks) {
		s.refuse(w, r, fleet.Errorf(fleet.Invalid, "the product %q has no chunk %d", product, last-1))
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/zstd")
	h.Set("Cache-Control", "no-store")
	h.Set("Trailer", chunkindex.ErrorTrailer)
	a := &answer{Store: s, content: c, ctx: r.Context(), product: product, out: &patient{w: w, ctl: http.NewResponseController(w)},
		doubt: r.Header.Get("Cache-Control") == "no-cache"}
	switch err := a.send(q.Want); {
	case err == nil:
	case r.Context().Err() != nil || errors.Is(err, errGone):
	case !a.out.begun:
		s.refuse(w, r, err)
	default:
		s.log.Warn("depot answer ended early", "product", product, "err", err)
		text := strings.Map(printable, fmt.Sprintf("%s: %v", fleet.CodeOf(err), err))
		h.Set(chunkindex.ErrorTrailer, text)
	}
}

func printable(r rune) rune {
	if r < 0x20 || r == 0x7f {
		return ' '
	}
	return r
}

// answer is one request being answered.
type answer struct {
	*Store
	*content
	ctx     context.Context
	product string
	out     *patient
	doubt   bool
	piece   int // size of the next piece; 0 is firstPiece
}

// send walks the blocks: a block that is wanted whole and is ready goes out as
// it is, everything else is compressed as it goes. Each block is looked at when
// its turn comes: over a slow line the compressor soon gets ahead of it, also
// with a product that has only just been installed.
func (a *answer) send(want chunkindex.Ranges) error {
	var loose chunkindex.Ranges
	for _, b := range a.blocks {
		var part chunkindex.Ranges
		part, want = cut(want, b)
		whole := part.Len() == b.End-b.First
		if whole {
			if f, err := a.ready(b); err == nil {
				if err := a.compress(loose); err != nil {
					f.Close()
					return err
				}
				loose = nil
				_, err := io.Copy(a.out, f)
				f.Close()
				if err != nil {
					return err
				}
				continue
			}
		}
		for n := range part.All() {
			loose.Add(n)
		}
		if whole {
			if err := a.compress(loose); err != nil {
				return err
			}
			loose = nil
		}
	}
	return a.compress(loose)
}

// ready opens the compressed block.
func (a *answer) ready(b chunkindex.Range) (*os.File, error) {
	if a.doubt {
		return nil, os.ErrNotExist
	}
	return os.Open(a.cache.path(a.product, blockName(a.Index, b)))
}

// cut returns the part of want in b, and what of want is left for the blocks
// behind b.
func cut(want chunkindex.Ranges, b chunkindex.Range) (part, rest chunkindex.Ranges) {
	for i, r := range want {
		if r.First >= b.End {
			return part, want[i:]
		}
		if first, end := max(r.First, b.First), min(r.End, b.End); first < end {
			part = append(part, chunkindex.Range{First: first, End: end})
		}
		if r.End > b.End {
			return part, want[i:]
		}
	}
	return part, nil
}

// compress sends chunks as frames of one piece each.
func (a *answer) compress(loose chunkindex.Ranges) error {
	var piece chunkindex.Ranges
	size := 0
	flush := func() error {
		if size == 0 {
			return nil
		}
		frame, err := a.frame(piece, size)
		if err != nil {
			return err
		}
		piece, size = nil, 0
		a.piece = min(2*a.piece, maxPiece)
		_, err = a.out.Write(frame)
		return err
	}
	a.piece = max(a.piece, firstPiece)
	for n := range loose.All() {
		if size > 0 && size+a.Chunks[n].Size > a.piece {
			if err := flush(); err != nil {
				return err
			}
		}
		piece.Add(n)
		size += a.Chunks[n].Size
	}
	return flush()
}

// frame reads, checks and compresses one piece.
func (a *answer) frame(piece chunkindex.Ranges, size int) (frame []byte, err error) {
	select {
	case a.atOnce <- struct{}{}:
		defer func() { <-a.atOnce }()
	case <-a.ctx.Done():
		return nil, errGone
	}
	raw := make([]byte, 0, size)
	for n := range piece.All() {
		if raw, err = a.append(raw, n); err != nil {
			return nil, err
		}
	}
	return a.quick.EncodeAll(raw, nil), nil
}

// errGone is a client that takes nothing any more.
var errGone = errors.New("the client is gone")

// patient writes with a deadline for each part, so that a client that stops
// reading does not hold its answer for ever.
type patient struct {
	w     io.Writer
	ctl   *http.ResponseController
	begun bool
}

func (p *patient) Write(b []byte) (int, error) {
	p.begun = true
	total := 0
	for len(b) > 0 {
		// A server that cannot set deadlines (a test recorder) has none.
		_ = p.ctl.SetWriteDeadline(time.Now().Add(patience))
		n, err := p.w.Write(b[:min(len(b), 64<<10)])
		total += n
		if err != nil {
			return total, fmt.Errorf("%w: %w", errGone, err)
		}
		b = b[n:]
	}
	return total, nil
}
