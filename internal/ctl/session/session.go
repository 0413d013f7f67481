// Package session is whom fernwerk talks to: which server, as whom, and why that
// server is trusted.
//
// The parts come from flags, the environment or a saved login, in this order.
// Logins are kept by context, a name for a server and a user there; one context is
// the current one. A saved password goes only to the server and user that it was
// saved for, and a saved CA vouches only for its server. A server that nobody vouches for is
// never spoken to as an account: see [Source.Believe].
package session

import "github.com/fernwerk/fernwerk/internal/ctl/console"

// Flags are what the command line says.
type Flags struct{ Context, Server, User, Password, PasswordFile, CA string }

// Source is where a run learns of its server.
type Source struct {
	Flags     Flags
	Getenv    func(string) string
	Console   *console.Console
	UserAgent string
	// Anew makes a saved password count for nothing: who logs in says it again.
	Anew bool
}
