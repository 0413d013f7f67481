package hosts

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/console"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// newHost are the flags of `host create`.
type newHost struct{ description, notes, mac, ip string }

func (t command) hostCreateCommand() *cobra.Command {
	var h newHost
	c := &cobra.Command{
		Use: "create HOST", Args: tool.Args,
		Short: "Create a host, and print how its machine joins",
		Long: `Create a host, and print the one-time password and the command with which its
machine joins. The password works once; whoever has it can be that host.`,
		Example: "  fernwerk host create pc1.example.org --description 'reception'",
		RunE:    func(c *cobra.Command, given []string) error { return t.hostCreate(c.Context(), given[0], h) },
	}
	c.Flags().StringVar(&h.description, "description", "", "what people call it")
	c.Flags().StringVar(&h.notes, "notes", "", "what else is to be known")
	c.Flags().StringVar(&h.mac, "mac", "", "hardware address, aa:bb:cc:dd:ee:ff")
	c.Flags().StringVar(&h.ip, "ip", "", "IP address")
	return c
}

func (t command) hostCreate(ctx context.Context, id string, h newHost) error {
	id = strings.ToLower(id)
	if err := fleet.ValidHostID(id); err != nil {
		return fleet.Errorf(fleet.Invalid, "cannot create the host: %w", err)
	}
	// The method replaces what is there; an existing host must not lose its key.
	there, err := t.Count(ctx, "host", map[string]any{"id": id})
	if err != nil {
		return err
	}
	if there > 0 {
		return fleet.WithHint(fleet.Errorf(fleet.Exists, "cannot create host %s: it exists", id), "look at it with: fernwerk host show %s", id)
	}
	password := rand.Text() // 130 bits
	object := map[string]any{"type": fleet.OpsiClient, "id": id, "oneTimePassword": password,
		"description": h.description, "notes": h.notes}
	if h.mac != "" {
		object["hardwareAddress"] = h.mac
	}
	if h.ip != "" {
		object["ipAddress"] = h.ip
	}
	if _, err := t.Call(ctx, "host_insertObject", object); err != nil {
		return err
	}
	out := map[string]any{"hostId": id, "oneTimePassword": password}
	if conn := t.Connection(); conn != nil {
		out["server"] = conn.Account.Server
		if out["caFingerprint"], err = conn.Authority(ctx); err != nil {
			return err
		}
	}
	if t.JSON {
		return t.WriteJSON(out)
	}
	fmt.Fprintf(t.Out, "host               %s\none-time password  %s\n", id, password)
	if server, fingerprint := console.Cell(out["server"]), console.Cell(out["caFingerprint"]); fingerprint != "" {
		fmt.Fprintf(t.Out, "\nOn the machine, as root or administrator:\n  fernwerk-agent join --server %s --host-id %s --one-time-password %s --ca-fingerprint %s\n",
			server, id, password, fingerprint)
	}
	return nil
}
