package nodefile

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/port"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/nodefile"
)

// seldom is how often a host asks that has no node type: for the keys of its SSH
// server only.
const seldom = time.Hour

// mostNoted is how many changes of files a note in a host's history names.
const mostNoted = 20

// Ask answers a host, and takes what it tells. A host that has nothing to tell and
// for which nothing is new costs three rows read.
func (f *Files) Ask(ctx context.Context, hostID string, req nodefile.Request) (out nodefile.Answer, err error) {
	hostID = strings.ToLower(hostID)
	keys, err := readKeys(req.HostKeys)
	if err == nil && req.Report != nil {
		err = req.Report.Check()
	}
	if err != nil {
		return out, err
	}
	out.Every = int(f.Every.Seconds())
	answer := func(tx *store.Tx) error {
		nodeType, counts, err := f.Identity(tx, hostID)
		if err != nil {
			return err
		}
		if !counts {
			return fleet.Errorf(fleet.Denied, "cannot tell %s of files: its identity does not count", hostID)
		}
		out.NodeType, out.List = nodeType, nil
		r, err := tx.ByKey(hosts, hostID)
		if err != nil {
			return err
		}
		out.Tell = r == nil && req.Report == nil
		if nodeType == "" {
			out.Every = int(seldom.Seconds())
		}
		if nodeType == "" || req.Signed {
			return nil
		}
		l, row, err := f.own(tx, nodeType)
		if err != nil || row.Sum == req.Holds || req.Holds == "" && row.Text == "" {
			return err
		}
		out.List, err = l.Bytes()
		return err
	}
	if err := f.Store.View(ctx, answer); err != nil {
		return out, err
	}
	if req.Report == nil && len(keys) == 0 {
		return out, nil
	}
	if err := f.pace.mayTell(hostID); err != nil {
		return out, err
	}
	err = f.Store.Update(ctx, store.Origin{Actor: "host " + hostID}, func(tx *store.Tx) error {
		if _, counts, err := f.Identity(tx, hostID); err != nil || !counts {
			return err
		}
		if req.Report != nil {
			if err := f.take(tx, hostID, req.Signed, *req.Report); err != nil {
				return err
			}
		}
		return takeKeys(tx, hostID, keys)
	})
	return out, err
}

// take keeps a report, and notes what changed in the host's history.
func (f *Files) take(tx *store.Tx, hostID string, signed bool, report nodefile.Report) error {
	text, err := json.Marshal(report)
	if err != nil {
		return err
	}
	next := host{HostID: hostID, List: report.List, Signed: signed, Report: string(text), Told: tx.Stamp()}
	r, err := tx.ByKey(hosts, hostID)
	if err != nil {
		return err
	}
	var was host
	before := nodefile.Report{}
	if r != nil {
		hosts.Decode(r, &was)
		if was.Report == next.Report && was.Signed == next.Signed {
			return nil
		}
		if before, err = was.read(); err != nil {
			return err
		}
	}
	if err := tx.Put(hosts, hosts.Encode(next)); err != nil {
		return err
	}
	var changes []string
	for _, s := range report.Files {
		same := func(o nodefile.Status) bool {
			return o.Path == s.Path && o.State == s.State && o.SHA256 == s.SHA256 && o.Problem == s.Problem && o.Repaired.Equal(s.Repaired)
		}
		if slices.ContainsFunc(before.Files, same) {
			continue
		}
		text := s.Path + ": " + s.State
		if s.Problem != "" {
			text += ": " + s.Problem
		}
		if !s.Repaired.IsZero() {
			text += " (a change made there was put right)"
		}
		changes = append(changes, text)
	}
	if report.Problem != before.Problem {
		changes = append(changes, "list: "+report.Problem)
	}
	if len(changes) == 0 {
		return nil
	}
	if more := len(changes) - mostNoted; more > 0 { // the report has all of them
		changes = append(changes[:mostNoted], fmt.Sprintf("and %d more", more))
	}
	return tx.Note(fleet.Hosts.Name, hostID, "files", fleet.Row{"list": report.List, "changes": strings.Join(changes, "\n")})
}

func (h host) read() (r nodefile.Report, err error) {
	if err = json.Unmarshal([]byte(h.Report), &r); err != nil {
		err = fleet.Errorf(fleet.Internal, "the report of %s is damaged: %w", h.HostID, err)
	}
	return r, err
}

