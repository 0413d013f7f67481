package slowline

// Counts returns the bytes of TCP payload delivered in each direction since the
// start or the last Reset: handed to the receiver's kernel, and no more than
// that; a reset may come before the program has read them.
func (p *Proxy) Counts() (up, down int64) {
	return p.up.delivered.Load(), p.down.delivered.Load()
}

// Lost returns the bytes that were taken from a sender and not delivered,
// because the line was cut or the receiver had gone. They are counted when
// their connection is closed.
func (p *Proxy) Lost() (up, down int64) {
	return p.up.lost.Load(), p.down.lost.Load()
}

// Reset sets Counts and Lost to zero and returns what Counts was; no byte falls
// between the two.
func (p *Proxy) Reset() (up, down int64) {
	p.up.lost.Store(0)
	p.down.lost.Store(0)
	return p.up.delivered.Swap(0), p.down.delivered.Swap(0)
}
