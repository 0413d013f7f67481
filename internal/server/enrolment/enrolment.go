// Package enrolment lets machines join: with a token, with the one-time password
// of a host that exists, or, where the administrator wants it, with nothing.
//
// All that makes a machine a host happens in one transaction: the token's use is
// counted, a name is given that nobody had before, the rows of the host are
// written and its key is certified, and the journal says so. Transactions have one
// order, also among several servers on one database: of two machines that send
// the last use of a token in the same millisecond one joins.
//
// A machine that asks twice is known by its key: the answer that was lost on the
// way is given again, to who proves itself by the same thing, and nothing is
// counted twice.
//
// # Approval
//
// A token may ask for an administrator's word, and so may the server for all:
// the machine's request waits then, and is sent again until there is an answer.
//
// # First boot without a token
//
// `first_boot = "approve"` lets machines ask that know nothing but an address:
// whoever answers there is believed by them from then on, and who asks here is
// not known either. `first_boot = "open"` makes everybody a host who can reach the
// server. Both are off unless somebody writes them.
package enrolment

import (
	"context"
	"crypto"
	"crypto/subtle"
	"log/slog"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/server/enrolment/identity"
)

// What first_boot may say.
const (
	Off     = "off"
	Approve = "approve"
	Open    = "open"
)

// Config is what Enrolment is made from.
type Config struct {
	Store      *store.Store // opened with [Classes]
	Identities *identity.Identities
	Roots      func() []byte   // PEM, for who joins
	Addresses  func() []string // HOST:PORT of the server, for tokens
	// Fingerprint is the SHA-256 of the authority that tokens pin.
	Fingerprint func() string
	// Root is the root of trust in content that a host shall begin with, nil if
	// there is none.
	Root func(*store.Tx) (*enrol.Root, error)
	// Charge counts a try to guess a one-time password before its outcome is known,
	// and is an error while its host has to wait; Forgive takes it back.
	Charge  func(hostID string) error
	Forgive func(hostID string)
	// Fresh forgets what was known of the contacts of a host that joins again.
	Fresh func(tx *store.Tx, hostID string) error

	Names     enrol.NameRule
	Domain    string // of new hosts
	Approve   bool   // everybody who joins by a token waits for an administrator
	FirstBoot string // Off, Approve or Open
	Log       *slog.Logger
}

func (c *Config) root(tx *store.Tx) (*enrol.Root, error) {
	if c.Root == nil {
		return nil, nil
	}
	return c.Root(tx)
}

// Enrolment lets machines join.
type Enrolment struct{ cfg Config }

// New makes an Enrolment.
func New(cfg Config) *Enrolment { return &Enrolment{cfg} }

// Classes are for [store.Open].
func Classes() []*fleet.Class {
	return append(identity.Classes(), Tokens, Waiting, allSeries)
}

// depotParameter says which depot serves a client.
const depotParameter = "clientconfig.depot.id"

// asking is a request that was read and checked as far as it can be without rows.
type asking struct {
	enrol.JoinRequest
	key     crypto.PublicKey
	keyID   string
	token   *enrol.Token
	proof   string // digest of what it proves itself with
	address string
	at      time.Time
	// typed: the node type is not the machine's own word.
	typed bool
}

func (e *Enrolment) read(req enrol.JoinRequest, address string) (a asking, err error) {
	a = asking{JoinRequest: req, address: address}
	if a.key, a.keyID, err = enrol.ParseRequest([]byte(req.CSR)); err != nil {
		return a, err
	}
	a.Machine = req.Machine.Clean()
	if req.NodeType != "" {
		if err := enrol.ValidNodeType(req.NodeType); err != nil {
			return a, err
		}
	}
	switch {
	case req.Token != "" && (req.HostID != "" || req.OneTimePassword != ""):
		return a, fleet.Errorf(fleet.Invalid, "cannot join by a token and a one-time password at once")
	case req.Token != "":
		t, err := enrol.ParseToken(req.Token)
		if err != nil {
			return a, err
		}
		a.token, a.proof = &t, hash("token "+t.ID+" "+t.Secret)
	case req.OneTimePassword != "":
		if err := fleet.ValidHostID(req.HostID); err != nil {
			return a, fleet.Errorf(fleet.Invalid, "cannot join: %w", err)
		}
		a.proof = hash("once " + req.HostID + " " + req.OneTimePassword)
	case req.HostID != "":
		return a, fleet.Errorf(fleet.Unauthenticated, "cannot join as %s without its one-time password", req.HostID)
	default:
		a.proof = hash("first boot")
	}
	return a, nil
}

