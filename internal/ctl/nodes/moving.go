package nodes

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// has tells whether a tunnel of a name, the mesh's or one of OpenVPN, is among what a node
// type uses.
func has(uses, tunnel string) bool {
	if tunnel == "mesh" {
		return uses == "mesh" || uses == "both"
	}
	return uses == "openvpn" || uses == "both"
}

// cut are the nodes of a type that are up now and would be no longer: what they are in
// is not among what the type is to use.
func (t command) cut(ctx context.Context, id, uses string) ([]string, error) {
	rows, err := t.Rows(ctx, "tunnel_getObjects")
	if fleet.CodeOf(err) == fleet.NotHere { // a server without tunnels
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	stays := map[string]bool{}
	for _, r := range rows {
		if r["up"] == true && strings.EqualFold(r.Str("nodeType"), id) {
			host := r.Str("hostId")
			stays[host] = stays[host] || has(uses, r.Str("tunnel"))
		}
	}
	all := []string{}
	for host, yes := range stays {
		if !yes {
			all = append(all, host)
		}
	}
	slices.Sort(all)
	return all, nil
}

// cutText says that nodes are cut, and how to move them instead.
func cutText(all []string, uses string) string {
	few := strings.Join(all[:min(3, len(all))], ", ")
	if len(all) > 3 {
		few += ", ..."
	}
	text := fmt.Sprintf("put out %d nodes that are in no tunnel of this kind (%s)", len(all), few)
	switch uses {
	case "mesh":
		text += "; to move them set --tunnel both, take them in by fernwerk-agent mesh up, and set --tunnel mesh then"
	case "openvpn":
		text += "; to move them set --tunnel both, take them in by fernwerk-agent tunnel up, and set --tunnel openvpn then"
	}
	return text
}
