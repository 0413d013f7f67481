package updates

import (
	"cmp"
	"slices"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/port"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/update"
)

// Report implements [port.Updates].
func (u *Updates) Report(tx *store.Tx, host string, r update.Report) (known bool, err error) {
	row, err := tx.ByKey(publications, publications.Key(fleet.Row{"number": r.Number}))
	if err != nil || row == nil {
		return false, err
	}
	next := Run{HostID: host, Number: r.Number, Attempt: r.Key, N: r.Attempt, Digest: r.Digest, State: string(r.State), Exit: r.Exit, Reason: r.Reason,
		Policy: r.Policy, Started: r.Started, Ended: r.Ended, Revision: r.Revision}
	before, err := tx.ByKey(runs, runs.Key(runs.Encode(next)))
	if err != nil {
		return true, err
	}
	if before != nil {
		var was Run
		runs.Decode(before, &was)
		if was.Revision >= next.Revision {
			return true, nil // told already
		}
		if was.Decision != "" { // whatever follows, it was heard
			tx.Wake(Topic)
		}
	}
	if err := tx.Put(runs, runs.Encode(next)); err != nil {
		return true, err
	}
	if r.Output != "" {
		if err := tx.Put(outputs, outputs.Encode(output{HostID: host, Number: r.Number, Attempt: r.Key, Text: r.Output})); err != nil {
			return true, err
		}
	}
	return true, forget(tx, host, r.Number)
}

// forget keeps a host from filling the database with attempts.
func forget(tx *store.Tx, host, number string) error {
	list, err := of(tx, host, number)
	if err != nil {
		return err
	}
	slices.Reverse(list)
	for i, r := range list {
		if i >= keepOutputs {
			if err := tx.Remove(outputs, runs.Encode(r)); err != nil {
				return err
			}
		}
		if i >= keepRuns {
			if err := tx.Remove(runs, runs.Encode(r)); err != nil {
				return err
			}
		}
	}
	return nil
}

// of are the attempts of an update on a host, the oldest first.
func of(tx *store.Tx, host, number string) ([]Run, error) {
	list, err := store.All[Run](tx, runs, fleet.Filter{"hostId": host, "number": number})
	slices.SortFunc(list, func(a, b Run) int { return cmp.Or(cmp.Compare(a.N, b.N), cmp.Compare(a.Attempt, b.Attempt)) })
	return list, err
}

// Decide implements [port.Updates].
func (u *Updates) Decide(tx *store.Tx, by store.Origin, host string, number int, word string) error {
	name := update.Name(number)
	list, err := of(tx, host, name)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot decide about update %s on %s: nothing was reported", name, host), "see: fernwerk update status %s", name)
	}
	r := list[len(list)-1]
	if waits := update.State(r.State); waits != update.Interrupted && waits != update.Failed || r.Policy == update.Retry {
		return fleet.Errorf(fleet.Conflict, "cannot decide about update %s on %s: it is %s there, nothing waits for a word", name, host, r.State)
	}
	r.Decision = word
	if err := tx.Put(runs, runs.Encode(r)); err != nil {
		return err
	}
	tx.Wake(Topic)
	return tx.Note("update", name, "decide", fleet.Row{"hostId": host, "decision": word})
}

// waiting is the state of a host that is offered an update and told nothing yet.
const waiting = "waiting"

// Status implements [port.Updates].
func (u *Updates) Status(tx *store.Tx, number int, sees func(string) bool) ([]port.Update, error) {
	list, err := all(tx)
	var filter fleet.Filter
	if err == nil && number >= 0 {
		var p Publication
		p, err = find(tx, number)
		list, filter = []Publication{p}, fleet.Filter{"number": p.Number}
	}
	if err != nil {
		return nil, err
	}
	told, err := store.All[Run](tx, runs, filter)
	if err != nil {
		return nil, err
	}
	newest := map[string]map[string]Run{} // by number and host
	changed := map[string][]string{}      // hosts by number
	for _, r := range told {
		if r.State == string(update.Changed) {
			changed[r.Number] = append(changed[r.Number], r.HostID)
			continue
		}
		if newest[r.Number] == nil {
			newest[r.Number] = map[string]Run{}
		}
		if have, there := newest[r.Number][r.HostID]; !there || r.N > have.N {
			newest[r.Number][r.HostID] = r
		}
	}
	v, err := u.load(tx, time.Time{})
	if err != nil {
		return nil, err
	}
	hosts, err := tx.Select(fleet.Hosts, fleet.Filter{"type": fleet.OpsiClient})
	if err != nil {
		return nil, err
	}
	out := []port.Update{}
	for _, p := range list {
		h, err := p.read()
		if err != nil {
			return nil, err
		}
		up := port.Update{Number: p.Number, ID: p.ID, Title: h.Title, Digest: p.Digest, Audience: h.Audience, Share: update.Share(int(p.Share)), Published: p.Published,
			PublishedAt: p.PublishedAt, PublishedBy: p.PublishedBy, WithdrawnAt: p.WithdrawnAt, WithdrawnBy: p.WithdrawnBy, States: map[string]int{}}
		u.count(&up, v, newest[p.Number], hosts, sees, number >= 0)
		for _, host := range changed[p.Number] { // besides how their own content went
			if sees(host) {
				up.States[string(update.Changed)]++
			}
		}
		out = append(out, up)
	}
	return out, nil
}

// count fills in how an update stands on the hosts that are seen.
func (u *Updates) count(up *port.Update, v *view, told map[string]Run, hosts []fleet.Row, sees func(string) bool, each bool) {
	i := slices.IndexFunc(v.updates, func(o offered) bool { return o.name == up.Number })
	for _, row := range hosts {
		id := row.Str("id")
		r, ran := told[id]
		offered := i >= 0 && v.to(v.updates[i], id)
		if !sees(id) || !ran && !offered {
			continue
		}
		if offered {
			up.Offered++
		}
		host := port.UpdateHost{HostID: id, State: waiting}
		if ran {
			host = shown(r)
		}
		up.States[host.State]++
		if each {
			up.Hosts = append(up.Hosts, host)
		}
	}
}

func shown(r Run) port.UpdateHost {
	return port.UpdateHost{HostID: r.HostID, State: r.State, Attempt: r.N, Exit: r.Exit, Reason: r.Reason, Policy: r.Policy, Decision: r.Decision,
		Digest: r.Digest, Started: r.Started, Ended: r.Ended}
}

// Output implements [port.Updates].
func (u *Updates) Output(tx *store.Tx, host string, number int) ([]port.UpdateHost, error) {
	list, err := of(tx, host, update.Name(number))
	out := []port.UpdateHost{}
	for _, r := range list {
		h := shown(r)
		row, err := tx.ByKey(outputs, outputs.Key(runs.Encode(r)))
		if err != nil {
			return nil, err
		}
		h.Output = row.Str("text")
		out = append(out, h)
	}
	return out, err
}
