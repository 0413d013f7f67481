package httpapi

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"
)

// listener says what keeps it from accepting: net/http only tries again.
type listener struct {
	net.Listener
	log *slog.Logger

	mu   sync.Mutex
	said time.Time
}

// sayEvery keeps a log from filling with what it said.
const sayEvery = 30 * time.Second

func (l *listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if now := time.Now(); now.Sub(l.said) > sayEvery {
			l.said = now
			l.log.Error("Connections are not accepted: too many files are open", "error", err,
				"hint", "each connection is a file: raise LimitNOFILE= of the service, or ulimit -n")
		}
	}
	return conn, err
}
