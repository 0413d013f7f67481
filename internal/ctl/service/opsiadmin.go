package service

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fernwerk/fernwerk/internal/ctl/console"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/kit/term"
)

// OpsiAdmin is the name under which the program behaves as opsi's tool.
const OpsiAdmin = "opsi-admin"

// opsiAdmin are the options of opsi's tool that scripts use.
type opsiAdmin struct {
	simple, raw, exitZero bool
}

func (t command) opsiAdminCommand() *cobra.Command {
	return &cobra.Command{
		Use:   OpsiAdmin + " [OPTION...] method METHOD [ARGUMENT...]",
		Short: "Call a method as opsi's opsi-admin does, for scripts that do",
		Long: `Call a method as opsi's opsi-admin does, for scripts that do. The program behaves
like this too when it is called by the name opsi-admin, through a link.

Each ARGUMENT is JSON, or else plain text. The result is written as JSON, a
result of nothing not at all.

  -d            speak to the service directly: there is no other way here
  -S            simple output: a line each value, KEY=VALUE for attributes
  -r            raw output: text without quotes, the rest as JSON in one line
  -a ADDRESS    the server
  -u NAME       the account; -p PASSWORD its password. On the command line
                others see a password: root on the server needs none
  --exit-zero   exit status 0, whatever happens
  -c, -l LEVEL, -f FILE, --no-depot
                accepted, without effect`,
		Example: `  opsi-admin -d method config_createBool opsiclientd.event_timer.active "event_timer active" false
  opsi-admin -dS method host_getIdents`,
		DisableFlagParsing: true,
		RunE:               func(c *cobra.Command, given []string) error { return t.opsiAdmin(c, given) },
	}
}

func (t command) opsiAdmin(c *cobra.Command, given []string) error {
	var o opsiAdmin
	flags := pflag.NewFlagSet(OpsiAdmin, pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.SetInterspersed(false) // what follows the method is its
	flags.BoolVarP(&o.simple, "simple-output", "S", false, "")
	flags.BoolVarP(&o.raw, "raw-output", "r", false, "")
	flags.BoolVar(&o.exitZero, "exit-zero", false, "")
	help := flags.BoolP("help", "h", false, "")
	for name, short := range map[string]string{"direct": "d", "colorize": "c", "no-depot": ""} {
		flags.BoolP(name, short, false, "")
	}
	for name, short := range map[string]string{"log-level": "l", "log-file": "f"} {
		flags.StringP(name, short, "", "")
	}
	flags.StringVarP(&t.Source.Flags.Server, "address", "a", t.Source.Flags.Server, "")
	flags.StringVarP(&t.Source.Flags.User, "username", "u", t.Source.Flags.User, "")
	flags.StringVarP(&t.Source.Flags.Password, "password", "p", "", "")
	if err := flags.Parse(given); err != nil {
		return tool.Misused(c, "cannot run opsi-admin: %s", err)
	}
	if *help {
		return c.Help()
	}
	rest := flags.Args()
	switch {
	case len(rest) == 0:
		return tool.Misused(c, "cannot run opsi-admin: no command is named")
	case rest[0] != "method":
		return tool.Misused(c, "cannot run opsi-admin %s: the only command here is method", rest[0])
	case len(rest) == 1:
		return tool.Misused(c, "cannot run opsi-admin method: METHOD is missing")
	}
	err := t.opsiMethod(c.Context(), o, rest[1], rest[2:])
	if err != nil && o.exitZero {
		fmt.Fprintln(t.Err, "error:", term.Clean(err.Error()))
		return nil
	}
	return err
}

func (t command) opsiMethod(ctx context.Context, o opsiAdmin, method string, texts []string) error {
	arguments := make([]any, len(texts))
	for i, text := range texts {
		arguments[i] = argument(text)
	}
	v, err := t.Call(ctx, method, arguments...)
	switch {
	case err != nil:
		return nearMethod(err, method)
	case v == nil:
		return nil
	case o.simple:
		_, err = io.WriteString(t.Out, console.Harmless(simple(v)))
		return err
	case o.raw:
		return t.raw(v)
	}
	return t.WriteJSON(v)
}

// simple is a result without structure, for a shell's read.
func simple(v any) string {
	var b strings.Builder
	switch v := v.(type) {
	case []any:
		for i, e := range v {
			_, object := e.(map[string]any)
			if object && i > 0 {
				b.WriteByte('\n') // between objects
			}
			b.WriteString(simple(e))
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			fmt.Fprintf(&b, "%s=%s\n", name, oneLine(console.Cell(v[name])))
		}
	default:
		b.WriteString(oneLine(console.Cell(v)) + "\n")
	}
	return b.String()
}

// oneLine keeps a value on its line: who reads lines must not be told more.
func oneLine(s string) string { return strings.NewReplacer("\n", `\n`, "\r", `\r`).Replace(s) }

func (t command) raw(v any) error {
	if s, ok := v.(string); ok {
		_, err := fmt.Fprintln(t.Out, console.Harmless(s))
		return err
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("cannot write the result: %w", err)
	}
	_, err := io.WriteString(t.Out, console.Harmless(b.String()))
	return err
}
