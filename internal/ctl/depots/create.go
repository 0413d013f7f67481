package depots

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// newDepot are the flags of `depot create`.
type newDepot struct {
	description, network, address, master, keyFile string
}

func (t command) createCommand() *cobra.Command {
	var n newDepot
	c := &cobra.Command{
		Use: "create DEPOT", Aliases: []string{"add"}, Args: tool.Args,
		Short: "Make a depot server known, and print what its machine needs",
		Long: `Make a depot server known, and print what its machine needs: a configuration file
for fernwerkd, and its host key. Whoever has the key can read what the depot may
read at the config server, and change products there; the depot's own file of it
must be readable by its owner only.`,
		Example: "  fernwerk depot create depot.branch.example.org --network 10.3.0.0/16",
		RunE:    func(c *cobra.Command, given []string) error { return t.create(c.Context(), given[0], n) },
	}
	c.Flags().StringVar(&n.description, "description", "", "what people call it")
	c.Flags().StringVar(&n.network, "network", "", "the network whose clients it is for, such as 10.3.0.0/16")
	c.Flags().StringVar(&n.address, "address", "", "HOST or HOST:PORT under which clients reach it, where that is not its name")
	c.Flags().StringVar(&n.master, "of", "", "the master depot that it follows (default: it is one itself)")
	c.Flags().StringVar(&n.keyFile, "key-file", "", "write the host key to this file (mode 0600) instead of showing it")
	return c
}

func (t command) create(ctx context.Context, id string, n newDepot) error {
	id = strings.ToLower(id)
	if err := fleet.ValidHostID(id); err != nil {
		return fleet.Errorf(fleet.Invalid, "cannot create the depot: %w", err)
	}
	there, err := t.Count(ctx, "host", fleet.Filter{"id": id})
	if err != nil {
		return err
	}
	if there > 0 {
		return fleet.WithHint(fleet.Errorf(fleet.Exists, "cannot create depot %s: there is such a host", id), "look at it with: fernwerk host show %s", id)
	}
	row := fleet.Row{"type": fleet.OpsiDepotserver, "id": id, "description": n.description, "isMasterDepot": n.master == ""}
	if n.master != "" {
		if _, err := t.DepotRow(ctx, n.master); err != nil {
			return err
		}
		row["masterDepotId"] = n.master
	}
	if n.network != "" {
		row["networkAddress"] = n.network
	}
	out := map[string]any{"depotId": id}
	var server, fingerprint string
	if conn := t.Connection(); conn != nil {
		server = conn.Account.Server
		if fingerprint, err = conn.Authority(ctx); err != nil {
			return err
		}
		out["server"], out["caFingerprint"] = server, fingerprint
	}
	key := methods.NewHostKey()
	row["opsiHostKey"] = key
	if n.keyFile != "" { // before the row: a depot whose key nobody has is of no use
		if err := writeKey(n.keyFile, key); err != nil {
			return err
		}
		out["keyFile"] = n.keyFile
	} else {
		out["opsiHostKey"] = key
	}
	if _, err := t.Call(ctx, "host_insertObject", row); err != nil {
		return err
	}
	conf := fmt.Sprintf("config_server = %q\nid = %q\nca_fingerprint = %q\n", server, id, fingerprint)
	if n.address != "" {
		conf += fmt.Sprintf("address = %q\n", n.address)
	}
	out["configuration"] = conf
	if t.JSON {
		return t.WriteJSON(out)
	}
	fmt.Fprintf(t.Out, "depot     %s\n", id)
	if n.keyFile != "" {
		fmt.Fprintf(t.Out, "host key  in %s\n", n.keyFile)
	} else {
		fmt.Fprintf(t.Out, "host key  %s\n", key)
	}
	fmt.Fprintf(t.Out, "\nOn its machine, /etc/fernwerk/fernwerkd.toml:\n\n%s\nthe host key in /var/lib/fernwerk/host.key (mode 0600), and then:\n  fernwerkd serve --config /etc/fernwerk/fernwerkd.toml\n", conf)
	return nil
}

// writeKey makes a new file that only its owner reads.
func writeKey(path, key string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("cannot write the host key: %w", err)
	}
	_, err = f.WriteString(key + "\n")
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("cannot write the host key: %w", err)
	}
	return nil
}