// Join makes a machine a host, or has it wait; see [enrol.JoinAnswer]. origin is
// completed with who it is.
func (e *Enrolment) Join(ctx context.Context, req enrol.JoinRequest, origin store.Origin) (out enrol.JoinAnswer, err error) {
	a, err := e.read(req, origin.Address)
	if err != nil {
		return out, err
	}
	// Who asks again mostly finds what there is, and who has nothing to show is
	// refused: neither writes anything.
	known := false
	err = e.cfg.Store.View(ctx, func(tx *store.Tx) error {
		if out, known, err = e.again(tx, a); err != nil || known {
			return err
		}
		return e.refuses(tx, a)
	})
	if err == nil && out.Pending != "" {
		err = e.stillWaits(ctx, out.Pending)
	}
	if err != nil || known {
		return out, err
	}
	guess := a.OneTimePassword != "" && e.cfg.Charge != nil
	if guess {
		if err := e.cfg.Charge(a.HostID); err != nil {
			return out, err
		}
		if err := e.cfg.Store.View(ctx, func(tx *store.Tx) error { _, err := a.host(tx, true); return err }); err != nil {
			return out, err
		}
	}
	origin.Actor = a.actor()
	err = e.cfg.Store.Update(ctx, origin, func(tx *store.Tx) error {
		if out, known, err = e.again(tx, a); err != nil || known { // both came at once
			return err
		}
		out, err = e.admit(tx, a)
		return err
	})
	if err == nil && guess {
		e.cfg.Forgive(a.HostID)
	}
	if err == nil && !known {
		e.cfg.Log.Info("Machine joins", "host", out.HostID, "pending", out.Pending, "by", origin.Actor, "address", a.address)
	}
	return out, err
}

// actor is whom the journal names.
func (a asking) actor() string {
	switch {
	case a.token != nil:
		return "token " + a.token.ID
	case a.HostID != "":
		return "host " + a.HostID
	}
	return "first boot"
}

// again finds what a machine with this key was told before.
func (e *Enrolment) again(tx *store.Tx, a asking) (out enrol.JoinAnswer, known bool, err error) {
	owner, err := identity.Owner(tx, a.keyID)
	if err != nil {
		return out, false, err
	}
	if owner != "" {
		row, err := identity.Get(tx, owner)
		if err != nil {
			return out, true, err
		}
		if row.Revoked != "" || row.KeyID != a.keyID || subtle.ConstantTimeCompare([]byte(row.Proof), []byte(a.proof)) != 1 {
			return out, true, fleet.WithHint(fleet.Errorf(fleet.Denied, "cannot join: this key was used before"), "join with a new key: fernwerk-agent join makes one")
		}
		out, err = e.answer(tx, row)
		return out, true, err
	}
	return e.waits(tx, a)
}

// refuses is why a machine that was not here before is sent away without a write.
// A one-time password is judged later: each try is counted first, where there is
// something to guess.
func (e *Enrolment) refuses(tx *store.Tx, a asking) error {
	switch {
	case a.token != nil:
		_, err := look(tx, *a.token)
		return err
	case a.HostID != "":
		_, err := a.host(tx, false)
		return err
	case e.cfg.FirstBoot == Open:
		return nil
	case e.cfg.FirstBoot == Approve:
		_, err := room(tx, a)
		return err
	}
	return fleet.WithHint(fleet.Errorf(fleet.Unauthenticated, "cannot join without a token or a one-time password"),
		"make a token: fernwerk token create; that machines ask without one, the administrator allows with [enrolment] first_boot")
}

// admit decides about a machine that was not here before.
func (e *Enrolment) admit(tx *store.Tx, a asking) (enrol.JoinAnswer, error) {
	switch {
	case a.token != nil:
		t, err := take(tx, *a.token)
		if err != nil {
			return enrol.JoinAnswer{}, err
		}
		if t.NodeType != "" && a.NodeType != "" && a.NodeType != t.NodeType {
			return enrol.JoinAnswer{}, fleet.Errorf(fleet.Denied, "cannot join as %s: the token is for %s", a.NodeType, t.NodeType)
		}
		if t.NodeType != "" {
			a.NodeType, a.typed = t.NodeType, true
		}
		if t.Approve || e.cfg.Approve {
			return e.wait(tx, a)
		}
		return e.newHost(tx, a, t, "")
	case a.HostID != "":
		return e.byPassword(tx, a)
	}
	switch e.cfg.FirstBoot {
	case Open:
		return e.newHost(tx, a, TokenRow{Policy: string(enrol.PlainOpsi)}, "")
	case Approve:
		return e.wait(tx, a)
	}
	return enrol.JoinAnswer{}, e.refuses(tx, a)
}

