package methods_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/internal/backend/catalog"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

var bound = methods.Actor{Role: methods.Operator, ID: "bound"}

// Asking for all there is, somebody bound to groups meets no name of a host
// outside them, whatever the method.
func TestBound_MeetsNoOtherHost(t *testing.T) {
	b := newBench(t)
	err := b.s.Update(t.Context(), store.Origin{Actor: "test"}, func(tx *store.Tx) error {
		return tx.Put(fleet.SoftwareLicenses, fleet.Row{"type": "OEMSoftwareLicense", "id": "oem", "licenseContractId": "c1", "boundToHost": others})
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range catalog.Table() {
		for _, actor := range []methods.Actor{bound, {Role: methods.Reader, ID: "boundreader"}} {
			if m.Writes || !m.Allows(actor.Role) {
				continue
			}
			for _, p := range []methods.Params{{}, arguments(t, m, own)} {
				v, err := b.b.Call(t.Context(), actor, m.Name, p)
				if text := asText(t, v); strings.Contains(text, others) {
					t.Errorf("%s tells %s of %s: %s", m.Name, actor.ID, others, text)
				}
				if err != nil && strings.Contains(err.Error(), others) {
					t.Errorf("%s tells %s of %s: %v", m.Name, actor.ID, others, err)
				}
			}
		}
	}
}

// The groups below his own are his to shape; nothing that he does there gives
// him a host, or a group, that he did not have.
func TestBound_CannotWidenItsScope(t *testing.T) {
	b := newBench(t)
	put := func(class *fleet.Class, rows ...fleet.Row) {
		t.Helper()
		err := b.s.Update(t.Context(), store.Origin{Actor: "test"}, func(tx *store.Tx) error {
			for _, r := range rows {
				if err := tx.Put(class, r); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	group := func(id, parent string) fleet.Row {
		return fleet.Row{"type": fleet.HostGroup, "id": id, "parentGroupId": parent}
	}
	in := func(group, host string) fleet.Row {
		return fleet.Row{"groupType": fleet.HostGroup, "groupId": group, "objectId": host}
	}
	const third = "pc3.example.org"
	put(fleet.Hosts, fleet.Row{"type": fleet.OpsiClient, "id": third, "opsiHostKey": methods.NewHostKey()})
	put(fleet.Groups, group("floor", branch), group("orphan", "lost"), group("ring", "ring2"), group("ring2", "ring"))
	put(fleet.Memberships, in("orphan", others), in("gone", others), in("floor", third))

	sees := func(host string) bool {
		t.Helper()
		v, err := b.b.Call(t.Context(), bound, "host_getIdents", methods.Params{Named: map[string]any{"id": host}})
		if err != nil {
			t.Fatal(err)
		}
		return len(v.([]any)) == 1
	}
	if !sees(own) || !sees(third) || sees(others) {
		t.Fatalf("own %t, in a group below %t, others %t", sees(own), sees(third), sees(others))
	}
	for name, c := range map[string]struct {
		method string
		args   []any
		code   fleet.Code
	}{
		"a group below":                         {"group_createObjects", []any{group("room", "floor")}, ""},
		"a host from one group to another":      {"objectToGroup_createObjects", []any{in("floor", own)}, ""},
		"out of one of his groups":              {"objectToGroup_deleteObjects", []any{in("floor", own)}, ""},
		"a foreign host":                        {"objectToGroup_createObjects", []any{in(branch, others)}, fleet.Denied},
		"his host into a foreign group":         {"objectToGroup_createObjects", []any{in("elsewhere", own)}, fleet.Denied},
		"a foreign group below his":             {"group_updateObjects", []any{group("elsewhere", branch)}, fleet.Denied},
		"his group below a foreign one":         {"group_updateObject", []any{group("floor", "elsewhere")}, fleet.Denied},
		"his root":                              {"group_updateObject", []any{fleet.Row{"type": fleet.HostGroup, "id": branch, "notes": "n"}}, fleet.Denied},
		"delete his root":                       {"group_delete", []any{branch, fleet.HostGroup}, fleet.Denied},
		"a group at the top":                    {"group_createObjects", []any{fleet.Row{"type": fleet.HostGroup, "id": "top"}}, fleet.Denied},
		"the missing parent of a foreign group": {"group_createObjects", []any{group("lost", branch)}, fleet.Denied},
		"the missing group of a foreign host":   {"group_createObjects", []any{group("gone", branch)}, fleet.Denied},
		"a product group":                       {"group_createProductGroup", []any{"mine"}, fleet.Denied},
		"a new host":                            {"host_createOpsiClient", []any{"pc9.example.org"}, fleet.Denied},
		"a depot":                               {"host_createOpsiDepotserver", []any{"d9.example.org"}, fleet.Denied},
		"a default for all":                     {"config_createBool", []any{"a.b", "", true}, fleet.Denied},
		"a value of his host":                   {"configState_create", []any{"a.b", own, true}, ""},
		"a value of a depot":                    {"configState_create", []any{"a.b", "depot1.example.org", true}, fleet.Denied},
		"all values":                            {"configState_delete", []any{"*", "*"}, fleet.Denied},
		"WAN mode of a foreign host":            {"changeWANConfig", []any{true, []any{own, others}}, fleet.Denied},
		"WAN mode":                              {"changeWANConfig", []any{true, own}, ""},
		"the log of a foreign host":             {"log_read", []any{"instlog", others}, fleet.Denied},
		"another account":                       {"account_setPassword", []any{"admin", "longenough", "secret"}, fleet.Denied},
		"another role":                          {"account_setRole", []any{"bound", "administrator"}, fleet.Denied},
	} {
		if _, err := b.b.Call(t.Context(), bound, c.method, methods.Pos(c.args...)); fleet.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want the code %q", name, err, c.code)
		}
	}
	if !sees(own) || sees(others) {
		t.Errorf("afterwards: own %t, others %t", sees(own), sees(others))
	}
	put(fleet.Groups, group("ring", branch)) // a circle ends
	if sees(others) {
		t.Error("a circle of groups")
	}
}

// Writing a row as it stands changes nothing, and is refused all the same:
// otherwise it would tell what stands there.
func TestBound_LearnsNothingByWriting(t *testing.T) {
	b := newBench(t)
	for _, r := range []fleet.Row{
		sample(fleet.LicensesOnClients, "", others), {"softwareLicenseId": "none", "licensePoolId": "pool1", "clientId": others},
	} {
		if _, err := b.b.Call(t.Context(), bound, "licenseOnClient_createObjects", methods.Pos(r)); fleet.CodeOf(err) != fleet.Denied {
			t.Errorf("%v: %v", r, err)
		}
	}
}

// Nor by deleting: what is asked for of others is refused alike whether it is
// there or not, and no pattern tells a name.
func TestBound_LearnsNothingByDeleting(t *testing.T) {
	b := newBench(t)
	for _, args := range [][]any{{"*", others}, {"not.there", others}, {"*", "*"}, {"*", []any{own, others}}, {"*"}} {
		_, err := b.b.Call(t.Context(), bound, "configState_delete", methods.Pos(args...))
		if fleet.CodeOf(err) != fleet.Denied || strings.Contains(err.Error(), others) && !strings.Contains(fmt.Sprint(args...), others) {
			t.Errorf("%v: %v", args, err)
		}
	}
	if _, err := b.b.Call(t.Context(), bound, "host_delete", methods.Pos("*")); fleet.CodeOf(err) != fleet.Denied || strings.Contains(err.Error(), others) {
		t.Errorf("all hosts: %v", err)
	}
	if _, err := b.b.Call(t.Context(), bound, "configState_delete", methods.Pos("*", strings.ToUpper(own))); err != nil {
		t.Errorf("all values of his host: %v", err)
	}
}

// Whoever is bound to a group that is gone is bound to nothing, not to all; and
// who is gone himself gets nothing.
func TestBound_ToNothing(t *testing.T) {
	b := newBench(t)
	if _, err := b.b.Call(t.Context(), methods.Actor{Role: methods.Administrator, ID: "admin"}, "group_delete", methods.Pos(branch, fleet.HostGroup)); err != nil {
		t.Fatal(err)
	}
	v, err := b.b.Call(t.Context(), bound, "host_getObjects", methods.Params{Named: map[string]any{"type": fleet.OpsiClient}})
	if text := asText(t, v); err != nil || text != "null" && text != "[]" {
		t.Errorf("%s, %v", text, err)
	}
	_, err = b.b.Call(t.Context(), methods.Actor{Role: methods.Operator, ID: "nobody"}, "host_getObjects", methods.Params{})
	if fleet.CodeOf(err) != fleet.Denied {
		t.Errorf("an account that is gone: %v", err)
	}
}
