package service

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/kit/term"
)

// logTypes are opsi's.
var logTypes = []string{"bootimage", "clientconnect", "instlog", "opsiconfd", "userlogin", "winpe"}

func (t command) logCommand() *cobra.Command {
	c := &cobra.Command{Use: "log", Short: "Logs that hosts have sent: show"}
	var size int64
	show := &cobra.Command{
		Use: "show HOST TYPE", Args: tool.Args,
		Short:     "Show the newest part of a log: " + strings.Join(logTypes, ", "),
		Example:   "  fernwerk log show pc1.example.org instlog",
		ValidArgs: logTypes,
		RunE: func(c *cobra.Command, given []string) error {
			if err := tool.OneOf(c, "type of log", given[1], logTypes); err != nil {
				return err
			}
			return t.logShow(c.Context(), given[0], given[1], size)
		},
	}
	show.Flags().Int64Var(&size, "bytes", 1_000_000, "how much of its end")
	c.AddCommand(show)
	return c
}

func (t command) logShow(ctx context.Context, host, kind string, size int64) error {
	text, err := rpc.As[string](t.Call(ctx, "log_read", kind, host, size))
	if err != nil {
		return err
	}
	if t.JSON {
		return t.WriteJSON(map[string]any{"host": host, "type": kind, "text": text})
	}
	if text == "" {
		t.Remark("%s has sent no %s", host, kind)
		return nil
	}
	if !term.IsTerminal(t.Out) {
		_, err := io.WriteString(t.Out, text)
		return err
	}
	out := bufio.NewWriter(t.Out)
	for line := range strings.Lines(text) {
		fmt.Fprintln(out, term.Clean(strings.TrimRight(line, "\r\n")))
	}
	return out.Flush()
}
