package licences

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
)

// of is how a command says which pool it means.
type of struct{ pool, product, software string }

func (o *of) add(c *cobra.Command) {
	c.Flags().StringVar(&o.pool, "pool", "", "the licence pool")
	c.Flags().StringVar(&o.product, "product", "", "the pool that the product is in")
	c.Flags().StringVar(&o.software, "software", "", "the pool that counts the software of this Windows software id")
}

func (o of) check(c *cobra.Command) error {
	named := 0
	for _, v := range []string{o.pool, o.product, o.software} {
		if v != "" {
			named++
		}
	}
	if named != 1 {
		return tool.Misused(c, "cannot run %q: of which pool? Add one of --pool, --product, --software", c.CommandPath())
	}
	return nil
}

// args are the parameters that name the pool.
func (o of) args(host string) []any {
	out := []any{host}
	for _, v := range []string{o.pool, o.product, o.software} {
		if v == "" {
			out = append(out, nil)
		} else {
			out = append(out, v)
		}
	}
	return out
}

func (t command) reserveCommand() *cobra.Command {
	var o of
	var days int64
	var w tool.Writing
	c := &cobra.Command{
		Use: "reserve HOST", Args: tool.Args,
		Short:   "Keep a seat for a host",
		Long:    "Keep a seat for a host, for some days. When they are over, another host may take the\nseat, if it is not in use by then.",
		Example: "  fernwerk licence reserve pc1.example.org --product writer --days 90",
		RunE: func(c *cobra.Command, given []string) error {
			if err := o.check(c); err != nil {
				return err
			}
			return t.reserve(c.Context(), given[0], o, days, w)
		},
	}
	o.add(c)
	c.Flags().Int64Var(&days, "days", 30, "how long, from 1 to 366")
	w.Add(c)
	return c
}

func (t command) reserve(ctx context.Context, host string, o of, days int64, w tool.Writing) error {
	if w.DryRun {
		return t.Say(map[string]any{"host": host, "days": days, "dryRun": true}, "would reserve a seat for %s for %d days", host, days)
	}
	seats, err := t.Rows(ctx, "licenseOnClient_reserve", append(o.args(host), days)...)
	if err != nil {
		return err
	}
	seat := seats[0]
	if seat["until"] == nil {
		return t.Say(seat, "%s uses licence %s of pool %s", host, seat.Str("softwareLicenseId"), seat.Str("licensePoolId"))
	}
	return t.Say(seat, "reserved for %s: licence %s of pool %s, until %s UTC", host, seat.Str("softwareLicenseId"), seat.Str("licensePoolId"), seat.Str("until"))
}

func (t command) releaseCommand() *cobra.Command {
	var o of
	var w tool.Writing
	c := &cobra.Command{
		Use: "release HOST", Args: tool.Args,
		Short: "Give a host's seat back, reserved or in use",
		RunE: func(c *cobra.Command, given []string) error {
			if err := o.check(c); err != nil {
				return err
			}
			return t.release(c.Context(), given[0], o, w)
		},
	}
	o.add(c)
	w.Add(c)
	return c
}

func (t command) release(ctx context.Context, host string, o of, w tool.Writing) error {
	if w.DryRun {
		return t.Say(map[string]any{"host": host, "dryRun": true}, "would give back the seat of %s", host)
	}
	if err := t.Confirm(w.Yes, "give back the seat of "+host); err != nil {
		return err
	}
	seats, err := t.Rows(ctx, "licenseOnClient_release", o.args(host)...)
	if err != nil {
		return err
	}
	var names []string
	for _, s := range seats {
		names = append(names, s.Str("softwareLicenseId"))
	}
	return t.Say(map[string]any{"host": host, "released": seats}, "given back by %s: %s", host, strings.Join(names, ", "))
}