// Status implements [port.NodeFiles].
func (f *Files) Status(tx *store.Tx) ([]port.NodeFileHost, error) {
	rows, err := store.All[host](tx, hosts, nil)
	if err != nil {
		return nil, err
	}
	newest := map[string][2]string{} // digests of the lists by type: ours, the signed one
	out := []port.NodeFileHost{}
	for _, h := range rows {
		nodeType, counts, err := f.Identity(tx, h.HostID)
		if err != nil {
			return nil, err
		}
		if !counts {
			continue
		}
		r, err := h.read()
		if err != nil {
			return nil, err
		}
		sums, looked := newest[nodeType]
		if !looked && nodeType != "" {
			_, row, err := f.own(tx, nodeType)
			if err != nil {
				return nil, err
			}
			_, signed, err := f.signed(tx, nodeType)
			if err != nil {
				return nil, err
			}
			sums = [2]string{row.Sum, cmp.Or(signed, noFiles(nodeType))}
			newest[nodeType] = sums
		}
		now := sums[0]
		if h.Signed {
			now = sums[1]
		}
		if r.Files == nil {
			r.Files = []nodefile.Status{}
		}
		out = append(out, port.NodeFileHost{HostID: h.HostID, NodeType: nodeType, Signed: h.Signed, Current: h.List == now || h.List == "" && now == noFiles(nodeType), Problem: r.Problem, Told: h.Told, Files: r.Files})
	}
	return out, nil
}

func readKeys(lines []string) (keys []nodefile.PublicKey, err error) {
	if len(lines) > nodefile.MaxHostKeys {
		return nil, fleet.Errorf(fleet.TooLarge, "cannot take host keys: more than %d", nodefile.MaxHostKeys)
	}
	for _, line := range lines {
		k, err := nodefile.ParseHostKey(line)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(keys, func(o nodefile.PublicKey) bool { return o.Kind == k.Kind }) {
			return nil, fleet.Errorf(fleet.Invalid, "cannot take host keys: two of the kind %s", k.Kind)
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// Fingerprint is a key's, as OpenSSH prints it.
func fingerprint(blob string) string {
	data, err := base64.StdEncoding.DecodeString(blob)
	if err != nil {
		return "" // it was read before it was kept
	}
	sum := sha256.Sum256(data)
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

// takeKeys makes a host's keys those that it tells; none tells nothing.
func takeKeys(tx *store.Tx, hostID string, keys []nodefile.PublicKey) error {
	if len(keys) == 0 {
		return nil
	}
	have, err := store.All[hostKey](tx, hostKeys, fleet.Filter{"hostId": hostID})
	if err != nil {
		return err
	}
	for _, h := range have {
		if !slices.ContainsFunc(keys, func(k nodefile.PublicKey) bool { return k.Kind == h.Kind }) {
			if err := tx.Remove(hostKeys, hostKeys.Encode(h)); err != nil {
				return err
			}
			if err := tx.Note(fleet.Hosts.Name, hostID, "ssh key gone", fleet.Row{"kind": h.Kind, "fingerprint": fingerprint(h.Blob)}); err != nil {
				return err
			}
		}
	}
	for _, k := range keys {
		row := hostKey{HostID: hostID, Kind: k.Kind, Blob: k.Blob, Since: tx.Stamp()}
		op := "ssh key"
		if i := slices.IndexFunc(have, func(h hostKey) bool { return h.Kind == k.Kind }); i >= 0 {
			if have[i].Blob == k.Blob {
				continue
			}
			row.Former, op = fingerprint(have[i].Blob), "ssh key changed"
		}
		if err := tx.Put(hostKeys, hostKeys.Encode(row)); err != nil {
			return err
		}
		if err := tx.Note(fleet.Hosts.Name, hostID, op, fleet.Row{"kind": k.Kind, "fingerprint": fingerprint(k.Blob), "former": row.Former}); err != nil {
			return err
		}
	}
	return nil
}

// HostKeys implements [port.NodeFiles].
func (f *Files) HostKeys(tx *store.Tx) ([]port.HostKeys, error) {
	rows, err := store.All[hostKey](tx, hostKeys, nil)
	if err != nil {
		return nil, err
	}
	names := map[string][]string{}
	if f.Names != nil {
		if names, err = f.Names(tx); err != nil {
			return nil, err
		}
	}
	holder := map[string]string{} // of a name in tunnels
	for id, all := range names {
		for _, name := range all {
			holder[name] = id
		}
	}
	out := []port.HostKeys{}
	for _, r := range rows {
		nodeType, counts, err := f.Identity(tx, r.HostID)
		if err != nil {
			return nil, err
		}
		if !counts {
			continue
		}
		i := slices.IndexFunc(out, func(o port.HostKeys) bool { return o.HostID == r.HostID })
		if i < 0 {
			known := slices.Clone(names[r.HostID])
			if holder[r.HostID] == "" { // else it is its own already, or another node's, who is found by it
				known = append(known, r.HostID)
			}
			i = len(out)
			out = append(out, port.HostKeys{HostID: r.HostID, NodeType: nodeType, Names: known})
		}
		o := &out[i]
		o.Keys = append(o.Keys, r.Kind+" "+r.Blob)
		o.Since = max(o.Since, r.Since)
		if r.Former != "" {
			o.Changed = max(o.Changed, r.Since)
		}
	}
	return out, nil
}
