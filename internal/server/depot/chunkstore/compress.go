package chunkstore

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/klauspost/compress/zstd"

	"github.com/fernwerk/fernwerk/internal/fleet/chunkindex"
)

// enqueue has Serve look at a product.
func (s *Store) enqueue(product string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Contains(s.queue, product) {
		return
	}
	s.queue = append(s.queue, product)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Store) dequeue() (product string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		return "", false
	}
	product = s.queue[0]
	s.queue = s.queue[1:]
	return product, true
}

// Serve compresses the blocks of the trees that were added or asked for, one at
// a time, until the context ends. What fails is logged: it costs bandwidth and
// nothing else, and is tried again when the tree is next loaded.
func (s *Store) Serve(ctx context.Context) error {
	for {
		product, ok := s.dequeue()
		if !ok {
			select {
			case <-s.wake:
				continue
			case <-ctx.Done():
				return nil
			}
		}
		if err := s.compress(ctx, product); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			s.log.Warn("cannot compress product ahead", "product", product, "err", err)
		}
	}
}

// compress makes the missing blocks of a product.
func (s *Store) compress(ctx context.Context, product string) error {
	c, err := s.open(ctx, product)
	if err != nil {
		return err
	}
	defer c.root.Close()
	defer c.Close()
	var hard *zstd.Encoder // some 80 MB: only while there is something to do
	kept := make(map[string]bool, len(c.blocks))
	for _, b := range c.blocks {
		name := blockName(c.Index, b)
		kept[name] = true
		if _, err := os.Stat(s.cache.path(product, name)); err == nil {
			continue
		}
		if hard == nil {
			if hard, err = newHard(); err != nil {
				return err
			}
		}
		raw := make([]byte, 0, chunkindex.BlockSize)
		for n := b.First; n < b.End; n++ {
			if raw, err = c.append(raw, n); err != nil {
				return err
			}
		}
		if err := s.cache.put(product, name, hard.EncodeAll(raw, nil)); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return s.cache.prune(product, c.Digest, kept)
}

func newHard() (*zstd.Encoder, error) {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression),
		zstd.WithWindowSize(chunkindex.BlockSize), zstd.WithEncoderCRC(false), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("cannot start the compressor: %w", err)
	}
	return e, nil
}
