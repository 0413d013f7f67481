package slowline

import (
	"context"
	"sync"
)

// unlimited is a quota that no CutAfter set.
const unlimited = -1

// era is the time between two cuts; a cut ends all its connections.
type era struct {
	ctx   context.Context
	end   context.CancelFunc
	conns sync.WaitGroup
}

// begin starts the first era of a Serve.
func (p *Proxy) begin(ctx context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.newEra = func() *era {
		e := &era{}
		e.ctx, e.end = context.WithCancel(ctx)
		return e
	}
	p.era = p.newEra()
}

// join adds a connection to the present era.
func (p *Proxy) join() *era {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.era.conns.Add(1)
	return p.era
}

// Cut resets every open connection, and those that are being connected, and
// drops what is queued or in flight: bytes that have not been delivered are
// lost. It returns when the connections are closed; new ones are carried again
// at once.
func (p *Proxy) Cut() {
	if e := p.cut(); e != nil {
		e.conns.Wait()
	}
}

// cut does so without waiting, because a connection cannot wait for itself.
func (p *Proxy) cut() *era {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.quota == 0 { // this is the cut that CutAfter ordered
		p.quota = unlimited
	}
	old := p.era
	if old == nil { // not serving yet
		return nil
	}
	p.era = p.newEra()
	old.end()
	p.up.flush()
	p.down.flush()
	return old
}

// CutAfter cuts the line once n more bytes have been delivered downwards. One
// connection gets exactly n bytes and then a reset (on systems other than
// Linux only if it reads as fast as they come); several together get n at most.
// It counts once: the line works again afterwards. n of 0 or less calls off an
// ordered cut.
func (p *Proxy) CutAfter(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.quota = n
	if n <= 0 {
		p.quota = unlimited
	}
}

// grant takes up to n bytes from the quota of CutAfter; last says that it is
// used up by them. Nothing is granted between the last byte and the cut.
func (p *Proxy) grant(n int) (allowed int, last bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.quota < 0:
		return n, false
	case p.quota == 0:
		return 0, false
	}
	allowed = int(min(int64(n), p.quota))
	p.quota -= int64(allowed)
	return allowed, p.quota == 0
}
