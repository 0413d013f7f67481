// Package run starts and stops the long-lived parts of a program.
//
// Everything long-lived is a [Service]: Serve(ctx) works until ctx ends. Two
// ways to keep several of them alive exist, because the two programs want
// opposite things from a failure:
//
//   - [Group] fails together. A server with a dead listener is worth nothing,
//     so the first failure stops the rest and the init system starts the
//     program again. Services stop in the reverse of the order they were added
//     in, each awaited before the next is asked, so a part may rely on
//     everything above it in that list until its own Serve has returned.
//   - [Supervise] starts one service again, with a back-off. On the agent a
//     broken tunnel must not end a running installation.
//
// Both are services themselves and nest. [Main] is the outermost layer: signals
// in, an exit code and at most two lines for people out.
//
// A rule that both keep: only the end of the context that a service was given
// counts as a wish to stop. A network timeout also reports
// context.DeadlineExceeded and is an ordinary failure.
package run

import "context"

// Service is something long-lived. Serve returns soon after ctx ends, with nil
// or ctx's error; returning earlier is a failure, whatever it returns.
type Service interface {
	Serve(ctx context.Context) error
}

// Func makes a function a [Service].
type Func func(ctx context.Context) error

// Serve calls f.
func (f Func) Serve(ctx context.Context) error { return f(ctx) }
