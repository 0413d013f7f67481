package lab

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
)

// Log takes what all parts of a lab log, and shows it when the test has failed.
type Log struct {
	mu       sync.Mutex
	text     bytes.Buffer
	requests []Request
}

// Request is one line of the server's access log.
type Request struct {
	Method, Path string
	Status       int
	Bytes        int64 // of the answer's body
	Actor        string
}

func newLog(t testing.TB) *Log {
	l := &Log{}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("the parts logged:\n" + l.String())
		}
	})
	return l
}

// String is all that was logged.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Contains tells whether a text was logged.
func (l *Log) Contains(text string) bool { return strings.Contains(l.String(), text) }

// Requests are those that the server answered to an actor, "host pc1.example.org",
// since they were asked for last.
func (l *Log) Requests(actor string) []Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	var of, rest []Request
	for _, r := range l.requests {
		if r.Actor == actor {
			of = append(of, r)
		} else {
			rest = append(rest, r)
		}
	}
	l.requests = rest
	return of
}

// logger names the part that logs.
func (l *Log) logger(part string) *slog.Logger {
	text := slog.NewTextHandler(lockedWriter{l}, &slog.HandlerOptions{Level: slog.LevelDebug})
	return slog.New(&handler{text, l}).With("part", part)
}

type lockedWriter struct{ *Log }

func (w lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

// handler keeps the access log apart, too.
type handler struct {
	slog.Handler
	log *Log
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &handler{h.Handler.WithAttrs(attrs), h.log}
}

func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{h.Handler.WithGroup(name), h.log}
}

func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == "Request" {
		var q Request
		r.Attrs(func(a slog.Attr) bool {
			switch a.Key {
			case "method":
				q.Method = a.Value.String()
			case "path":
				q.Path = a.Value.String()
			case "status":
				q.Status = int(a.Value.Int64())
			case "bytes":
				q.Bytes = a.Value.Int64()
			case "actor":
				q.Actor = a.Value.String()
			}
			return true
		})
		h.log.mu.Lock()
		h.log.requests = append(h.log.requests, q)
		h.log.mu.Unlock()
	}
	return h.Handler.Handle(ctx, r)
}
