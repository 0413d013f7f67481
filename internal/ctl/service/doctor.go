package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/ctl/session"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// When something is worth a word.
const (
	expiresSoon = 14 * 24 * time.Hour
	clocksApart = 5 * time.Second // opsi clients set their clock above this
)

func (t command) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Look for what is wrong: with the login, the server and the fleet",
		Long: `Look for what is wrong: with the login, the server and the fleet, and say what to
do about it. Exit status 1 if something is bad; a warning is not.`,
		Args: tool.Args,
		RunE: func(c *cobra.Command, _ []string) error { return t.doctor(c.Context()) },
	}
}

// finding is the outcome of one check.
type finding struct {
	state, detail, next string // ok, warning, bad; what was seen; what to do
}

func fine(format string, args ...any) finding { return finding{"ok", fmt.Sprintf(format, args...), ""} }

// check is one thing to look at. A bad one with needed set ends the visit.
type check struct {
	name   string
	needed bool
	do     func(context.Context) finding
}

func (t command) doctor(ctx context.Context) error {
	rows := []fleet.Row{}
	bad := 0
	for _, c := range t.checks() {
		f := c.do(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		rows = append(rows, fleet.Row{"check": c.name, "state": f.state, "detail": f.detail, "next": f.next})
		if f.state == "bad" {
			bad++
			if c.needed {
				break
			}
		}
	}
	if err := t.List(rows, "", "check", "state", "detail", "next"); err != nil {
		return err
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d checks are bad", bad, len(rows))
	}
	return nil
}

func (t command) checks() []check {
	var look session.Look
	return append([]check{
		{"login", true, t.checkLogin},
		{"server", true, func(ctx context.Context) (f finding) { look, f = t.look(ctx); return f }},
		{"health", false, func(context.Context) finding {
			if !look.Healthy {
				return finding{"bad", "the server says that it cannot do its work", "its log says why"}
			}
			return fine("the server can do its work")
		}},
		{"certificate", false, func(context.Context) finding { return checkCertificate(look, time.Now()) }},
		{"clock", false, func(context.Context) finding {
			if look.Ahead.Abs() > clocksApart {
				return finding{"warning", fmt.Sprintf("the server's clock is %s from this machine's", look.Ahead), "set both by NTP"}
			}
			return fine("the same as here")
		}},
		{"account", true, t.checkAccount},
		{"content trust", false, t.checkTrust},
		{"locked", false, t.checkLocked},
		{"absent", false, t.count("last-seen > 30d", "hosts were not here for 30 days", "fernwerk host list --where 'last-seen > 30d'")},
		{"never", false, t.count("last-seen = never and created > 7d", "hosts were created a week ago and never came", "fernwerk host list --where 'last-seen = never'")},
		{"failed", false, t.count("failed = *", "hosts have a failed action", "fernwerk host list --where 'failed = *'")},
		{"waiting", false, t.count("requested = * and last-seen > 14d", "hosts have requests and were not here for 14 days", "fernwerk host list --where 'requested = * and last-seen > 14d'")},
		{"WAN mode", false, t.count("wan = partly", "hosts are half in WAN mode", "fernwerk wan status --partly")},
	}, t.nodeChecks()...)
}

func (t command) checkLogin(context.Context) finding {
	a, err := t.Source.Account()
	if err != nil {
		return finding{"bad", err.Error(), fleet.HintOf(err)}
	}
	return fine("%s at %s", a.User, a.Server)
}

func (t command) look(ctx context.Context) (session.Look, finding) {
	conn, err := t.Server(ctx)
	if err != nil {
		return session.Look{}, finding{"bad", err.Error(), fleet.HintOf(err)}
	}
	look, err := conn.Look(ctx)
	if err != nil {
		next := "is fernwerkd running there, and does the network let you through?"
		if hint := fleet.HintOf(err); hint != "" {
			next = hint
		}
		return look, finding{"bad", err.Error(), next}
	}
	return look, fine("%s", look.Version)
}

func checkCertificate(look session.Look, now time.Time) finding {
	if look.Certificate.IsZero() {
		return fine("none is needed on this machine")
	}
	left := look.Certificate.Sub(now)
	until := look.Certificate.Format(time.DateOnly)
	if left < expiresSoon {
		return finding{"warning", "valid until " + until, "fernwerkd renews it by itself: its log says why it did not"}
	}
	return fine("valid until %s", until)
}

func (t command) checkAccount(ctx context.Context) finding {
	admin, err := rpc.As[bool](t.Call(ctx, "accessControl_userIsAdmin"))
	switch {
	case err != nil && fleet.CodeOf(err) == fleet.Unauthenticated:
		return finding{"bad", err.Error(), "run: fernwerk login"}
	case err != nil:
		return finding{"bad", err.Error(), fleet.HintOf(err)}
	case admin:
		return fine("an administrator")
	}
	return fine("not an administrator: what it may not see is not counted below")
}

func (t command) checkLocked(ctx context.Context) finding {
	n, err := t.Count(ctx, "productOnDepot", fleet.Filter{"locked": true})
	if err != nil {
		return finding{"bad", err.Error(), fleet.HintOf(err)}
	}
	if n > 0 {
		return finding{"warning", fmt.Sprintf("%d products on depots are locked: an installation failed or is under way", n), "fernwerk product list"}
	}
	return fine("no product is")
}

// count is a check that finds hosts which meet a condition.
func (t command) count(where, what, next string) func(context.Context) finding {
	return func(ctx context.Context) finding {
		list, err := rpc.As[[]any](t.Call(ctx, "host_select", where))
		if err != nil {
			if errors.Is(err, context.Canceled) {
				return finding{}
			}
			return finding{"bad", err.Error(), fleet.HintOf(err)}
		}
		if len(list) > 0 {
			return finding{"warning", fmt.Sprintf("%d %s", len(list), what), next}
		}
		return fine("none")
	}
}
