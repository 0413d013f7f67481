package backendtest

import (
	"fmt"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// leaseCases show seats that are reserved and given back by name, and what is
// known of all of them.
var leaseCases = map[string]func(*bench){
	"licenseOnClient_reserve": func(b *bench) {
		b.clients(3)
		b.pool("office", 2, "writer")
		seat := b.call("licenseOnClient_reserve", client(1), nil, "writer").(map[string]any)
		b.same("seat", []any{"l1", "office", client(1), "KEY-1"}, []any{seat["softwareLicenseId"], seat["licensePoolId"], seat["clientId"], seat["licenseKey"]})
		if until, _ := seat["until"].(string); len(until) != len("2026-01-01 00:00:00") {
			b.Errorf("until %v", seat["until"])
		}
		b.same("kept by a pull although nothing is requested", int64(1), b.reserved(client(1)))
		b.call(getLicense, client(2), "office")
		b.same("in use", nil, b.call("licenseOnClient_reserve", client(2), "office").(map[string]any)["until"])
		b.refused(fleet.NotFound, "licenseOnClient_reserve", client(3), "office")
		for _, days := range []any{0, -1, 367, "long"} {
			b.refused(fleet.Invalid, "licenseOnClient_reserve", client(1), "office", nil, nil, days)
		}
		b.call("licenseOnClient_reserve", client(1), "office", nil, nil, 366)
		b.same("used from now on", nil, b.call("licenseOnClient_reserve", b.call(getLicense, client(1), "office").(map[string]any)["clientId"], "office").(map[string]any)["until"])
	},
	"licenseOnClient_release": func(b *bench) {
		b.clients(2)
		b.pool("office", 1, "writer")
		b.refused(fleet.NotFound, "licenseOnClient_release", client(1), "office")
		b.call("licenseOnClient_reserve", client(1), "office")
		b.refused(fleet.NotFound, getLicense, client(2), "office")
		given := b.call("licenseOnClient_release", client(1), nil, "writer").([]any)
		b.same("given back", []any{"l1", client(1)}, []any{given[0].(map[string]any)["softwareLicenseId"], given[0].(map[string]any)["clientId"]})
		b.call(getLicense, client(2), "office")
		b.call("licenseOnClient_release", client(2), "office")
		b.same("nobody has one", int64(0), int64(len(b.find(fleet.LicensesOnClients, nil))))
	},
	"licensePool_getUsage": func(b *bench) {
		b.clients(4)
		b.pool("office", 3, "writer")
		b.call("licensePool_create", "site", "all of it")
		b.call("softwareLicense_createOEM", "l2", "c1", nil, client(4))
		b.call("softwareLicenseToLicensePool_create", "l2", "office")
		b.call("softwareLicense_createRetail", "old", "c1", nil, nil, "2001-01-01 00:00:00")
		b.call("softwareLicenseToLicensePool_create", "old", "office")
		b.call("softwareLicense_createConcurrent", "any", "c1")
		b.call("softwareLicenseToLicensePool_create", "any", "site")
		b.call(getLicense, client(1), "office")
		b.call("licenseOnClient_reserve", client(2), "office")
		b.call(getLicense, client(4), "office")
		b.call(getLicense, client(1), "site")
		sw := fleet.Row{"name": "Office", "version": "16", "subVersion": "", "language": "de", "architecture": "x64"}
		for _, n := range []int{1, 3} {
			on := sw.Clone()
			on["clientId"] = client(n)
			b.call("auditSoftwareOnClient_insertObject", on)
		}
		sw["licensePoolId"] = "office"
		b.call("auditSoftwareToLicensePool_insertObject", sw)
		var got []any
		for _, p := range b.call("licensePool_getUsage").([]any) {
			p := p.(map[string]any)
			got = append(got, fmt.Sprintln(p["licensePoolId"], p["productIds"], p["seats"], p["used"], p["reserved"], p["free"], p["found"], p["withoutSeat"]))
			for _, l := range p["licenses"].([]any) {
				l := l.(map[string]any)
				got = append(got, fmt.Sprintln(l["softwareLicenseId"], l["type"], l["maxInstallations"], l["used"], l["reserved"], l["free"], l["boundToHost"], l["expired"]))
			}
		}
		b.same("usage", []any{
			"office [writer] 4 2 1 1 2 [pc3.example.org]\n",
			"l1 VolumeSoftwareLicense 3 1 1 1 <nil> false\n",
			"l2 OEMSoftwareLicense 1 1 0 0 pc4.example.org false\n",
			"old RetailSoftwareLicense 1 0 0 1 <nil> true\n",
			"site [] <nil> 1 0 <nil> 0 []\n",
			"any ConcurrentSoftwareLicense <nil> 1 0 <nil> <nil> false\n",
		}, got)
		b.same("one pool", int64(1), int64(len(b.call("licensePool_getUsage", "site").([]any))))
		if _, err := b.try("licenseOnClient_getOrCreateObject", methods.Pos(client(3), nil, "nothing")); fleet.ClassOf(err) != "LicenseConfigurationError" {
			b.Errorf("%v is a %q", err, fleet.ClassOf(err))
		}
		b.call("softwareLicense_updateObject", fleet.Row{"id": "l1", "licenseContractId": "c1", "maxInstallations": 2})
		if _, err := b.try("licenseOnClient_getOrCreateObject", methods.Pos(client(3), "office")); fleet.ClassOf(err) != "LicenseMissingError" {
			b.Errorf("%v is a %q", err, fleet.ClassOf(err))
		}
	},
}
