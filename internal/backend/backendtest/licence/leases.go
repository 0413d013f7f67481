package licence

import (
	"fmt"

	"github.com/fernwerk/fernwerk/internal/backend/backendtest/bench"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// leaseCases show seats that are reserved and given back by name, and what is
// known of all of them.
var leaseCases = bench.Cases{
	"licenseOnClient_reserve": func(b *bench.Bench) {
		b.Clients(3)
		b.Pool("office", 2, "writer")
		seat := b.Call("licenseOnClient_reserve", bench.Client(1), nil, "writer").(map[string]any)
		b.Same("seat", []any{"l1", "office", bench.Client(1), "KEY-1"}, []any{seat["softwareLicenseId"], seat["licensePoolId"], seat["clientId"], seat["licenseKey"]})
		if until, _ := seat["until"].(string); len(until) != len("2026-01-01 00:00:00") {
			b.Errorf("until %v", seat["until"])
		}
		b.Same("kept by a pull although nothing is requested", int64(1), b.Reserved(bench.Client(1)))
		b.Call(getLicense, bench.Client(2), "office")
		b.Same("in use", nil, b.Call("licenseOnClient_reserve", bench.Client(2), "office").(map[string]any)["until"])
		b.Refused(fleet.NotFound, "licenseOnClient_reserve", bench.Client(3), "office")
		for _, days := range []any{0, -1, 367, "long"} {
			b.Refused(fleet.Invalid, "licenseOnClient_reserve", bench.Client(1), "office", nil, nil, days)
		}
		b.Call("licenseOnClient_reserve", bench.Client(1), "office", nil, nil, 366)
		b.Same("used from now on", nil, b.Call("licenseOnClient_reserve", b.Call(getLicense, bench.Client(1), "office").(map[string]any)["clientId"], "office").(map[string]any)["until"])
	},
	"licenseOnClient_release": func(b *bench.Bench) {
		b.Clients(2)
		b.Pool("office", 1, "writer")
		b.Refused(fleet.NotFound, "licenseOnClient_release", bench.Client(1), "office")
		b.Call("licenseOnClient_reserve", bench.Client(1), "office")
		b.Refused(fleet.NotFound, getLicense, bench.Client(2), "office")
		given := b.Call("licenseOnClient_release", bench.Client(1), nil, "writer").([]any)
		b.Same("given back", []any{"l1", bench.Client(1)}, []any{given[0].(map[string]any)["softwareLicenseId"], given[0].(map[string]any)["clientId"]})
		b.Call(getLicense, bench.Client(2), "office")
		b.Call("licenseOnClient_release", bench.Client(2), "office")
		b.Same("nobody has one", int64(0), int64(len(b.Find(fleet.LicensesOnClients, nil))))
	},
	"licensePool_getUsage": func(b *bench.Bench) {
		b.Clients(4)
		b.Pool("office", 3, "writer")
		b.Call("licensePool_create", "site", "all of it")
		b.Call("softwareLicense_createOEM", "l2", "c1", nil, bench.Client(4))
		b.Call("softwareLicenseToLicensePool_create", "l2", "office")
		b.Call("softwareLicense_createRetail", "old", "c1", nil, nil, "2001-01-01 00:00:00")
		b.Call("softwareLicenseToLicensePool_create", "old", "office")
		b.Call("softwareLicense_createConcurrent", "any", "c1")
		b.Call("softwareLicenseToLicensePool_create", "any", "site")
		b.Call(getLicense, bench.Client(1), "office")
		b.Call("licenseOnClient_reserve", bench.Client(2), "office")
		b.Call(getLicense, bench.Client(4), "office")
		b.Call(getLicense, bench.Client(1), "site")
		sw := fleet.Row{"name": "Office", "version": "16", "subVersion": "", "language": "de", "architecture": "x64"}
		for _, n := range []int{1, 3} {
			on := sw.Clone()
			on["clientId"] = bench.Client(n)
			b.Call("auditSoftwareOnClient_insertObject", on)
		}
		sw["licensePoolId"] = "office"
		b.Call("auditSoftwareToLicensePool_insertObject", sw)
		var got []any
		for _, p := range b.Call("licensePool_getUsage").([]any) {
			p := p.(map[string]any)
			got = append(got, fmt.Sprintln(p["licensePoolId"], p["productIds"], p["seats"], p["used"], p["reserved"], p["free"], p["found"], p["withoutSeat"]))
			for _, l := range p["licenses"].([]any) {
				l := l.(map[string]any)
				got = append(got, fmt.Sprintln(l["softwareLicenseId"], l["type"], l["maxInstallations"], l["used"], l["reserved"], l["free"], l["boundToHost"], l["expired"]))
			}
		}
		b.Same("usage", []any{
			"office [writer] 4 2 1 1 2 [pc3.example.org]\n",
			"l1 VolumeSoftwareLicense 3 1 1 1 <nil> false\n",
			"l2 OEMSoftwareLicense 1 1 0 0 pc4.example.org false\n",
			"old RetailSoftwareLicense 1 0 0 1 <nil> true\n",
			"site [] <nil> 1 0 <nil> 0 []\n",
			"any ConcurrentSoftwareLicense <nil> 1 0 <nil> <nil> false\n",
		}, got)
		b.Same("one pool", int64(1), int64(len(b.Call("licensePool_getUsage", "site").([]any))))
		if _, err := b.Try("licenseOnClient_getOrCreateObject", methods.Pos(bench.Client(3), nil, "nothing")); fleet.ClassOf(err) != "LicenseConfigurationError" {
			b.Errorf("%v is a %q", err, fleet.ClassOf(err))
		}
		b.Call("softwareLicense_updateObject", fleet.Row{"id": "l1", "licenseContractId": "c1", "maxInstallations": 2})
		if _, err := b.Try("licenseOnClient_getOrCreateObject", methods.Pos(bench.Client(3), "office")); fleet.ClassOf(err) != "LicenseMissingError" {
			b.Errorf("%v is a %q", err, fleet.ClassOf(err))
		}
	},
}
