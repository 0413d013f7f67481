package tunnel

import (
	"context"
	"encoding/json"
	"os"

	"github.com/fernwerk/fernwerk/internal/kit/openvpn"
)

// digest is what the openvpn that runs was started with.
func (d *driver) digest() string {
	var with running
	if text, err := os.ReadFile(d.path(runningFile)); err == nil {
		_ = json.Unmarshal(text, &with)
	}
	return with.Digest
}

// look puts out who may be in no longer, and writes the list of revocations.
func (d *driver) look(ctx context.Context) error {
	d.Server.mu.Lock()
	var in []Session
	at := map[string][]uint64{}
	for cid, s := range d.in {
		in = append(in, *s)
		at[s.HostID] = append(at[s.HostID], cid)
	}
	d.Server.mu.Unlock()
	if len(in) > 0 {
		over, err := d.Over(ctx, in)
		if err != nil {
			return err
		}
		for host, why := range over {
			for _, cid := range at[host] {
				d.kill(ctx, cid, why)
			}
		}
	}
	return d.writeCRL(ctx)
}

// sync asks openvpn who is in and tells presence. first takes them over; later it
// finds what events did not say.
func (d *driver) sync(ctx context.Context, first bool) error {
	// What happens between the question and the look at the answer counts.
	d.Server.mu.Lock()
	before := map[uint64]bool{}
	for cid, s := range d.in {
		before[cid] = s.ready
	}
	d.ended = map[uint64]bool{}
	d.Server.mu.Unlock()
	clients, err := d.conn.Status(ctx)
	if err != nil {
		return err
	}
	there := map[uint64]openvpn.Client{}
	for _, c := range clients {
		there[c.CID] = c
	}
	d.Server.mu.Lock()
	for _, c := range clients {
		s := d.in[c.CID]
		if s == nil && !d.ended[c.CID] && c.Address.IsValid() && (first || c.Name != "UNDEF") {
			s = &Session{HostID: c.Name, Address: c.Address, From: c.From, Since: c.Since, Epoch: d.epoch(c.CID, c.Since), ready: true}
			d.in[c.CID] = s
		}
		if s != nil {
			s.Received, s.Sent = c.Received, c.Sent
		}
	}
	var all []Session
	for cid, s := range d.in {
		if _, still := there[cid]; !still && before[cid] { // its end was not told
			delete(d.in, cid)
			continue
		}
		if s.ready {
			all = append(all, *s)
		}
	}
	d.Server.mu.Unlock()
	return d.Nodes.Sync(ctx, d.Name, all)
}
