package simulate

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

const (
	// Domain is where all simulated hosts are.
	Domain = "simulation.invalid"
	// product is the one with an action request, others are product-N.
	product = "simulated"
	// piece is how many objects are made in one call, and fewPieces how many
	// hosts are removed: each takes all its products along, and a server changes
	// at most 50,000 objects at once.
	piece     = 500
	fewPieces = 100
)

// crowd is all simulated hosts of a run.
type crowd struct {
	*Options
	address string // HOST:PORT
	tls     *tls.Config
	hosts   []*host
	report  *Report
	tally   tally
}

// newCrowd makes the hosts on the server. What was left of an earlier run goes.
func newCrowd(ctx context.Context, admin methods.Backend, address string, o *Options) (*crowd, error) {
	c := &crowd{Options: o, address: address, tls: o.TLS.Clone(), report: &Report{Hosts: o.Hosts, Mode: "warm", Rate: o.Rate}}
	if o.Herd {
		c.report.Mode = "herd"
	}
	// Agents keep sessions for the next start; a herd of first connects has none.
	c.tls.ClientSessionCache = nil
	if err := Remove(ctx, admin); err != nil {
		return c, err
	}
	var rows, products []any
	flush := func(most int) error {
		for _, batch := range []struct {
			method string
			rows   *[]any
		}{{"host_createObjects", &rows}, {"productOnClient_createObjects", &products}} {
			for len(*batch.rows) > most {
				n := min(len(*batch.rows), piece)
				if _, err := admin.Call(ctx, methods.Actor{}, batch.method, methods.Pos((*batch.rows)[:n])); err != nil {
					return fmt.Errorf("cannot make simulated hosts: %w", err)
				}
				*batch.rows = (*batch.rows)[n:]
			}
		}
		return nil
	}
	for i := range o.Hosts {
		h := c.add(i)
		rows = append(rows, fleet.Row{"type": fleet.OpsiClient, "id": h.id, "opsiHostKey": h.key, "description": "simulated"})
		for p := range o.Products {
			row := fleet.Row{"productId": product, "productType": fleet.LocalbootProduct, "clientId": h.id, "actionRequest": "always",
				"installationStatus": "installed", "productVersion": "1.0", "packageVersion": "0"}
			if p > 0 {
				row["productId"], row["actionRequest"] = fmt.Sprintf("%s-%d", product, p), "none"
			}
			products = append(products, row)
		}
		if len(rows) >= piece {
			if err := flush(0); err != nil {
				return c, err
			}
		}
	}
	return c, flush(0)
}

// add makes one host of ours.
func (c *crowd) add(i int) *host {
	id, key := fmt.Sprintf("sim%05d.%s", i, Domain), methods.NewHostKey()
	h := &host{crowd: c, id: id, key: key, basic: base64.StdEncoding.EncodeToString([]byte(id + ":" + key))}
	c.hosts = append(c.hosts, h)
	return h
}

// hangUp closes all connections.
func (c *crowd) hangUp() {
	for _, h := range c.hosts {
		h.mu.Lock()
		h.close()
		h.mu.Unlock()
	}
}

// Remove takes all simulated hosts, of any run, off the server, with all that
// belongs to them.
func Remove(ctx context.Context, admin methods.Backend) error {
	v, err := admin.Call(ctx, methods.Actor{}, "host_getIdents", methods.Pos("str", map[string]any{"type": fleet.OpsiClient, "id": "*." + Domain}))
	ids, _ := v.([]any)
	for len(ids) > 0 && err == nil {
		n := min(len(ids), fewPieces)
		_, err = admin.Call(ctx, methods.Actor{}, "host_delete", methods.Pos(ids[:n]))
		ids = ids[n:]
	}
	if err != nil {
		return fmt.Errorf("cannot remove simulated hosts: %w", err)
	}
	return nil
}

// body is what a host asks for in its check-in n.
func (h *host) body(n int, now time.Time) []any {
	call := func(id int, method string, params ...any) any {
		return map[string]any{"jsonrpc": "2.0", "id": id, "method": method, "params": params}
	}
	return []any{
		call(1, "productOnClient_getObjects", nil, map[string]any{"clientId": h.id, "actionRequest": []any{"setup", "update", "uninstall", "always", "once", "custom"}}),
		call(2, "productOnClient_updateObjects", []any{map[string]any{
			"type": "ProductOnClient", "productId": product, "productType": fleet.LocalbootProduct, "clientId": h.id, "installationStatus": "installed",
			"lastAction": "always", "actionResult": "successful", "actionProgress": "", "productVersion": "1.0", "packageVersion": fmt.Sprint(n),
		}}),
		call(3, "host_updateObjects", []any{map[string]any{"type": fleet.OpsiClient, "id": h.id, "lastSeen": now.UTC().Format(time.DateTime)}}),
	}
}
