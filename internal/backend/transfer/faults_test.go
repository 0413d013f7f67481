package transfer_test

import (
	"context"
	"io"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet/chunkindex"
)

// stuck never begins to answer.
type stuck struct{ *source }

func (stuck) Chunks(ctx context.Context, _ chunkindex.Request, _ func(io.Reader) io.Reader, _ bool) (io.ReadCloser, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// slow brings a byte every second.
type slow struct{ io.Reader }

func (s slow) Read(p []byte) (int, error) {
	<-time.After(time.Second) // in a synctest bubble
	return s.Reader.Read(p[:1])
}

// swallow reads an endless line and never has content.
type swallow struct{}

func (swallow) Chunks(_ context.Context, _ chunkindex.Request, wire func(io.Reader) io.Reader, _ bool) (io.ReadCloser, error) {
	return io.NopCloser(nothing{wire(endless{})}), nil
}

type nothing struct{ line io.Reader }

func (n nothing) Read(p []byte) (int, error) {
	_, err := io.Copy(io.Discard, n.line)
	return 0, err
}

// killer ends the run when the answer has come so far.
type killer context.CancelFunc

func (k killer) Read([]byte) (int, error) {
	k()
	return 0, io.EOF
}
