package configcache_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// state is a product's state on the client.
func state(product string, more fleet.Row) fleet.Row {
	r := fleet.Row{"productId": product, "productType": fleet.LocalbootProduct, "clientId": client}
	for name, v := range more {
		r[name] = v
	}
	return r
}

func parameter(object, value string) fleet.Row {
	return fleet.Row{"configId": "a.b", "objectId": object, "values": []any{value}}
}

// onDepot puts a version of a product on a depot.
func (b *bench) onDepot(product, version, depot string) {
	b.t.Helper()
	b.server.put(admin, fleet.Products, fleet.Row{"id": product, "productVersion": version, "packageVersion": "1", "setupScript": "setup.sh"})
	b.server.put(admin, fleet.ProductProperties, fleet.Row{"productId": product, "productVersion": version, "packageVersion": "1", "propertyId": "language", "defaultValues": []any{"de"}})
	b.server.put(admin, fleet.ProductsOnDepots, fleet.Row{"productId": product, "productVersion": version, "packageVersion": "1", "depotId": depot})
}

var done = fleet.Row{"actionRequest": "none", "installationStatus": "installed", "actionResult": "successful", "lastAction": "setup", "productVersion": "1", "packageVersion": "1"}

func TestPush_FailureLeavesTheTracker(t *testing.T) {
	b := newBench(t)
	b.onDepot("firefox", "1", server)
	b.server.put(admin, fleet.ProductsOnClients, state("firefox", fleet.Row{"actionRequest": "setup"}))
	b.sync()
	b.client.patch(agent, fleet.ProductsOnClients, state("firefox", done))
	for _, lose := range []func(){func() { b.line.before = true }, func() { b.line.after = true }} {
		lose()
		if _, _, err := b.push(); !errors.Is(err, errLine) {
			t.Fatalf("push over a broken line: %v", err)
		}
		if got := b.client.unsent(); len(got) != 1 {
			t.Fatalf("the tracker holds %v", got)
		}
	}
	if sent, notes, err := b.push(); err != nil || sent != 1 {
		t.Errorf("%d sent, %v, %v", sent, notes, err)
	}
	if got := b.client.unsent(); len(got) != 0 {
		t.Errorf("the tracker still holds %v", got)
	}
	if got := b.server.row(fleet.ProductsOnClients, state("firefox", nil)); got["actionResult"] != "successful" || got["actionRequest"] != "none" {
		t.Errorf("the server has %v", got)
	}
	if sent, _, err := b.push(); sent != 0 || err != nil {
		t.Errorf("with nothing to send: %d, %v", sent, err)
	}
}

func TestPull_KeepsUnsentRows(t *testing.T) {
	b := newBench(t)
	b.server.put(admin, fleet.ConfigStates, parameter(client, "0"))
	b.sync()
	b.client.put(agent, fleet.ConfigStates, parameter(client, "mine"))
	b.server.put(admin, fleet.ConfigStates, parameter(client, "theirs"))
	if _, _, err := b.pull(); err != nil {
		t.Fatal(err)
	}
	if got := b.client.row(fleet.ConfigStates, parameter(client, "")); got["values"].([]any)[0] != "mine" {
		t.Errorf("the pull made it %v", got["values"])
	}
	if got := b.client.unsent(); len(got) != 1 {
		t.Errorf("the tracker holds %v", got)
	}
	if notes := strings.Join(b.sync(), "; "); !strings.Contains(notes, "changed on the server meanwhile") {
		t.Errorf("the conflict is not told: %q", notes)
	}
	if got := b.client.row(fleet.ConfigStates, parameter(client, "")); got["values"].([]any)[0] != "theirs" {
		t.Errorf("after the push it is %v", got["values"])
	}
}

// A row that a pull passed over, because it was changed here, must come with a
// later one even if the change was taken back and is never sent.
func TestPull_WhatItPassedOverComesLater(t *testing.T) {
	b := newBench(t)
	b.server.put(admin, fleet.ConfigStates, parameter(client, "0"))
	b.sync()
	b.client.put(agent, fleet.ConfigStates, parameter(client, "mine"))
	b.server.put(admin, fleet.ConfigStates, parameter(client, "theirs"))
	if _, _, err := b.pull(); err != nil {
		t.Fatal(err)
	}
	b.client.put(agent, fleet.ConfigStates, parameter(client, "0"))
	b.sync()
	if got := b.client.row(fleet.ConfigStates, parameter(client, "")); got["values"].([]any)[0] != "theirs" {
		t.Errorf("the client stays at %v", got["values"])
	}
}

