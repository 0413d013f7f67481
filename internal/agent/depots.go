package agent

import (
	"context"
	"fmt"
	"strings"

	"github.com/fernwerk/fernwerk/internal/agent/control"
	"github.com/fernwerk/fernwerk/internal/agent/depotclient"
	"github.com/fernwerk/fernwerk/internal/agent/productcache"
	"github.com/fernwerk/fernwerk/internal/backend/methods/params"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// wish is what the configuration says of depots. protocol is the event's, or
// empty.
func (a *Agent) wish(ctx context.Context, protocol string, products []string) (w depotclient.Wish, err error) {
	err = a.store.View(ctx, func(tx *store.Tx) error {
		s, err := a.settings(tx)
		if err != nil {
			return err
		}
		values, err := params.Of(tx, a.id.HostID, "clientconfig.*")
		if err != nil {
			return err
		}
		param := func(id string) string {
			if v := values[fleet.ConfigID(id)]; len(v) > 0 {
				text, _ := v[0].(string)
				return text
			}
			return ""
		}
		key := func(name string) string { return s.String("depot_server", name) }
		w = depotclient.Wish{
			Protocol: first(protocol, param("clientconfig.depot.protocol"), depotclient.WebDAV),
			Mode:     first(param("clientconfig.depot.selection_mode"), depotclient.NetworkAddress),
			Policy:   key("content_policy"), Master: key("master_depot_id"), Fixed: key("depot_id"), URL: key("url"),
			Domain: param("clientconfig.windows.domain"), User: first(key("username"), param("clientconfig.depot.user"), "pcpatch"), Password: key("password"),
			Products: products,
		}
		if v := values["clientconfig.depot.dynamic"]; len(v) > 0 {
			w.Dynamic, _ = v[0].(bool)
		}
		if w.Master == "" {
			if w.Master, err = params.DepotOf(tx, a.id.HostID); err != nil {
				return err
			}
		}
		w.Known, err = store.All[fleet.Host](tx, fleet.Hosts, fleet.Filter{"type": []string{fleet.OpsiConfigserver, fleet.OpsiDepotserver}})
		return err
	})
	return w, err
}

func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// chosen keeps a choice for the status.
func (a *Agent) chosen(ch *depotclient.Choice) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.depot = control.DepotStatus{DepotID: ch.Depots[0], Protocol: ch.Protocol(), Reason: ch.Reason, Fallbacks: ch.Depots[1:]}
}

// fetched says for the timeline where products came from.
func fetched(ch *depotclient.Choice, cached []productcache.Product) string {
	if ch == nil {
		return ""
	}
	text := fmt.Sprintf(", depot %s by %s (%s)", ch.Depots[0], ch.Protocol(), ch.Reason)
	var others, listed []string
	for _, p := range cached {
		if p.Wire > 0 && p.From != "" && !strings.HasPrefix(p.From, ch.Depots[0]+" ") {
			others = append(others, p.ID+" from "+p.From)
		}
		if p.Checked == productcache.ByMD5 {
			listed = append(listed, p.ID)
		}
	}
	if len(others) > 0 {
		text += "; " + strings.Join(others, ", ")
	}
	if len(listed) > 0 {
		text += "; checked by MD5 only: " + strings.Join(listed, ", ")
	}
	return text
}
