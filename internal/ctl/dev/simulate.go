package dev

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/dev/simulate"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
)

// simulation is what the command line says.
type simulation struct {
	simulate.Options
	recordFile, verifyFile string
	remove                 bool
}

func (t command) simulateCommand() *cobra.Command {
	o := simulation{}
	c := &cobra.Command{
		Use: "simulate", Args: tool.Args,
		Short: "Load a server with hosts that are not there",
		Long: `Load a server with hosts that are not there.

Makes hosts named simN.simulation.invalid on the server, each with products and
an action request, connects each of them by TLS, and has them check in: read the
action requests, write a result and when the host was seen. An answer counts when
the server says that it is kept. At the end the hosts are removed.

The server must allow it: allow_simulation = true in fernwerkd.toml.

--rate 0 checks in as fast as the server answers, --at-once hosts at a time. With
a rate, a latency counts from when the check-in was due. --herd has all hosts
connect in the same moment, once each.

--record keeps what was answered; after a crash of the server,
"simulate --verify FILE" says whether it still knows all of that.`,
		RunE: func(c *cobra.Command, _ []string) error {
			switch {
			case o.remove:
				return t.simulateRemove(c.Context())
			case o.verifyFile != "":
				return t.simulateVerify(c.Context(), o.verifyFile)
			}
			if err := o.Check(); err != nil {
				return tool.Misused(c, "cannot use %s", err)
			}
			return t.simulate(c.Context(), o)
		},
	}
	f := c.Flags()
	f.IntVar(&o.Hosts, "hosts", 100, "how many hosts")
	f.IntVar(&o.Products, "products", 5, "products on each host, one of them with an action request")
	f.Float64Var(&o.Rate, "rate", 0, "check-ins a second of all hosts; 0 is as fast as the server answers")
	f.IntVar(&o.AtOnce, "at-once", 256, "hosts that wait for an answer at a time, without --rate")
	f.DurationVar(&o.Duration, "duration", 30*time.Second, "how long")
	f.BoolVar(&o.Herd, "herd", false, "all hosts connect in the same moment, once each")
	f.IntVar(&o.PID, "server-pid", 0, "the server's process on this machine, for its CPU and memory")
	f.StringVar(&o.recordFile, "record", "", "keep what was answered in `FILE`, and the hosts on the server")
	f.BoolVar(&o.Keep, "keep", false, "keep the hosts on the server")
	f.StringVar(&o.verifyFile, "verify", "", "load nothing: ask the server for what `FILE` says it answered")
	f.BoolVar(&o.remove, "remove", false, "load nothing: remove all simulated hosts")
	c.MarkFlagsMutuallyExclusive("verify", "remove", "record")
	c.MarkFlagsMutuallyExclusive("herd", "rate")
	return c
}

func (t command) simulate(ctx context.Context, o simulation) error {
	server, err := t.Server(ctx)
	if err != nil {
		return err
	}
	if o.TLS, err = server.Trust(); err != nil {
		return err
	}
	o.URL, o.Version, o.Say = server.Account.Server, t.Version, t.Remark
	o.Keep = o.Keep || o.recordFile != ""
	report, record, err := simulate.Run(ctx, server, o.Options)
	if record != nil && o.recordFile != "" {
		err = errors.Join(err, record.Save(o.recordFile))
	}
	if report == nil {
		return err
	}
	if t.JSON {
		return errors.Join(err, t.WriteJSON(report))
	}
	fmt.Fprint(t.Out, report)
	if err == nil && report.Failed > 0 {
		err = &tool.Partly{Failed: report.Failed, All: report.Failed + report.CheckIns}
	}
	return err
}

func (t command) simulateVerify(ctx context.Context, file string) error {
	record, err := simulate.Load(file)
	if err != nil {
		return err
	}
	server, err := t.Server(ctx)
	if err != nil {
		return err
	}
	v, err := simulate.Verify(ctx, server, record)
	if err != nil && len(v.Lost) == 0 {
		return err
	}
	return errors.Join(err, t.Say(v, "%d check-ins of %d hosts were answered; %d hosts lost some", v.CheckIns, v.Hosts, len(v.Lost)))
}

func (t command) simulateRemove(ctx context.Context) error {
	server, err := t.Server(ctx)
	if err != nil {
		return err
	}
	if err := simulate.Remove(ctx, server); err != nil {
		return err
	}
	return t.Say(map[string]any{"removed": true}, "removed all simulated hosts")
}