func TestPush_ChangesMeanwhileStayTracked(t *testing.T) {
	b := newBench(t)
	b.server.put(admin, fleet.ConfigStates, parameter(client, "0"))
	b.sync()
	b.client.put(agent, fleet.ConfigStates, parameter(client, "1"))
	b.line.during = func() { b.client.put(agent, fleet.ConfigStates, parameter(client, "2")) }
	if _, _, err := b.push(); err != nil {
		t.Fatal(err)
	}
	if got := b.client.unsent(); len(got) != 1 {
		t.Errorf("the tracker holds %v", got)
	}
	if got := b.client.row(fleet.ConfigStates, parameter(client, "")); got["values"].([]any)[0] != "2" {
		t.Errorf("the answer made it %v", got["values"])
	}
	b.sync()
	if got := b.server.row(fleet.ConfigStates, parameter(client, "")); got["values"].([]any)[0] != "2" {
		t.Errorf("the server has %v", got["values"])
	}
}

// The server merged a push, its answer was lost, and the client went on: its
// second change must not lose against its own first.
func TestPush_AnswerLostThenChangedAgain(t *testing.T) {
	b := newBench(t)
	b.server.put(admin, fleet.ConfigStates, parameter(client, "0"))
	b.sync()
	b.client.put(agent, fleet.ConfigStates, parameter(client, "1"))
	b.line.after = true
	if _, _, err := b.push(); !errors.Is(err, errLine) {
		t.Fatal(err)
	}
	b.client.put(agent, fleet.ConfigStates, parameter(client, "2"))
	if sent, notes, err := b.push(); sent != 2 || err != nil {
		t.Errorf("%d sent, %v, %v", sent, notes, err)
	}
	if got := b.server.row(fleet.ConfigStates, parameter(client, "")); got["values"].([]any)[0] != "2" {
		t.Errorf("the server has %v", got["values"])
	}
}

// A result made under one version, and not sent before the server requested the
// action again for the next one, does not take that request away.
func TestPush_ResultOfAnOlderVersion(t *testing.T) {
	b := newBench(t)
	b.onDepot("firefox", "1", server)
	b.server.put(admin, fleet.ProductsOnClients, state("firefox", fleet.Row{"actionRequest": "setup"}))
	b.sync()
	b.client.patch(agent, fleet.ProductsOnClients, state("firefox", done))
	b.server.do(admin, removeOld("firefox"))
	b.onDepot("firefox", "2", server)
	b.server.patch(admin, fleet.ProductsOnClients, state("firefox", fleet.Row{"actionRequest": "setup"}))
	if _, _, err := b.pull(); err != nil { // between the change and its push
		t.Fatal(err)
	}
	b.sync()
	for name, d := range map[string]*database{"server": b.server, "client": b.client} {
		if got := d.row(fleet.ProductsOnClients, state("firefox", nil)); got["actionRequest"] != "setup" || got["actionResult"] != "successful" {
			t.Errorf("the %s has %v", name, got)
		}
	}
}

func TestPush_WideNumbersArriveWhole(t *testing.T) {
	b := newBench(t)
	b.sync()
	const wide = int64(1<<62 + 1)
	soft := fleet.Row{"name": "n", "version": "", "subVersion": "", "language": "", "architecture": "", "installSize": wide}
	b.client.put(agent, fleet.AuditSoftwares, soft)
	b.sync()
	if got := b.server.row(fleet.AuditSoftwares, soft); got["installSize"] != wide {
		t.Errorf("the server has %v", got)
	}
}

// A client that claims rows of others gets neither its way nor their content.
func TestPush_OthersRowsAreRefusedAndTakenBack(t *testing.T) {
	b := newBench(t)
	b.server.put(admin, fleet.ConfigStates, parameter(other, "secret value"))
	b.server.put(admin, fleet.Users, fleet.Row{"id": "anna", "otpSecret": "otp secret"})
	b.sync()
	b.client.put(agent, fleet.ConfigStates, parameter(other, "mine"))
	b.client.put(agent, fleet.ConfigStates, parameter(server, "mine"))
	b.client.put(agent, fleet.Users, fleet.Row{"id": "anna"})
	b.client.put(agent, fleet.Hosts, fleet.Row{"id": other})
	b.client.patch(agent, fleet.Hosts, fleet.Row{"id": server, "type": fleet.OpsiConfigserver, "notes": "mine"})
	var answer string
	b.line.came = func(_ string, _, v any) {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		answer += string(data)
	}
	if sent, notes, err := b.push(); sent != 5 || len(notes) != 5 || err != nil {
		t.Errorf("%d sent, %d notes %q, %v", sent, len(notes), notes, err)
	}
	b.sync()
	for _, secret := range []string{"secret value", "otp secret", otherKey, serverKey, "of others"} {
		if strings.Contains(answer, secret) {
			t.Errorf("the answer tells %q", secret)
		}
	}
	if got := b.server.row(fleet.ConfigStates, parameter(other, "")); got["values"].([]any)[0] != "secret value" {
		t.Errorf("the server has %v", got)
	}
	for what, got := range map[string]fleet.Row{
		"another's parameter": b.client.row(fleet.ConfigStates, parameter(other, "")),
		"a server's":          b.client.row(fleet.ConfigStates, parameter(server, "")),
		"another host":        b.client.row(fleet.Hosts, fleet.Row{"id": other}),
		"a user":              b.client.row(fleet.Users, fleet.Row{"id": "anna"}),
	} {
		if got != nil {
			t.Errorf("%s is still in the working copy: %v", what, got)
		}
	}
	if got := b.client.row(fleet.Hosts, fleet.Row{"id": server}); got["notes"] == "mine" {
		t.Errorf("the server's own row is still changed: %v", got)
	}
	if got := b.client.unsent(); len(got) != 0 {
		t.Errorf("the tracker holds %v", got)
	}
}

