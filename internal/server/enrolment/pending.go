package enrolment

import (
	"context"
	"crypto/subtle"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/port"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
)

// Limits of what waits: strangers may ask.
const (
	mostWaiting   = 2_000
	mostUnknown   = 1_000 // of them without a token
	mostOfAddress = 200   // of these from one address, or one IPv6 network
	waitsFor      = 7 * 24 * time.Hour
	asksAgain     = 12 * time.Hour
	numberLength  = 16
)

// WaitingRow is a machine that waits for an administrator.
type WaitingRow struct {
	Name     string `col:"name,ident"` // the beginning of the key's id
	KeyID    string `col:"keyId"`
	Proof    string `col:"proof"`
	CSR      string `col:"csr"`
	Token    string `col:"token"`
	NodeType string `col:"nodeType"`
	Hostname string `col:"hostname"`
	UUID     string `col:"uuid"`
	Hardware string `col:"hardware"`
	Address  string `col:"address"`
	Asked    int64  `col:"asked"` // Unix seconds; of a machine that goes on asking half a day ago at most
	Denied   bool   `col:"denied"`
}

// Waiting is the class of WaitingRow.
var Waiting = fleet.LocalClass[WaitingRow]("joinWaiting")

// number is short enough to be read out.
func number(keyID string) string { return keyID[:numberLength] }

func waiting(tx *store.Tx, name string) (row WaitingRow, err error) {
	r, err := tx.ByKey(Waiting, name)
	if r != nil {
		Waiting.Decode(r, &row)
	}
	return row, err
}

// waits finds a machine among those that wait, or were denied.
func (e *Enrolment) waits(tx *store.Tx, a asking) (out enrol.JoinAnswer, known bool, err error) {
	row, err := waiting(tx, number(a.keyID))
	if err != nil || row.KeyID != a.keyID || subtle.ConstantTimeCompare([]byte(row.Proof), []byte(a.proof)) != 1 {
		return out, false, err
	}
	if row.Denied {
		return out, true, fleet.Errorf(fleet.Denied, "cannot join: an administrator has denied request %s", row.Name)
	}
	return enrol.JoinAnswer{Pending: row.Name}, true, nil
}

// stillWaits notes, once in a while, that a machine goes on asking: it stays on the
// list for as long as it does.
func (e *Enrolment) stillWaits(ctx context.Context, name string) error {
	var row WaitingRow
	due := func(tx *store.Tx) (bool, error) {
		var err error
		row, err = waiting(tx, name)
		return err == nil && row.Name != "" && tx.Now().Unix()-row.Asked > int64(asksAgain/time.Second), err
	}
	is := false
	err := e.cfg.Store.View(ctx, func(tx *store.Tx) (err error) { is, err = due(tx); return err })
	if err != nil || !is {
		return err
	}
	return e.cfg.Store.Update(ctx, store.Origin{Actor: "server"}, func(tx *store.Tx) error {
		is, err := due(tx)
		if err != nil || !is {
			return err
		}
		row.Asked = tx.Now().Unix()
		return tx.Put(Waiting, Waiting.Encode(row))
	})
}

// wait puts a machine among those that wait.
func (e *Enrolment) wait(tx *store.Tx, a asking) (enrol.JoinAnswer, error) {
	old, err := room(tx, a)
	if err != nil {
		return enrol.JoinAnswer{}, err
	}
	for _, r := range old {
		if err := tx.Remove(Waiting, Waiting.Encode(r)); err != nil {
			return enrol.JoinAnswer{}, err
		}
	}
	row := WaitingRow{Name: number(a.keyID), KeyID: a.keyID, Proof: a.proof, CSR: a.CSR, NodeType: a.NodeType, Hostname: a.Machine.Hostname,
		UUID: a.Machine.SystemUUID, Hardware: a.Machine.HardwareAddress, Address: a.address, Asked: tx.Now().Unix()}
	if a.token != nil {
		row.Token = a.token.ID
	}
	if err := tx.Put(Waiting, Waiting.Encode(row)); err != nil {
		return enrol.JoinAnswer{}, err
	}
	return enrol.JoinAnswer{Pending: row.Name}, tx.Note(Waiting.Name, row.Name, "ask", nil)
}

