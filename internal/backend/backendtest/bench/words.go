package bench

import (
	"fmt"
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// All puts the cases of several files together.
func All(files ...Cases) Cases {
	out := Cases{}
	for _, cases := range files {
		for name, c := range cases {
			if out[name] != nil {
				panic("backendtest: two cases for " + name)
			}
			out[name] = c
		}
	}
	return out
}

// HasAccounts tells whether people log in to the backend.
func (b *Bench) HasAccounts() bool {
	_, err := b.Try("account_list", methods.Params{})
	return fleet.CodeOf(err) != fleet.NotHere
}

// Servers makes a config server, a depot and a client.
func (b *Bench) Servers() {
	b.Helper()
	b.Call("host_createObjects", Sample(fleet.Hosts))
}

func Client(n int) string { return fmt.Sprintf("pc%d.example.org", n) }

// Clients makes a config server and n clients.
func (b *Bench) Clients(n int) {
	b.Helper()
	b.Servers()
	for n := range n {
		b.Call("host_createOpsiClient", Client(n+1))
	}
}

// ClientWithAction requests firefox, which depends on runtime, for the client.
func (b *Bench) ClientWithAction() {
	b.Helper()
	b.Servers()
	b.Product("firefox", "115.0", "1")
	b.Product("runtime", "3", "1")
	b.Product("unrelated", "1", "1")
	b.Call("productDependency_createObjects", Sample(fleet.ProductDependencies)[:1])
	b.Call("productProperty_createObjects", Sample(fleet.ProductProperties))
	b.Call("productPropertyState_createObjects", Sample(fleet.ProductPropertyStates))
	b.Call("productOnClient_create", "firefox", "LocalbootProduct", "pc1.example.org", "not_installed", "setup")
}

// Product puts a product on the config server's depot.
func (b *Bench) Product(id, version, pkg string) {
	b.Helper()
	b.Call("product_createLocalboot", id, version, pkg, strings.ToUpper(id), false, "setup.sh")
	b.Call("productOnDepot_create", id, "LocalbootProduct", version, pkg, "server.example.org")
}

func (b *Bench) PutAll(c *fleet.Class) []fleet.Row {
	b.Helper()
	b.Call(c.Name+"_createObjects", Sample(c))
	return Sample(c)
}

// Values are those of all objects of a class.
func (b *Bench) Values(c *fleet.Class) []any {
	b.Helper()
	var out []any
	for _, r := range b.Find(c, nil) {
		out = append(out, r.(map[string]any)["values"])
	}
	return out
}

// Pool makes a pool with one volume licence for its products.
func (b *Bench) Pool(id string, seats int, products ...string) {
	b.Helper()
	b.Call("licenseContract_create", "c1")
	b.Call("licensePool_create", id, "", products)
	b.Call("softwareLicense_createVolume", "l1", "c1", seats)
	b.Call("softwareLicenseToLicensePool_create", "l1", id, "KEY-1")
}

// Licensed has two clients that shall install a product which needs a licence,
// of which there is one.
func (b *Bench) Licensed() {
	b.Helper()
	b.Clients(2)
	b.Call("config_createBool", "license-management.use", "", false)
	b.Pool("office", 1, "writer")
	b.Call("product_createLocalboot", "writer", "1", "1", "Writer", true, "setup.sh")
	b.Call("productOnDepot_create", "writer", "LocalbootProduct", "1", "1", "server.example.org")
	for n := range 2 {
		b.Call("productOnClient_create", "writer", "LocalbootProduct", Client(n+1), "not_installed", "setup")
	}
}

// Reserved pulls, and counts the client's seats.
func (b *Bench) Reserved(id string) int64 {
	b.Helper()
	b.Call("replica_pull", id, map[string]any{})
	return b.Seats(id)
}

func (b *Bench) Seats(id string) int64 {
	b.Helper()
	return int64(len(b.Find(fleet.LicensesOnClients, map[string]any{"clientId": id})))
}
