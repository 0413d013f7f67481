// Package patience reads a request's body for as long as it keeps coming,
// however slow the line and whatever limits the server has for others.
package patience

import (
	"io"
	"net/http"
	"time"
)

// Silence is how long a sender may say nothing.
const Silence = 2 * time.Minute

// Body is the body of a request that w answers. When it has been read the answer
// may take as long as it takes.
func Body(w http.ResponseWriter, body io.Reader) io.Reader {
	return &reader{body, http.NewResponseController(w)}
}

type reader struct {
	r       io.Reader
	control *http.ResponseController
}

func (p *reader) Read(b []byte) (int, error) {
	// Servers that cannot set deadlines have none.
	_ = p.control.SetReadDeadline(time.Now().Add(Silence))
	n, err := p.r.Read(b)
	if err != nil {
		_ = p.control.SetReadDeadline(time.Time{})
		_ = p.control.SetWriteDeadline(time.Time{})
	}
	return n, err
}
