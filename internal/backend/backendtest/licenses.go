package backendtest

import (
	"fmt"
	"sync"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

const getLicense = "licenseOnClient_getOrCreateObject"

var licenseCases = map[string]func(*bench){
	getLicense: func(b *bench) {
		b.clients(4)
		b.pool("office", 2, "writer")
		seat := b.call(getLicense, client(1), nil, "Writer").(map[string]any)
		b.same("seat", []any{"LicenseOnClient", "l1", "office", client(1), "KEY-1"},
			[]any{seat["type"], seat["softwareLicenseId"], seat["licensePoolId"], seat["clientId"], seat["licenseKey"]})
		b.same("there now", []any{seat}, b.find(fleet.LicensesOnClients, nil))
		b.same("again", seat, b.call(getLicense, client(1), "office"))
		b.call(getLicense, client(2), "office")
		b.refused(fleet.NotFound, getLicense, client(3), "office")
		b.call("licenseOnClient_delete", "l1", "office", client(1))
		b.call("softwareLicense_createOEM", "l2", "c1", 1, client(1))
		b.call("softwareLicenseToLicensePool_create", "l2", "office")
		seat = b.call(getLicense, client(1), "office").(map[string]any)
		b.same("bound to the host, with a key of the pool", []any{"l2", "KEY-1"}, []any{seat["softwareLicenseId"], seat["licenseKey"]})
		b.call("licenseOnClient_delete", "l2", "office", client(1))
		b.call(getLicense, client(3), "office")
		b.refused(fleet.NotFound, getLicense, client(4), "office")

		b.refused(fleet.Invalid, getLicense, client(1))
		b.refused(fleet.Invalid, getLicense, []any{client(1), client(2)}, "office")
		b.refused(fleet.NotFound, getLicense, "pc9.example.org", "office")
		b.refused(fleet.NotFound, getLicense, client(1), "nosuchpool")
		b.refused(fleet.NotFound, getLicense, client(1), nil, "unlicensed")
	},
}

var licenseRules = map[string]func(*bench){
	"licences/0 is unlimited, and one that ran out serves nobody": func(b *bench) {
		b.clients(4)
		b.call("licenseContract_create", "c1")
		b.call("licensePool_create", "site")
		b.call("softwareLicense_createConcurrent", "old", "c1", 0, nil, "2001-01-01 00:00:00")
		b.call("softwareLicenseToLicensePool_create", "old", "site", "OLD")
		b.refused(fleet.NotFound, getLicense, client(1), "site")
		b.call("softwareLicense_createConcurrent", "site", "c1", 0)
		b.call("softwareLicenseToLicensePool_create", "site", "site", "SITE")
		for n := 1; n <= 4; n++ {
			b.same("licence", "site", b.call(getLicense, client(n), "site").(map[string]any)["softwareLicenseId"])
		}
	},
	"licences/several pools are an error that names them": func(b *bench) {
		b.clients(1)
		b.pool("office", 2, "writer")
		b.call("licensePool_create", "anoffice", "", []any{"writer"})
		_, err := b.try(getLicense, methods.Pos(client(1), nil, "writer"))
		b.same("text", "cannot choose a licence pool for product writer: it is in anoffice, office", fmt.Sprint(err))
		b.same("code", string(fleet.Conflict), string(fleet.CodeOf(err)))
	},
	"licences/a pool is found by the software that it counts": func(b *bench) {
		b.clients(1)
		b.pool("office", 2)
		sw := fleet.Row{"name": "Office", "version": "16", "subVersion": "", "language": "de", "architecture": "x64"}
		counted := sw.Clone()
		counted["licensePoolId"], sw["windowsSoftwareId"] = "office", "{office*16}"
		b.call("auditSoftware_insertObject", sw)
		b.refused(fleet.NotFound, getLicense, client(1), nil, nil, "{office*16}")
		b.call("auditSoftwareToLicensePool_insertObject", counted)
		b.refused(fleet.NotFound, getLicense, client(1), nil, nil, "*")
		b.same("pool", "office", b.call(getLicense, client(1), nil, nil, "{office*16}").(map[string]any)["licensePoolId"])
	},
	"licences/the last seats go to as many as there are": func(b *bench) {
		const asking, seats = 12, 3
		b.clients(asking)
		b.pool("office", seats)
		errs := make([]error, asking)
		var all sync.WaitGroup
		for n := range asking {
			all.Go(func() { _, errs[n] = b.try(getLicense, methods.Pos(client(n+1), "office")) })
		}
		all.Wait()
		got := 0
		for _, err := range errs {
			if err == nil {
				got++
			} else if fleet.CodeOf(err) != fleet.NotFound {
				b.Error(err)
			}
		}
		b.same("winners", int64(seats), int64(got))
		b.same("seats taken", int64(seats), int64(len(b.find(fleet.LicensesOnClients, nil))))
	},
	"licences/a pull reserves what the client will install": func(b *bench) {
		b.licensed()
		b.same("licences are not managed", int64(0), b.reserved(client(1)))
		b.call("configState_create", "license-management.use", client(1), true)
		b.call("configState_create", "license-management.use", client(2), true)
		b.same("reserved", int64(1), b.reserved(client(1)))
		b.same("still one", int64(1), b.reserved(client(1)))
		b.same("who has none goes without", int64(0), b.reserved(client(2)))
		b.same("and is told", "without a licence: cannot give pc2.example.org a licence of pool office: none of 1 is free", b.progress(client(2)))
		b.call("setProductActionRequestWithDependencies", "writer", client(1), "none")
		b.same("no longer wanted", int64(0), b.reserved(client(1)))
		b.same("for the other", int64(1), b.reserved(client(2)))
		b.same("told", "", b.progress(client(2)))
	},
	"licences/what is used is kept, what is not goes back": func(b *bench) {
		b.licensed()
		b.call("configState_create", "license-management.use", "server.example.org", true)
		b.same("reserved", int64(1), b.reserved(client(1)))
		b.push(client(1), fleet.Row{"actionRequest": "none", "installationStatus": "installed", "actionResult": "successful"})
		b.same("installed: kept", int64(1), b.seats(client(1)))
		b.same("installed: kept by a pull", int64(1), b.reserved(client(1)))
		b.push(client(1), fleet.Row{"actionRequest": "none", "installationStatus": "not_installed", "actionResult": "successful", "lastAction": "uninstall"})
		b.same("removed: given back", int64(0), b.seats(client(1)))
		b.same("the next", int64(1), b.reserved(client(2)))
		b.push(client(2), fleet.Row{"actionRequest": "none", "installationStatus": "not_installed", "actionResult": "failed"})
		b.same("not used: given back", int64(0), b.seats(client(2)))
		b.call(getLicense, client(2), "office")
		b.push(client(2), fleet.Row{"actionRequest": "none", "installationStatus": "not_installed", "actionResult": "none"})
		b.same("asked for by name: its owner gives it back", int64(1), b.seats(client(2)))
	},
	"licences/a pull brings the pools, so that the client finds its seat": func(b *bench) {
		b.licensed()
		b.call("configState_create", "license-management.use", client(1), true)
		answer := b.call("replica_pull", client(1), map[string]any{}).(map[string]any)
		rows := answer["rows"].(map[string]any)
		b.same("pool", []any{"writer"}, rows["licensePool"].([]any)[0].(map[string]any)["productIds"])
		b.same("key", "KEY-1", rows["licenseOnClient"].([]any)[0].(map[string]any)["licenseKey"])
	},
}

func client(n int) string { return fmt.Sprintf("pc%d.example.org", n) }

// clients makes a config server and n clients.
func (b *bench) clients(n int) {
	b.Helper()
	b.servers()
	for n := range n {
		b.call("host_createOpsiClient", client(n+1))
	}
}

// pool makes a pool with one volume licence for its products.
func (b *bench) pool(id string, seats int, products ...string) {
	b.Helper()
	b.call("licenseContract_create", "c1")
	b.call("licensePool_create", id, "", products)
	b.call("softwareLicense_createVolume", "l1", "c1", seats)
	b.call("softwareLicenseToLicensePool_create", "l1", id, "KEY-1")
}

// licensed has two clients that shall install a product which needs a licence,
// of which there is one.
func (b *bench) licensed() {
	b.Helper()
	b.clients(2)
	b.call("config_createBool", "license-management.use", "", false)
	b.pool("office", 1, "writer")
	b.call("product_createLocalboot", "writer", "1", "1", "Writer", true, "setup.sh")
	b.call("productOnDepot_create", "writer", "LocalbootProduct", "1", "1", "server.example.org")
	for n := range 2 {
		b.call("productOnClient_create", "writer", "LocalbootProduct", client(n+1), "not_installed", "setup")
	}
}

// reserved pulls, and counts the client's seats.
func (b *bench) reserved(id string) int64 {
	b.Helper()
	b.call("replica_pull", id, map[string]any{})
	return b.seats(id)
}

func (b *bench) seats(id string) int64 {
	b.Helper()
	return int64(len(b.find(fleet.LicensesOnClients, map[string]any{"clientId": id})))
}

func (b *bench) writer(id string) map[string]any {
	b.Helper()
	return b.find(fleet.ProductsOnClients, map[string]any{"clientId": id, "productId": "writer"})[0].(map[string]any)
}

func (b *bench) progress(id string) any { return b.writer(id)["actionProgress"] }

// push sends what became of the product on the client.
func (b *bench) push(id string, result fleet.Row) {
	b.Helper()
	base := b.writer(id)
	mine := fleet.Row(base).Clone()
	for name, v := range result {
		mine[name] = v
	}
	b.call("replica_push", id, map[string]any{"id": "", "versions": map[string]any{"writer": "1-1"},
		"changes": []any{map[string]any{"class": "productOnClient", "base": base, "mine": mine}}})
}