// Of what others do, a client hears nothing.
func TestPull_OthersChangesAreNotTold(t *testing.T) {
	b := newBench(t)
	b.sync()
	b.server.put(admin, fleet.ConfigStates, parameter(other, "1"))
	b.server.put(admin, fleet.ProductsOnClients, fleet.Row{"productId": "firefox", "clientId": other})
	b.server.remove(fleet.ConfigStates, parameter(other, ""))
	b.line.came = func(_ string, _, v any) {
		a := v.(map[string]any)
		if a["full"] != false || len(a["rows"].(map[string]any))+len(a["gone"].(map[string]any)) != 0 {
			t.Errorf("the answer is %v", v)
		}
	}
	b.sync()
}

// The server refused a change, it was made again while the answer was on its
// way, and then taken back to what was refused: the refusal still counts.
func TestPush_RefusedThenChangedToAndFro(t *testing.T) {
	b := newBench(t)
	b.server.put(admin, fleet.ConfigStates, parameter(server, "0"))
	b.sync()
	b.client.put(agent, fleet.ConfigStates, parameter(server, "1"))
	b.line.during = func() { b.client.put(agent, fleet.ConfigStates, parameter(server, "2")) }
	if _, _, err := b.push(); err != nil {
		t.Fatal(err)
	}
	b.client.put(agent, fleet.ConfigStates, parameter(server, "1"))
	b.sync()
	if got := b.client.row(fleet.ConfigStates, parameter(server, "")); got["values"].([]any)[0] != "0" {
		t.Errorf("the client has %v, the server never took it", got["values"])
	}
}

// The rows that pulls bring do not pile up in the tracker of a client on which
// nothing happens.
func TestPull_LeavesNothingInTheTracker(t *testing.T) {
	b := newBench(t)
	tracked := func() (n int) {
		b.client.do(agent, func(tx *store.Tx) error {
			changes, err := tx.Journal(0, "", 0)
			n = len(changes)
			return err
		})
		return n
	}
	for _, value := range []string{"0", "1", "2"} {
		b.server.put(admin, fleet.ConfigStates, parameter(client, value))
		if objects, _, err := b.pull(); objects == 0 || err != nil {
			t.Fatalf("%d objects, %v", objects, err)
		}
		if n := tracked(); n != 0 {
			t.Errorf("%d changes are tracked after the pull", n)
		}
	}
	b.client.put(agent, fleet.ConfigStates, parameter(client, "mine"))
	b.server.put(admin, fleet.Configs, fleet.Row{"id": "x.y", "type": "UnicodeConfig"})
	if _, _, err := b.pull(); err != nil || tracked() < 2 {
		t.Errorf("%d changes are tracked while one is not sent, error %v", tracked(), err)
	}
	b.sync()
	if n := tracked(); n != 0 {
		t.Errorf("%d changes are tracked after all", n)
	}
}

// The server goes back to a backup that knows what the client pulled last, but
// not what the client pushed since.
func TestPull_ServerRestoredFromBeforeThePush(t *testing.T) {
	b := newBench(t)
	b.server.put(admin, fleet.ConfigStates, parameter(client, "0"))
	b.sync()
	backup := b.server.backup()
	b.client.put(agent, fleet.ConfigStates, parameter(client, "1"))
	if _, _, err := b.push(); err != nil {
		t.Fatal(err)
	}
	b.server.restore(backup)
	if _, full, err := b.pull(); !full || err != nil {
		t.Errorf("the pull was full: %t, %v", full, err)
	}
	if got := b.client.row(fleet.ConfigStates, parameter(client, "")); got["values"].([]any)[0] != "0" {
		t.Errorf("the client has %v, the server knows nothing of it", got["values"])
	}
	b.client.put(agent, fleet.ConfigStates, parameter(client, "2"))
	b.sync()
	if _, full, err := b.pull(); full || err != nil {
		t.Errorf("every pull stays full: %t, %v", full, err)
	}
}
