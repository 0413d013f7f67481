// Package tool is what all commands of fernwerk share: the connection that they
// call methods through, the console that they speak through, and the wording of
// what is wrong with a command line.
//
// The commands live in packages beside it, one for each thing that they are
// about; each offers them as a function that takes a [Tool]. Package ctl joins
// them into one program.
package tool

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/ctl/console"
	"github.com/fernwerk/fernwerk/internal/ctl/session"
	"github.com/fernwerk/fernwerk/internal/kit/term"
)

// System is what the program gets from its surroundings.
type System struct {
	In       io.Reader
	Out, Err io.Writer
	Getenv   func(string) string
	Version  string
}

// Backend is what the commands call methods of.
type Backend interface {
	Call(ctx context.Context, actor methods.Actor, method string, params methods.Params) (any, error)
}

// Tool is one run of the program.
type Tool struct {
	console.Console
	Source  session.Source
	Version string

	// Dial makes the connection that commands call methods through.
	Dial func(context.Context) (Backend, error)
	conn Backend // dialled
}

// New makes a Tool that connects as flags, environment and saved login say.
func New(sys System) *Tool {
	t := &Tool{Console: console.Console{In: sys.In, Out: sys.Out, Err: sys.Err}, Version: sys.Version}
	t.Source = session.Source{Getenv: sys.Getenv, Console: &t.Console, UserAgent: "fernwerk/" + sys.Version}
	t.Dial = func(ctx context.Context) (Backend, error) { return t.Source.Connect(ctx) }
	return t
}

// Close ends the session on the server, if there is one.
func (t *Tool) Close() {
	if c := t.Connection(); c != nil {
		c.Close()
	}
}

// Presentable makes an error safe to print: parts of it may come from the
// server. Its exit code stays.
func Presentable(err error) error {
	if err == nil {
		return nil
	}
	return &shown{err}
}

type shown struct{ error }

func (s *shown) Error() string { return term.Clean(strings.TrimSpace(s.error.Error())) }
func (s *shown) Unwrap() error { return s.error }

func (s *shown) Hint() string {
	h, ok := errors.AsType[interface {
		error
		Hint() string
	}](s.error)
	if !ok {
		return ""
	}
	return term.Clean(h.Hint())
}