// room refuses a machine where too many wait. old are those that waited too long.
func room(tx *store.Tx, a asking) (old []WaitingRow, err error) {
	rows, err := store.All[WaitingRow](tx, Waiting, nil)
	if err != nil {
		return nil, err
	}
	left, unknown, near := 0, 0, 0
	for _, r := range rows {
		if tx.Now().Unix()-r.Asked > int64(waitsFor/time.Second) {
			old = append(old, r)
			continue
		}
		left++
		if r.Token == "" {
			unknown++
			if network(r.Address) == network(a.address) {
				near++
			}
		}
	}
	if left >= mostWaiting || a.token == nil && (unknown >= mostUnknown || near >= mostOfAddress) {
		return nil, fleet.WithHint(fleet.Errorf(fleet.Unavailable, "cannot take the request: %d machines wait already", left), "an administrator decides: fernwerk host pending")
	}
	return old, nil
}

// network is what one stranger has of addresses: an IPv4 address, or an IPv6
// network of 64 bits.
func network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	if ip = ip.Unmap().WithZone(""); ip.Is6() {
		if p, err := ip.Prefix(64); err == nil {
			return p.String()
		}
	}
	return ip.String()
}

// Pending are the machines that wait, the oldest first.
func (e *Enrolment) Pending(tx *store.Tx) ([]port.PendingHost, error) {
	rows, err := store.All[WaitingRow](tx, Waiting, nil)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(rows, func(a, b WaitingRow) int {
		if a.Asked != b.Asked {
			return int(a.Asked - b.Asked)
		}
		return strings.Compare(a.Name, b.Name)
	})
	out := []port.PendingHost{}
	for _, r := range rows {
		if !r.Denied && tx.Now().Unix()-r.Asked <= int64(waitsFor/time.Second) {
			out = append(out, port.PendingHost{ID: r.Name, Asked: stamp(r.Asked), Hostname: r.Hostname, SystemUUID: r.UUID, HardwareAddress: r.Hardware,
				Address: r.Address, NodeType: r.NodeType, Token: r.Token})
		}
	}
	return out, nil
}

// Approve makes a machine that waits a host: as the host id given, or by the rule.
// It learns so when it asks again.
func (e *Enrolment) Approve(tx *store.Tx, name, as string) (hostID string, err error) {
	row, err := waiting(tx, name)
	if err != nil {
		return "", err
	}
	if row.Name == "" {
		return "", noSuch("approve", name)
	}
	a, err := e.read(enrol.JoinRequest{CSR: row.CSR, NodeType: row.NodeType,
		Machine: enrol.Machine{Hostname: row.Hostname, SystemUUID: row.UUID, HardwareAddress: row.Hardware}}, row.Address)
	if err != nil {
		return "", err
	}
	a.proof, a.typed = row.Proof, true // whoever approves sees it
	t := TokenRow{Policy: string(enrol.PlainOpsi)}
	if row.Token != "" {
		if t, err = tokenRow(tx, row.Token); err != nil {
			return "", err
		}
		if t.Name == "" || t.Revoked {
			return "", fleet.WithHint(fleet.Errorf(fleet.Denied, "cannot approve %s: its token %s was revoked", name, row.Token), "deny it: fernwerk host deny %s", name)
		}
	}
	if as != "" {
		if err := fleet.ValidHostID(as); err != nil {
			return "", fleet.Errorf(fleet.Invalid, "cannot approve %s: %w", name, err)
		}
		if err := e.free(tx, as); err != nil {
			return "", err
		}
	}
	out, err := e.newHost(tx, a, t, as)
	if err != nil {
		return "", err
	}
	if err := tx.Remove(Waiting, Waiting.Encode(row)); err != nil {
		return "", err
	}
	return out.HostID, tx.Note(Waiting.Name, name, "approve", nil)
}

// Deny refuses a machine that waits, for as long as its request is kept.
func (e *Enrolment) Deny(tx *store.Tx, name string) error {
	row, err := waiting(tx, name)
	if err != nil {
		return err
	}
	if row.Name == "" {
		return noSuch("deny", name)
	}
	row.Denied = true
	if err := tx.Put(Waiting, Waiting.Encode(row)); err != nil {
		return err
	}
	return tx.Note(Waiting.Name, name, "deny", nil)
}

func noSuch(what, name string) error {
	return fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot %s %.50q: no machine waits by that number", what, name), "see: fernwerk host pending")
}