// newHost makes a host of a machine. as is its id, "" for the next by the rule.
func (e *Enrolment) newHost(tx *store.Tx, a asking, t TokenRow, as string) (out enrol.JoinAnswer, err error) {
	id := as
	if id == "" {
		if id, err = e.nextName(tx, a.NodeType, a.Machine.Hostname); err != nil {
			return out, err
		}
	}
	row := fleet.Row{"type": fleet.OpsiClient, "id": id, "opsiHostKey": methods.NewHostKey(), "created": tx.Stamp(),
		"description": "", "notes": "", "inventoryNumber": ""}
	if a.Machine.HardwareAddress != "" {
		row["hardwareAddress"] = a.Machine.HardwareAddress
	}
	if a.Machine.SystemUUID != "" {
		row["systemUUID"] = a.Machine.SystemUUID
	}
	if err := tx.Put(fleet.Hosts, row); err != nil {
		return out, err
	}
	for _, g := range t.Groups {
		group, err := tx.Select(fleet.Groups, fleet.Filter{"type": fleet.HostGroup, "id": g})
		if err != nil {
			return out, err
		}
		if len(group) == 0 {
			continue // somebody has deleted it since
		}
		if err := tx.Put(fleet.Memberships, fleet.Row{"groupType": fleet.HostGroup, "groupId": g, "objectId": id}); err != nil {
			return out, err
		}
	}
	if t.Depot != "" {
		if err := tx.Put(fleet.ConfigStates, fleet.Row{"configId": depotParameter, "objectId": id, "values": []any{t.Depot}}); err != nil {
			return out, err
		}
	}
	return e.begin(tx, a, t, id)
}

// begin certifies the key of a host that is there.
func (e *Enrolment) begin(tx *store.Tx, a asking, t TokenRow, id string) (out enrol.JoinAnswer, err error) {
	if e.cfg.Fresh != nil {
		if err := e.cfg.Fresh(tx, id); err != nil {
			return out, err
		}
	}
	row, err := e.cfg.Identities.Begin(tx, a.key, identity.Row{HostID: id, KeyID: a.keyID, NodeType: a.NodeType, TypeSaid: a.NodeType != "" && !a.typed, Policy: t.Policy, Token: t.Name, Proof: a.proof,
		UUID: a.Machine.SystemUUID, Hostname: a.Machine.Hostname})
	if err != nil {
		return out, err
	}
	if err := tx.Note(fleet.Hosts.Name, id, "join", fleet.Row{"notes": a.actor()}); err != nil {
		return out, err
	}
	return e.answer(tx, row)
}

// answer is what a host is told that has joined.
func (e *Enrolment) answer(tx *store.Tx, row identity.Row) (out enrol.JoinAnswer, err error) {
	host, err := tx.Get(fleet.Hosts, fleet.Row{"id": row.HostID})
	if err != nil {
		return out, err
	}
	root, err := e.cfg.root(tx)
	if err != nil {
		return out, err
	}
	return enrol.JoinAnswer{HostID: row.HostID, HostKey: host.Str("opsiHostKey"), Chain: row.Chain, Roots: string(e.cfg.Roots()), Policy: enrol.Policy(row.Policy), Root: root}, nil
}

// byPassword is opsi's way: the host is there, and has a one-time password.
func (e *Enrolment) byPassword(tx *store.Tx, a asking) (enrol.JoinAnswer, error) {
	host, err := a.host(tx, true)
	if err != nil {
		return enrol.JoinAnswer{}, err
	}
	change := fleet.Row{"type": fleet.OpsiClient, "id": a.HostID, "oneTimePassword": nil}
	if host.Str("opsiHostKey") == "" { // it was revoked
		change["opsiHostKey"] = methods.NewHostKey()
	}
	if err := tx.Patch(fleet.Hosts, change); err != nil {
		return enrol.JoinAnswer{}, err
	}
	return e.begin(tx, a, TokenRow{Policy: string(enrol.PlainOpsi)}, a.HostID)
}

// host is the host that a machine says it is, if it has a one-time password, which
// is compared as well or not yet.
func (a asking) host(tx *store.Tx, compare bool) (fleet.Row, error) {
	host, err := tx.ByKey(fleet.Hosts, a.HostID)
	if err != nil {
		return nil, err
	}
	stored := host.Str("oneTimePassword")
	if host == nil || host.Str("type") != fleet.OpsiClient || stored == "" || compare && subtle.ConstantTimeCompare([]byte(stored), []byte(a.OneTimePassword)) != 1 {
		return nil, fleet.WithHint(fleet.Errorf(fleet.Unauthenticated, "cannot join as %s: wrong name or password", a.HostID), "a one-time password works once: make a new one with fernwerk host create or host_updateObject")
	}
	return host, nil
}
