package licence

import (
	"fmt"
	"sync"

	"github.com/fernwerk/fernwerk/internal/backend/backendtest/bench"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

const getLicense = "licenseOnClient_getOrCreateObject"

var licenseCases = bench.Cases{
	getLicense: func(b *bench.Bench) {
		b.Clients(4)
		b.Pool("office", 2, "writer")
		seat := b.Call(getLicense, bench.Client(1), nil, "Writer").(map[string]any)
		b.Same("seat", []any{"LicenseOnClient", "l1", "office", bench.Client(1), "KEY-1"},
			[]any{seat["type"], seat["softwareLicenseId"], seat["licensePoolId"], seat["clientId"], seat["licenseKey"]})
		b.Same("there now", []any{seat}, b.Find(fleet.LicensesOnClients, nil))
		b.Same("again", seat, b.Call(getLicense, bench.Client(1), "office"))
		b.Call(getLicense, bench.Client(2), "office")
		b.Refused(fleet.NotFound, getLicense, bench.Client(3), "office")
		b.Call("licenseOnClient_delete", "l1", "office", bench.Client(1))
		b.Call("softwareLicense_createOEM", "l2", "c1", 1, bench.Client(1))
		b.Call("softwareLicenseToLicensePool_create", "l2", "office")
		seat = b.Call(getLicense, bench.Client(1), "office").(map[string]any)
		b.Same("bound to the host, with a key of the pool", []any{"l2", "KEY-1"}, []any{seat["softwareLicenseId"], seat["licenseKey"]})
		b.Call("licenseOnClient_delete", "l2", "office", bench.Client(1))
		b.Call(getLicense, bench.Client(3), "office")
		b.Refused(fleet.NotFound, getLicense, bench.Client(4), "office")

		b.Refused(fleet.Invalid, getLicense, bench.Client(1))
		b.Refused(fleet.Invalid, getLicense, []any{bench.Client(1), bench.Client(2)}, "office")
		b.Refused(fleet.NotFound, getLicense, "pc9.example.org", "office")
		b.Refused(fleet.NotFound, getLicense, bench.Client(1), "nosuchpool")
		b.Refused(fleet.NotFound, getLicense, bench.Client(1), nil, "unlicensed")
	},
}

var licenseRules = bench.Cases{
	"licences/0 is unlimited, and one that ran out serves nobody": func(b *bench.Bench) {
		b.Clients(4)
		b.Call("licenseContract_create", "c1")
		b.Call("licensePool_create", "site")
		b.Call("softwareLicense_createConcurrent", "old", "c1", 0, nil, "2001-01-01 00:00:00")
		b.Call("softwareLicenseToLicensePool_create", "old", "site", "OLD")
		b.Refused(fleet.NotFound, getLicense, bench.Client(1), "site")
		b.Call("softwareLicense_createConcurrent", "site", "c1", 0)
		b.Call("softwareLicenseToLicensePool_create", "site", "site", "SITE")
		for n := 1; n <= 4; n++ {
			b.Same("licence", "site", b.Call(getLicense, bench.Client(n), "site").(map[string]any)["softwareLicenseId"])
		}
	},
	"licences/several pools are an error that names them": func(b *bench.Bench) {
		b.Clients(1)
		b.Pool("office", 2, "writer")
		b.Call("licensePool_create", "anoffice", "", []any{"writer"})
		_, err := b.Try(getLicense, methods.Pos(bench.Client(1), nil, "writer"))
		b.Same("text", "cannot choose a licence pool for product writer: it is in anoffice, office", fmt.Sprint(err))
		b.Same("code", string(fleet.Conflict), string(fleet.CodeOf(err)))
	},
	"licences/a pool is found by the software that it counts": func(b *bench.Bench) {
		b.Clients(1)
		b.Pool("office", 2)
		sw := fleet.Row{"name": "Office", "version": "16", "subVersion": "", "language": "de", "architecture": "x64"}
		counted := sw.Clone()
		counted["licensePoolId"], sw["windowsSoftwareId"] = "office", "{office*16}"
		b.Call("auditSoftware_insertObject", sw)
		b.Refused(fleet.NotFound, getLicense, bench.Client(1), nil, nil, "{office*16}")
		b.Call("auditSoftwareToLicensePool_insertObject", counted)
		b.Refused(fleet.NotFound, getLicense, bench.Client(1), nil, nil, "*")
		b.Same("pool", "office", b.Call(getLicense, bench.Client(1), nil, nil, "{office*16}").(map[string]any)["licensePoolId"])
	},
	"licences/the last seats go to as many as there are": func(b *bench.Bench) {
		const asking, seats = 12, 3
		b.Clients(asking)
		b.Pool("office", seats)
		errs := make([]error, asking)
		var all sync.WaitGroup
		for n := range asking {
			all.Go(func() { _, errs[n] = b.Try(getLicense, methods.Pos(bench.Client(n+1), "office")) })
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
		b.Same("winners", int64(seats), int64(got))
		b.Same("seats taken", int64(seats), int64(len(b.Find(fleet.LicensesOnClients, nil))))
	},
	"licences/a pull reserves what the client will install": func(b *bench.Bench) {
		b.Licensed()
		b.Same("licences are not managed", int64(0), b.Reserved(bench.Client(1)))
		b.Call("configState_create", "license-management.use", bench.Client(1), true)
		b.Call("configState_create", "license-management.use", bench.Client(2), true)
		b.Same("reserved", int64(1), b.Reserved(bench.Client(1)))
		b.Same("still one", int64(1), b.Reserved(bench.Client(1)))
		b.Same("who has none goes without", int64(0), b.Reserved(bench.Client(2)))
		b.Same("and is told", "without a licence: cannot give pc2.example.org a licence of pool office: none of 1 is free", progress(b, bench.Client(2)))
		b.Call("setProductActionRequestWithDependencies", "writer", bench.Client(1), "none")
		b.Same("no longer wanted", int64(0), b.Reserved(bench.Client(1)))
		b.Same("for the other", int64(1), b.Reserved(bench.Client(2)))
		b.Same("told", "", progress(b, bench.Client(2)))
	},
	"licences/what is used is kept, what is not goes back": func(b *bench.Bench) {
		b.Licensed()
		b.Call("configState_create", "license-management.use", "server.example.org", true)
		b.Same("reserved", int64(1), b.Reserved(bench.Client(1)))
		push(b, bench.Client(1), fleet.Row{"actionRequest": "none", "installationStatus": "installed", "actionResult": "successful"})
		b.Same("installed: kept", int64(1), b.Seats(bench.Client(1)))
		b.Same("installed: kept by a pull", int64(1), b.Reserved(bench.Client(1)))
		push(b, bench.Client(1), fleet.Row{"actionRequest": "none", "installationStatus": "not_installed", "actionResult": "successful", "lastAction": "uninstall"})
		b.Same("removed: given back", int64(0), b.Seats(bench.Client(1)))
		b.Same("the next", int64(1), b.Reserved(bench.Client(2)))
		push(b, bench.Client(2), fleet.Row{"actionRequest": "none", "installationStatus": "not_installed", "actionResult": "failed"})
		b.Same("not used: given back", int64(0), b.Seats(bench.Client(2)))
		b.Call(getLicense, bench.Client(2), "office")
		push(b, bench.Client(2), fleet.Row{"actionRequest": "none", "installationStatus": "not_installed", "actionResult": "none"})
		b.Same("asked for by name: its owner gives it back", int64(1), b.Seats(bench.Client(2)))
	},
	"licences/a pull brings the pools, so that the client finds its seat": func(b *bench.Bench) {
		b.Licensed()
		b.Call("configState_create", "license-management.use", bench.Client(1), true)
		answer := b.Call("replica_pull", bench.Client(1), map[string]any{}).(map[string]any)
		rows := answer["rows"].(map[string]any)
		b.Same("pool", []any{"writer"}, rows["licensePool"].([]any)[0].(map[string]any)["productIds"])
		b.Same("key", "KEY-1", rows["licenseOnClient"].([]any)[0].(map[string]any)["licenseKey"])
	},
}

func writer(b *bench.Bench, id string) map[string]any {
	b.Helper()
	return b.Find(fleet.ProductsOnClients, map[string]any{"clientId": id, "productId": "writer"})[0].(map[string]any)
}

func progress(b *bench.Bench, id string) any { return writer(b, id)["actionProgress"] }

// push sends what became of the product on the client.
func push(b *bench.Bench, id string, result fleet.Row) {
	b.Helper()
	base := writer(b, id)
	mine := fleet.Row(base).Clone()
	for name, v := range result {
		mine[name] = v
	}
	b.Call("replica_push", id, map[string]any{"id": "", "versions": map[string]any{"writer": "1-1"},
		"changes": []any{map[string]any{"class": "productOnClient", "base": base, "mine": mine}}})
}
