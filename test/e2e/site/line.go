package site

import (
	"context"
	"time"

	"github.com/fernwerk/fernwerk/internal/kit/slowline"
)

// Branch is the line of all our figures: 20 Mbit/s, 40 ms.
var Branch = slowline.Line{Rate: 2_500_000, RTT: 40 * time.Millisecond}

// Line is an emulated line to one server.
type Line struct {
	*slowline.Proxy
	done chan struct{}
	stop context.CancelFunc
}

// Connect lays a line to HOST:PORT; it carries until Close, or until ctx ends.
func Connect(ctx context.Context, line slowline.Line, target string) (*Line, error) {
	proxy, err := slowline.Listen(line, "127.0.0.1:0", target)
	if err != nil {
		return nil, err
	}
	l := &Line{Proxy: proxy, done: make(chan struct{})}
	ctx, l.stop = context.WithCancel(ctx)
	go func() {
		defer close(l.done)
		proxy.Serve(ctx) // who uses the line notices its failure
	}()
	return l, nil
}

// URL is the near end of the line to an HTTPS server.
func (l *Line) URL() string { return "https://" + l.Addr().String() }

// Close ends the line and all its connections.
func (l *Line) Close() {
	l.stop()
	<-l.done
}
