// Package console is how fernwerk speaks with whoever called it: a person at a
// terminal, or a script.
//
// Results go to Out, and nothing else does; questions and remarks go to Err.
// Questions are only asked where In is a terminal: a script gets a refusal that
// names the flag. What came from another machine is made safe to print, in
// tables by kit/term, in JSON by escapes that mean the same.
package console

import (
	"io"

	"github.com/fernwerk/fernwerk/internal/kit/term"
)

// Console is one run's input and output.
type Console struct {
	In       io.Reader
	Out, Err io.Writer
	JSON     bool // results are JSON documents
	Quiet    bool // no progress, no remarks
}

// Progress is how transfers show themselves.
func (c *Console) Progress() term.Mode {
	if c.Quiet || c.JSON {
		return term.Silent
	}
	return term.ModeFor(c.Err)
}
