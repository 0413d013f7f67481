// Package dev is for those who develop Fernwerk, or try it out.
package dev

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/dev/demo"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/kit/term"
)

// command is a command of this package, with what all commands share.
type command struct{ *tool.Tool }

// Command is dev.
func Command(t *tool.Tool) *cobra.Command {
	c := &cobra.Command{Use: "dev", Short: "For those who develop or try out Fernwerk"}
	c.AddCommand(command{t}.demoCommand(), command{t}.simulateCommand())
	return c
}

func (t command) demoCommand() *cobra.Command {
	o := demo.Options{}
	rate := "20mbit"
	c := &cobra.Command{
		Use: "demo", Args: tool.Args,
		Short: "Watch software travel over a slow line and install with the server gone",
		Long: `Watch software travel over a slow line and install with the server gone.

Starts a server and an agent of its own on this machine, in one temporary folder
and on free ports of the loopback interface, with an emulated slow line between
them. Needs neither root nor a network, and leaves nothing behind. fernwerkd and
fernwerk-agent must lie beside this program.

With --json the last line is one JSON object with the figures: bytes as the line
carried them in both directions, seconds by the demo's own clock.`,
		RunE: func(c *cobra.Command, _ []string) error {
			var err error
			if o.Rate, err = bitRate(rate); err != nil {
				return tool.Misused(c, "cannot use --rate: %s", err)
			}
			return t.demo(c.Context(), o)
		},
	}
	c.Flags().StringVar(&o.Source, "source", "", "the folder that travels (default: the Go toolchain's own src)")
	c.Flags().StringVar(&rate, "rate", rate, "capacity of the line in each direction: 20mbit, 512kbit, 1gbit")
	c.Flags().DurationVar(&o.RTT, "rtt", 40*time.Millisecond, "round trip of the line")
	c.Flags().BoolVar(&o.Keep, "keep", false, "keep the temporary folder, with all logs")
	return c
}

func (t command) demo(ctx context.Context, o demo.Options) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("cannot find the programs of the demo: %w", err)
	}
	o.Programs, o.Admin = filepath.Dir(self), self
	o.Out, o.Mode = t.Out, term.ModeFor(t.Out)
	if t.JSON {
		o.Out, o.Mode = t.Err, term.ModeFor(t.Err) // what is told on the way is no result
	}
	if t.Quiet {
		o.Out, o.Mode = io.Discard, term.Silent
	}
	figures, err := demo.Run(ctx, o)
	if t.JSON {
		line, jsonErr := json.Marshal(figures)
		if jsonErr != nil {
			return jsonErr
		}
		fmt.Fprintln(t.Out, string(line))
	}
	return err
}

// bitRate reads "20mbit" and returns bytes a second. Lines are sold in decimal
// bits.
func bitRate(text string) (int64, error) {
	for unit, bits := range map[string]float64{"kbit": 1e3, "mbit": 1e6, "gbit": 1e9} {
		if number, ok := strings.CutSuffix(strings.ToLower(text), unit); ok {
			n, err := strconv.ParseFloat(number, 64)
			if bytes := n * bits / 8; err == nil && bytes >= 1000 && bytes < math.MaxInt32 {
				return int64(bytes), nil
			}
		}
	}
	return 0, fmt.Errorf("%q is no rate such as 20mbit (8kbit to 10gbit)", text)
}
