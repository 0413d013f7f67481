package hosts

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/methods/params"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// A transfer slot is the permission to fill a product cache from a depot, so
// that not all clients do at once. A client renews it while it transfers; a slot
// that is not renewed is free again.

// productSync is the one kind of transfer that opsi's clients know.
const productSync = "opsiclientd_product_sync"

// slotParameter says how many slots a depot has.
const slotParameter = "opsiconfd.transfer.slots_" + productSync

// Figures of opsi: its clients renew 10 seconds before a slot ends.
const (
	slotTime     = 60 * time.Second
	retrySoonest = 60 // seconds
	retryLatest  = 120
	usualSlots   = 100
	mostSlots    = 1000
)

// transferSlot is held by a host at a depot. It has no more than one of a kind
// there, however often it asks.
type transferSlot struct {
	DepotID string `col:"depotId,ident,owner=host.id"`
	Kind    string `col:"slotType,ident"`
	HostID  string `col:"hostId,ident,owner=host.id"`
	SlotID  string `col:"slotId"`
	Until   string `col:"until,time"`
}

var transferSlots = fleet.LocalClass[transferSlot]("transferSlot")

func slotMethods() []*methods.Method {
	return []*methods.Method{
		{
			Name: "depot_acquireTransferSlot", Roles: []methods.Role{methods.Depot, methods.Host}, Do: acquireSlot, Writes: true,
			Doc:    "Takes or renews the host's slot at a depot for retention seconds; if all are taken: after how many seconds to ask again.",
			Params: []methods.Param{{Name: "depot"}, {Name: "host"}, {Name: "slot_id", Optional: true}, {Name: "slot_type", Optional: true}},
		},
		{
			Name: "depot_releaseTransferSlot", Roles: []methods.Role{methods.Depot, methods.Host}, Do: releaseSlot, Writes: true,
			Doc:    "Gives the slot back.",
			Params: []methods.Param{{Name: "depot"}, {Name: "host"}, {Name: "slot_id"}, {Name: "slot_type", Optional: true}},
		},
	}
}

// slotOf is the identity of the slot that a call is about.
func slotOf(c *methods.Call) (fleet.Row, error) {
	kind, err := c.Text("slot_type")
	if err != nil {
		return nil, err
	}
	if kind != "" && kind != productSync {
		return nil, fleet.Errorf(fleet.Invalid, "cannot call %s: no slots of type %q: there is %s", c.Method.Name, kind, productSync)
	}
	r := fleet.Row{"slotType": productSync}
	for param, column := range map[string]string{"depot": "depotId", "host": "hostId"} {
		id, err := c.Text(param)
		if err != nil {
			return nil, err
		}
		if r[column], err = methods.HostID(id); err != nil {
			return nil, fleet.Errorf(fleet.Invalid, "cannot call %s: %w", c.Method.Name, err)
		}
	}
	if c.Actor.Role == methods.Host && r["hostId"] != c.Actor.ID {
		return nil, fleet.Errorf(fleet.Denied, "cannot call %s for %s: host %s has its own slots only", c.Method.Name, r["hostId"], c.Actor.ID)
	}
	return r, nil
}

func acquireSlot(c *methods.Call) (any, error) {
	slot, err := slotOf(c)
	if err != nil {
		return nil, err
	}
	answer := map[string]any{"slot_id": nil, "retention": nil, "retry_after": nil}
	err = c.Update(func(tx *store.Tx) error {
		depot, err := tx.Get(fleet.Hosts, fleet.Row{"id": slot["depotId"]})
		if err == nil && depot["type"] == fleet.OpsiClient {
			err = fleet.Errorf(fleet.Invalid, "cannot call %s: %s is no depot", c.Method.Name, depot["id"])
		}
		if err != nil {
			return err
		}
		if _, err := tx.Get(fleet.Hosts, fleet.Row{"id": slot["hostId"]}); err != nil {
			return err
		}
		others, mine, err := slotsAt(tx, slot)
		if err != nil {
			return err
		}
		most, err := slotsOf(tx, depot.Str("id"))
		if err != nil {
			return err
		}
		if mine == nil && others >= most {
			answer["retry_after"] = int64(retrySoonest + rand.IntN(retryLatest-retrySoonest+1)) // spreads those who wait
			return nil
		}
		if slot["slotId"] = mine.Str("slotId"); mine == nil {
			slot["slotId"] = methods.NewHostKey()
		}
		slot["until"] = tx.Now().Add(slotTime).Format(time.DateTime)
		answer["slot_id"], answer["retention"] = slot["slotId"], int64(slotTime/time.Second)
		return tx.Put(transferSlots, slot)
	})
	return answer, err
}

// slotsAt counts the slots that others hold, gives back those that were not
// renewed, and finds the one of the host, nil if it has none.
func slotsAt(tx *store.Tx, slot fleet.Row) (others int, mine fleet.Row, err error) {
	held, err := tx.Select(transferSlots, fleet.Filter{"depotId": slot["depotId"], "slotType": slot["slotType"]})
	if err != nil {
		return 0, nil, err
	}
	for _, s := range held {
		switch {
		case s.Str("until") < tx.Stamp():
			if err := tx.Remove(transferSlots, s); err != nil {
				return 0, nil, err
			}
		case s["hostId"] == slot["hostId"]:
			mine = s
		default:
			others++
		}
	}
	return others, mine, nil
}

// slotsOf is how many slots a depot has.
func slotsOf(tx *store.Tx, depot string) (int, error) {
	values, err := params.Of(tx, depot, slotParameter)
	if err != nil {
		return 0, err
	}
	if v := values[slotParameter]; len(v) > 0 {
		if n, err := strconv.Atoi(fmt.Sprint(v[0])); err == nil {
			return min(max(n, 0), mostSlots), nil
		}
	}
	return usualSlots, nil
}

func releaseSlot(c *methods.Call) (any, error) {
	slot, err := slotOf(c)
	if err != nil {
		return nil, err
	}
	id, err := c.Text("slot_id")
	if err != nil {
		return nil, err
	}
	return nil, c.Update(func(tx *store.Tx) error {
		held, err := tx.ByKey(transferSlots, transferSlots.Key(slot))
		if err != nil || held.Str("slotId") != id {
			return err // lapsed, or another by now
		}
		return tx.Remove(transferSlots, slot)
	})
}
