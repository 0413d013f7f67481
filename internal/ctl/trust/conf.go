package trust

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/signing"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/conf"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/fleet/trust"
)

func hexOf(t trust.Target) string { return hex.EncodeToString(t.SHA256[:]) }

func join(names []string) string { return strings.Join(names, ", ") }

func (t command) confCommand() *cobra.Command {
	c := &cobra.Command{Use: "conf", Short: "Configuration that may hold what is executed"}
	var f signing.Flags
	var audience string
	sign := &cobra.Command{
		Use: "sign FILE", Args: tool.Args,
		Short: "Sign a configuration for all hosts, or for those of a node type",
		Long: `Sign a configuration for all hosts, or for those of a node type. It has the form
of the agent's own file, and may set what host parameters may not: what is
executed, and who is believed. On a host its own file counts before it. It is
read strictly before it is signed.`,
		Example: `  fernwerk trust conf sign hooks.conf --for vnode --trust /media/stick/trust
  fernwerk trust remove conf/vnode.conf --trust /media/stick/trust`,
		RunE: func(c *cobra.Command, given []string) error { return t.confSign(given[0], audience, &f) },
	}
	sign.Flags().StringVar(&audience, "for", "", "all, or a node type")
	_ = sign.MarkFlagRequired("for") // it exists: it was added one line above
	f.AddDir(sign)
	f.Add(sign)
	c.AddCommand(sign)
	return c
}

func (t command) confSign(file, audience string, f *signing.Flags) error {
	nodeType := ""
	if audience != "all" {
		if err := enrol.ValidNodeType(audience); err != nil {
			return fleet.WithHint(fleet.Errorf(fleet.Invalid, "cannot sign for %q: %w", audience, err), "write --for all, or a node type such as vnode")
		}
		nodeType = audience
	}
	data, err := readConf(file)
	if err != nil {
		return fmt.Errorf("cannot sign %s: %w", file, err)
	}
	d, err := f.Open(t.Tool, "")
	if err != nil {
		return err
	}
	defer d.Close()
	name := trust.ConfName(nodeType)
	if err := d.Add(name, data, nil); err != nil {
		return err
	}
	return t.sign(d, f, []string{name}, "signed")
}

// readConf reads a configuration, every key and value of which an agent
// understands.
func readConf(path string) ([]byte, error) {
	in, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	data, err := io.ReadAll(io.LimitReader(in, trust.MaxContent+1))
	if err != nil {
		return nil, err
	}
	if len(data) > trust.MaxContent {
		return nil, fleet.Errorf(fleet.TooLarge, "it is longer than %d bytes", trust.MaxContent)
	}
	parsed, err := conf.Parse(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	if _, err := conf.Load(parsed, nil); err != nil {
		return nil, err
	}
	return data, nil
}
